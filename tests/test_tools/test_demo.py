"""The demo: its data, and that its parts run and say what came out."""
import sys
from pathlib import Path

import cv2
import pytest
from rich.console import Console

from lbbt_mm.runs import training_run
from lbbt_mm.runs.training_run import TrainingRun
from tests import fake_training
from tests.fake_training import starts, write_configs
from tests.tiny_detection import REPO
from tests.tool_processes import finish, run_tool, start


@pytest.fixture
def arms(tmp_path, monkeypatch):
    """Both arms of a part, for whose trainings the fake stands in."""
    monkeypatch.setattr(training_run, 'TRAIN_TOOL', (fake_training.__file__, ))
    config = write_configs(tmp_path)
    return {arm: TrainingRun(config, tmp_path / 'out' / arm) for arm in ('language', 'host')}


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


def test_afresh_removes_the_runs_and_nothing_else(arms, tmp_path, capsys):
    from tools.demo.arms import train_arms
    out = tmp_path / 'out'
    train_arms(arms, out, Console())
    train_arms(arms, out, Console())
    assert sorted(starts(tmp_path)) == ['host', 'language']
    for name in ('mine.txt', 'language/mine.txt', 'runs/mine.txt'):
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_text('mine')
    train_arms(arms, out, Console(width=1000), fresh=True)
    assert sorted(starts(tmp_path)) == ['host', 'host', 'language', 'language']
    assert len(list(out.rglob('mine.txt'))) == 3
    said = capsys.readouterr().out
    assert f'Left in {out / "language"}, since no run of ours wrote it: environment.json, mine.txt' in said


@pytest.mark.parametrize('name, said', (
    ('curves.png', 'curves.png was not written by a run of ours, and it would be overwritten'),
    ('host/request.json', 'host/request.json was not written by a run of lbbt_mm')))
def test_files_of_somebody_else_end_it_in_one_line(arms, tmp_path, name, said):
    from tools.demo.arms import train_arms
    mine = tmp_path / 'out' / name
    mine.parent.mkdir(parents=True)
    mine.write_text('{"url": 1}')
    for fresh in (True, False):
        with pytest.raises(SystemExit, match=said):
            train_arms(arms, tmp_path / 'out', Console(), fresh)
    assert mine.read_text() == '{"url": 1}' and 'host' not in starts(tmp_path)


@pytest.mark.parametrize('options, canvases, fresh', (((), 5000, False), (('--canvases', '7', '--fresh'), 7, True)))
def test_each_number_of_canvases_has_a_folder_and_fresh_reaches_every_part(options, canvases, fresh, tmp_path, monkeypatch):
    from tools.demo import __main__ as demo
    from tools.demo import bridge as demo_bridge
    from tools.demo import detection as demo_detection
    from tools.demo import segmentation as demo_segmentation
    made, trained = [], []
    for module in (demo_bridge, demo_detection, demo_segmentation):
        monkeypatch.setattr(module, 'make_data', lambda make, out, **sizes: made.append((make.__name__, out, sizes)) or out)
    for module in (demo_detection, demo_segmentation):
        monkeypatch.setattr(module, 'train_arms', lambda runs, out, console, fresh: trained.append((list(runs), out, fresh)))
        monkeypatch.setattr(module, 'report', lambda *arguments: None)
    monkeypatch.setattr(demo_bridge, 'compare_arms', lambda arguments: trained.append(('--fresh' in arguments)) or 0)
    monkeypatch.setattr(demo, 'find_smollm2', lambda: Path('lm.gguf'))
    monkeypatch.setattr(sys, 'argv', ['demo.py', '--out', str(tmp_path), *options])
    monkeypatch.setenv('LBBT_DATA_ROOT', 'restored')
    demo.main()
    assert made == [
        ('make_digits_imagefolder', tmp_path / 'digits_imagefolder-1400', {}),
        ('make_digits_detection', tmp_path / f'digits_coco-{canvases}', dict(num_train=canvases)),
        ('make_digits_segmentation', tmp_path / f'digits_ade-{canvases}', dict(num_train=canvases))]
    assert trained == [fresh, (['language', 'host'], tmp_path / 'detection', fresh),
                       (['language', 'host'], tmp_path / 'segmentation', fresh)]


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
    ('bridge', ('language', 'random', 'shuffled', 'moment_matched', 'probe_smollm2_digits/accuracy/top1'),
     ('bridge/curves.png', 'bridge/results.csv', 'bridge/summary.md')),
    ('detection', ('language', 'host', 'mAP50'), ('detection/curves.png', 'detection/predictions.png')),
    ('segmentation', ('language', 'host', 'mIoU'), ('segmentation/curves.png', 'segmentation/predictions.png'))))
def test_a_part_runs_and_a_second_call_does_nothing_again(part, told, files, smollm2, tmp_path):
    command = ('python', '-m', 'tools.demo', '--only', part, '--epochs', '1', '--iterations', '4', '--canvases',
               '64', '--out', tmp_path)
    first = finish(start(*command, cwd=REPO))
    assert first.returncode == 0, first.output
    assert all(word in first.output for word in told)
    assert all((tmp_path / name).stat().st_size > 100 for name in files)
    logs = {path: path.stat().st_mtime_ns for path in tmp_path.rglob('train.log')}
    assert finish(start(*command, cwd=REPO)).returncode == 0
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob('train.log')} == logs
    (tmp_path / part / 'mine.txt').write_text('mine')
    other = finish(start(*command, '--fresh', '--canvases', '48', cwd=REPO))
    assert other.returncode == 0, other.output
    assert (tmp_path / part / 'mine.txt').read_text() == 'mine'
    assert all(path.stat().st_mtime_ns > logs[path] for path in logs)
