"""The demo: its data, and that its parts run and say what came out."""
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from lbbt_mm.runs import training_run
from tests import fake_training
from tests.fake_training import starts, write_configs
from tests.hostile_files import write_checkpoint as write_hostile_checkpoint
from tests.tiny_detection import REPO
from tests.tool_processes import finish, run_tool, start
from tools.demo import __main__ as demo
from tools.demo.arms import Comparison, compare


def test_digits_are_an_imagefolder_of_all_1797(tmp_path):
    from lbbt_mm.data_makers.digits_to_imagefolder import make_digits_imagefolder
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


@pytest.fixture
def comparison(tmp_path, monkeypatch):
    """A comparison of a part, for whose trainings the fake stands in."""
    monkeypatch.setattr(training_run, 'TRAIN_TOOL', (fake_training.__file__, ))
    monkeypatch.setattr('lbbt_mm.experiments.report.draw_curves', lambda panels, path: None)
    return Comparison(write_configs(tmp_path), ('language', 'random'), ('accuracy/top1', ),
                      ['optim_wrapper.optimizer.lr=0.1'])


def test_a_part_gives_a_verdict_over_seeds_and_the_runs_of_the_first_one(comparison, tmp_path, capsys):
    runs = compare(comparison, tmp_path / 'out', [0, 1, 2])
    assert {arm: run.work_dir.name for arm, run in runs.items()} == {
        'language': 'language-seed0-lr0.1', 'random': 'random-seed0-lr0.1'}
    assert all(run.status == 'finished' for run in runs.values())
    assert 'accuracy/top1: language - random: +25 [+22.52, +27.48], told apart by 3 seeds.' in capsys.readouterr().out
    before = starts(tmp_path)
    compare(comparison, tmp_path / 'out', [0, 1, 2])
    assert starts(tmp_path) == before and len(before) == 6
    compare(comparison, tmp_path / 'out', [0, 1, 2], fresh=True)
    assert len(starts(tmp_path)) == 12


def test_files_of_somebody_else_end_it_in_one_line(comparison, tmp_path, capsys):
    mine = tmp_path / 'out' / 'curves.png'
    mine.parent.mkdir(parents=True)
    mine.write_text('mine')
    for fresh in (True, False):
        with pytest.raises(SystemExit):
            compare(comparison, tmp_path / 'out', [0], fresh)
        assert 'curves.png was not written by a run of ours' in capsys.readouterr().err
    assert mine.read_text() == 'mine'


@pytest.mark.parametrize('options, canvases, fresh, arms', (
    ((), {'detection': 1600, 'segmentation': 1600}, False, ('language', 'random')),
    (('--full', ), {'detection': 5000, 'segmentation': 5000}, False, ('language', 'shuffled', 'moment_matched', 'random')),
    (('--canvases', '7', '--fresh', '--seeds', '4'), {'detection': 7, 'segmentation': 7}, True, ('language', 'random'))))
def test_sizes_seeds_and_fresh_reach_every_part(options, canvases, fresh, arms, tmp_path, monkeypatch):
    from tools.demo import bridge, detection, segmentation
    made, compared = [], []
    for module in (bridge, detection, segmentation):
        monkeypatch.setattr(module, 'make_data', lambda make, out, **sizes: made.append((make.__name__, out, sizes)) or out)
        monkeypatch.setattr(module, 'compare', lambda *arguments: compared.append(arguments) or {})
    for module in (detection, segmentation):
        monkeypatch.setattr(module, 'draw_predictions', lambda *arguments: None)
    monkeypatch.setattr(demo, 'find_smollm2', lambda: Path('lm.gguf'))
    monkeypatch.setattr(sys, 'argv', ['demo', '--out', str(tmp_path), *options])
    monkeypatch.setenv('LBBT_DATA_ROOT', 'restored')
    demo.main()
    assert made == [
        ('make_digits_imagefolder', tmp_path / 'digits_imagefolder-1400', {}),
        *((f'make_digits_{part}', tmp_path / f'digits_{layout}-{canvases[part]}', dict(num_train=canvases[part]))
          for part, layout in (('detection', 'coco'), ('segmentation', 'ade')))]
    assert [(arguments[0].arms, arguments[1], arguments[3]) for arguments in compared] == [
        (arms, tmp_path / 'bridge', fresh), (('language', 'host'), tmp_path / 'detection', fresh),
        (('language', 'host'), tmp_path / 'segmentation', fresh)]
    assert {tuple(arguments[2]) for arguments in compared} == {(4, ) if '--seeds' in options else (0, 1, 2)}
    lengths = [option for arguments in compared for option in arguments[0].options if option.startswith('train_cfg.max_')]
    assert lengths == ([] if '--full' in options else
                       ['train_cfg.max_epochs=8', 'train_cfg.max_epochs=3', 'train_cfg.max_iters=250'])


