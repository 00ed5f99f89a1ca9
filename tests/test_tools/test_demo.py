"""The demo: its data, and that its parts run and say what came out."""
import sys

import cv2
import pytest

from tests.tiny_detection import REPO
from tests.tool_processes import finish, run_tool, start

sys.path.insert(0, str(REPO / 'tools' / 'dataset_converters'))


def test_digits_are_an_imagefolder_of_all_1797(tmp_path):
    from digits_to_imagefolder import make_digits_imagefolder
    data = make_digits_imagefolder(tmp_path / 'digits')
    counts = {split: [len(list(folder.iterdir())) for folder in sorted((data / split).iterdir())]
              for split in ('train', 'test')}
    assert len(counts['train']) == len(counts['test']) == 10
    assert sum(counts['train']) == 1400 and sum(counts['test']) == 397
    picture = cv2.imread(str(next((data / 'test' / '3').iterdir())))
    assert picture.shape == (8, 8, 3) and picture.max() > 200
    written = (data / 'recipe.json').stat().st_mtime_ns
    make_digits_imagefolder(data)
    assert (data / 'recipe.json').stat().st_mtime_ns == written, 'it was there already'


def test_help_names_the_parts():
    output = run_tool('demo.py', '--help').output
    assert all(word in output for word in ('bridge', 'detection', 'segmentation', '--only'))


@pytest.mark.slow
@pytest.mark.parametrize('part, told, files', (
    ('bridge', ('language', 'random', 'shuffled', 'moment_matched', 'probe_smollm2_digits/accuracy/top1'),
     ('bridge/curves.png', 'bridge/results.csv', 'bridge/summary.md')),
    ('detection', ('language', 'host', 'mAP50'), ('detection/curves.png', 'detection/predictions.png')),
    ('segmentation', ('language', 'host', 'mIoU'), ('segmentation/curves.png', 'segmentation/predictions.png'))))
def test_a_part_runs_and_a_second_call_does_nothing_again(part, told, files, smollm2, tmp_path):
    command = ('python', REPO / 'tools' / 'demo.py', '--only', part, '--epochs', '1', '--iterations', '4', '--canvases',
               '64', '--out', tmp_path)
    first = finish(start(*command))
    assert first.returncode == 0, first.output
    assert all(word in first.output for word in told)
    assert all((tmp_path / name).stat().st_size > 100 for name in files)
    logs = {path: path.stat().st_mtime_ns for path in tmp_path.rglob('train.log')}
    assert finish(start(*command)).returncode == 0
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob('train.log')} == logs