@pytest.mark.parametrize('part', ['detection', 'segmentation'])
def test_pictures_of_a_checkpoint_run_no_code_from_it(part, tmp_path):
    """mmengine's own loader, which the inferencers use, would."""
    module = __import__(f'tools.demo.{part}', fromlist=['draw_predictions'])
    trace = tmp_path / 'trace'
    write_hostile_checkpoint(tmp_path / 'epoch_1.pth', trace, 'code')
    run = SimpleNamespace(checkpoint=lambda: tmp_path / 'epoch_1.pth', work_dir=tmp_path)
    for folder in ('val2017', 'images/validation', 'annotations/validation'):
        (tmp_path / folder).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / folder / '0.png'), np.zeros((8, 8), np.uint8))
    with pytest.raises(ValueError, match='epoch_1.pth: holds more than tensors'):
        module.draw_predictions({'language': run, 'host': run}, tmp_path, tmp_path / 'page.png', columns=1)
    assert not trace.exists() and not (tmp_path / 'page.png').exists()


def test_a_data_folder_of_somebody_else_ends_it_in_one_line(tmp_path):
    from lbbt_mm.data_makers.digits_to_coco import make_digits_detection
    from tools.demo.arms import make_data
    (tmp_path / 'mine').write_text('mine')
    with pytest.raises(SystemExit, match='exists and is not an empty folder, and it holds no data set of ours'):
        make_data(make_digits_detection, tmp_path, num_train=2)
    assert [path.name for path in tmp_path.iterdir()] == ['mine']


def test_a_picture_is_whole_or_as_it_was(tmp_path):
    import matplotlib
    matplotlib.use('Agg')
    import matplotlib.pyplot as plt

    from tools.demo.arms import save_figure
    figure, _ = plt.subplots()
    save_figure(figure, tmp_path / 'a.png')
    before = (tmp_path / 'a.png').read_bytes()
    assert before.startswith(b'\x89PNG') and [path.name for path in tmp_path.iterdir()] == ['a.png']

    class Broken:

        def savefig(self, file, **options):
            file.write(b'half')
            raise OSError('no space')

    with pytest.raises(OSError):
        save_figure(Broken(), tmp_path / 'a.png')
    assert (tmp_path / 'a.png').read_bytes() == before and [path.name for path in tmp_path.iterdir()] == ['a.png']


def test_help_names_the_parts():
    output = run_tool('demo', '--help').output
    assert all(word in output for word in ('bridge', 'detection', 'segmentation', '--only'))


@pytest.mark.slow
@pytest.mark.parametrize('part, told, files', (
    ('bridge', ('language - random', 'probe_smollm2_digits/accuracy/top1'),
     ('bridge/curves.png', 'bridge/results.csv', 'bridge/summary.md')),
    ('detection', ('language - host', 'bbox_mAP_50'), ('detection/curves.png', 'detection/predictions.png')),
    ('segmentation', ('language - host', 'mIoU'), ('segmentation/curves.png', 'segmentation/predictions.png'))))
def test_a_part_runs_and_a_second_call_does_nothing_again(part, told, files, smollm2, tmp_path):
    command = ('python', '-m', 'tools.demo', '--only', part, '--epochs', '1', '--iterations', '4', '--canvases',
               '64', '--seeds', '0', '1', '--out', tmp_path)
    first = finish(start(*command, cwd=REPO))
    assert first.returncode == 0, first.output
    assert all(word in first.output for word in told) and 'told apart by 2 seeds' in first.output
    assert 'OneDL' not in first.output and 'Warning' not in first.output.replace('Warning: ', ''), first.output
    assert all((tmp_path / name).stat().st_size > 100 for name in files)
    logs = {path: path.stat().st_mtime_ns for path in tmp_path.rglob('train.log')}
    assert finish(start(*command, cwd=REPO)).returncode == 0
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob('train.log')} == logs
    (tmp_path / part / 'mine.txt').write_text('mine')
    other = finish(start(*command, '--fresh', '--canvases', '48', cwd=REPO))
    assert other.returncode == 0, other.output
    assert (tmp_path / part / 'mine.txt').read_text() == 'mine'
    assert all(path.stat().st_mtime_ns > logs[path] for path in logs)
