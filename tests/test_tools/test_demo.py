"""The demo: its data, and that its parts run and say what came out."""
import sys
from functools import partial
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from lbbt_mm.engine.optim_wrappers import autocast_optim_wrapper
from lbbt_mm.files.config_files import read_config_file
from lbbt_mm.files.gsnr_table import GsnrRow, write_gsnr
from lbbt_mm.runs import training_run
from lbbt_mm.runs.run_request import override
from tests import fake_training
from tests.fake_training import starts, write_configs
from tests.hostile_files import write_checkpoint as write_hostile_checkpoint
from tests.tiny_detection import REPO
from tests.tool_processes import finish, run_tool, start
from tools.demo import __main__ as demo
from tools.demo import rectifier
from tools.demo.part import CONFIGS, compare, quick_precision
from tools.demo.sizes import FULL, SHORT, WITHOUT_BFLOAT16, Sizes


@pytest.fixture
def comparison(tmp_path, monkeypatch):
    """A comparison of a part, for whose trainings the fake stands in."""
    monkeypatch.setattr(training_run, 'TRAIN_TOOL', (fake_training.__file__, ))
    drawn = SimpleNamespace(save=lambda folder, name: None)
    monkeypatch.setattr('lbbt_mm.experiments.report.draw_curves', lambda panels: drawn)
    return partial(compare, write_configs(tmp_path), ('language', 'random'), ('accuracy/top1', ),
                   ['optim_wrapper.optimizer.lr=0.1'], tmp_path / 'out')


def test_a_part_gives_a_verdict_over_seeds_and_the_runs_of_the_first_one(comparison, tmp_path, capsys):
    runs = comparison([0, 1, 2])
    assert {arm: run.work_dir.name for arm, run in runs.items()} == {
        'language': 'language-seed0-lr0.1', 'random': 'random-seed0-lr0.1'}
    assert all(run.status == 'finished' for run in runs.values())
    assert 'accuracy/top1: language - random: +25 [+22.52, +27.48], told apart by 3 seeds.' in capsys.readouterr().out
    before = starts(tmp_path)
    assert comparison([0, 1, 2])['random'].work_dir == runs['random'].work_dir
    assert starts(tmp_path) == before and len(before) == 6
    comparison([0, 1, 2], fresh=True)
    assert len(starts(tmp_path)) == 12


def test_files_of_somebody_else_end_it_in_one_line(comparison, tmp_path, capsys):
    mine = tmp_path / 'out' / 'curves.png'
    mine.parent.mkdir(parents=True)
    mine.write_text('mine')
    for fresh in (True, False):
        with pytest.raises(SystemExit):
            comparison([0], fresh)
        assert 'curves.png was not written by a run of ours' in capsys.readouterr().err
    assert mine.read_text() == 'mine'


@pytest.mark.parametrize('arguments, sizes', (
    ((), SHORT), (('--slow', ), WITHOUT_BFLOAT16), (('--full', ), FULL), (('--slow', '--full'), FULL),
    (('--epochs', '2'), SHORT._replace(bridge_epochs=2, detection_epochs=2, rectifier_epochs=2)),
    (('--full', '--canvases', '7', '--iterations', '5'), FULL._replace(canvases=7, segmentation_iterations=5))))
def test_the_command_line_gives_sizes(arguments, sizes, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['demo', *(argument for argument in arguments if argument != '--slow')])
    assert demo.sizes_for(demo.parse_args(), '--slow' in arguments) == sizes


@pytest.mark.parametrize('arguments, read_by', (
    (('--only', 'segmentation', '--epochs', '3'), 'bridge, detection, rectifier'),
    (('--only', 'bridge', 'rectifier', '--iterations', '3'), 'segmentation'),
    (('--only', 'bridge', 'rectifier', '--canvases', '3'), 'detection, segmentation')))
def test_a_length_that_no_chosen_part_reads_is_refused(arguments, read_by, monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', ['demo', *arguments])
    with pytest.raises(SystemExit):
        demo.parse_args()
    assert f'{arguments[-2]}: {read_by} alone read it, and --only has none of them.' in capsys.readouterr().err
    monkeypatch.setattr(sys, 'argv', ['demo', *arguments, '--only', *demo.PARTS])
    demo.parse_args()


def test_sizes_seeds_and_fresh_reach_every_part(tmp_path, monkeypatch):
    compared, drawn = [], []
    monkeypatch.setattr('tools.demo.part.compare', lambda *arguments: compared.append(arguments) or {})
    monkeypatch.setattr(demo, 'find_smollm2', lambda: Path('lm.gguf'))
    monkeypatch.setenv('LBBT_DATA_ROOT', 'restored')
    for name in ('detection', 'segmentation', 'rectifier'):
        module = import_module(f'tools.demo.{name}')
        monkeypatch.setattr(module, 'PART', module.PART._replace(draw=lambda *arguments: drawn.append(arguments)))
    sizes = Sizes(bridge_blocks='0:2', bridge_epochs=8, bridge_digits=40, probe_epochs=2, detection_epochs=3,
                  segmentation_iterations=250, rectifier_epochs=5, rectifier_digits=30, canvases=4, validation_canvases=2)
    monkeypatch.setattr(demo, 'SHORT', sizes)
    monkeypatch.setattr(autocast_optim_wrapper, 'lacks_bfloat16', lambda: False)
    monkeypatch.setattr(sys, 'argv', ['demo', '--out', str(tmp_path), '--seeds', '4', '5', '4', '--fresh'])
    demo.main()
    for arguments, (name, arms) in zip(compared, dict(
            bridge=('language', 'random'), detection=('language', 'host'), segmentation=('language', 'host'),
            rectifier=('language', 'plain')).items(), strict=True):
        config, compared_arms, _, options, out, seeds, fresh, more = arguments
        assert (compared_arms, out, seeds, fresh) == (arms, tmp_path / name, [4, 5], True)
        override(read_config_file(config), options)  # each option is one that the config has
        probe = more[more.index('--probe-cfg-options') + 1:] if more else []
        assert probe == (['train_cfg.max_epochs=2', 'train_cfg.val_interval=2'] if more else [])
    lengths = [option for arguments in compared for option in arguments[3] if option.startswith('train_cfg.max_')]
    assert lengths == ['train_cfg.max_epochs=8', 'train_cfg.max_epochs=3', 'train_cfg.max_iters=250',
                       'train_cfg.max_epochs=5']
    assert 'model.backbone.language.blocks=0:2' in compared[0][3]
    for part, digits in ((0, 40), (3, 30)):
        assert f'train_dataloader.dataset.num_samples={digits}' in compared[part][3]
    assert [out for _, _, out in drawn] == [tmp_path / name for name in ('detection', 'segmentation', 'rectifier')]
    for folder, pattern in (('digits_coco-4-2', 'train2017/*.png'), ('digits_ade-4-2', 'images/training/*.jpg')):
        pictures = [cv2.imread(str(path)) for path in (tmp_path / folder).glob(pattern)]
        assert [picture.shape for picture in pictures] == 4 * [(64, 64, 3)]


@pytest.mark.parametrize('config, loops', [
    ('bridge_smollm2_digits', ['val_cfg']), ('probe_smollm2_digits', ['val_cfg']), ('detr_smollm2_digits', []),
    ('segmenter_smollm2_digits', ['val_cfg', 'test_cfg']), ('rectifier_smollm2_digits', None)])
def test_it_trains_in_float32_where_bfloat16_is_slow(config, loops, monkeypatch):
    file = CONFIGS / f'{config}.py'
    monkeypatch.setattr('tools.demo.part.get_device', lambda: 'cpu')
    monkeypatch.setattr(autocast_optim_wrapper, 'lacks_bfloat16', lambda: False)
    assert quick_precision(file) == []
    monkeypatch.setattr(autocast_optim_wrapper, 'lacks_bfloat16', lambda: True)
    found = quick_precision(file)
    assert found == ([] if loops is None else ['optim_wrapper.type=OptimWrapper', *(f'{loop}.fp16=False' for loop in loops)])
    cfg = override(read_config_file(file), found)
    assert cfg.optim_wrapper.get('type', 'OptimWrapper') == 'OptimWrapper'
    assert not any(cfg[loop].get('fp16') for loop in ('val_cfg', 'test_cfg'))
    monkeypatch.setattr('tools.demo.part.get_device', lambda: 'cuda')
    assert quick_precision(file) == []


@pytest.fixture
def rectified(tmp_path):
    """Runs of the rectifier part that were measured: three seeds of two arms, of which one is 0.1 above the other."""
    runs = {}
    for arm, more in (('language', 0.1), ('plain', 0.)):
        for seed in (10, 1, 0):
            folder = tmp_path / 'runs' / f'{arm}-seed{seed}-lr0.002'
            folder.mkdir(parents=True)
            value = 0.2 + more + 0.01 * seed * (1 + more)
            write_gsnr(folder / 'gsnr.csv', [GsnrRow(1, block, value, 0.1, 0.1, 3., 50, 5., 8, 2) for block in (0, 1)])
            runs[arm] = SimpleNamespace(work_dir=folder)
    return runs


def test_signal_to_noise_is_compared_as_arms_are(rectified, tmp_path, capsys):
    rectifier.draw(rectified, tmp_path, tmp_path)
    said = capsys.readouterr().out
    assert 'language - plain: +0.1037 [' in said and 'told apart by 3 seeds.' in said
    assert {'GSNR by block, Eq. 7;', 'in brackets less plain-lr0.002'} <= {line.strip() for line in said.splitlines()}
    assert (tmp_path / 'gsnr' / 'gsnr.png').exists()


def test_a_picture_that_cannot_be_drawn_ends_the_demo(rectified, tmp_path, capsys):
    (rectified['plain'].work_dir / 'gsnr.csv').write_text('mine')
    with pytest.raises(SystemExit) as caught:
        rectifier.draw(rectified, tmp_path, tmp_path)
    assert caught.value.code == 2 and 'gsnr.csv: its first line is' in capsys.readouterr().err


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


def test_a_data_folder_of_somebody_else_ends_it_in_one_line(tmp_path, monkeypatch):
    folder = tmp_path / 'digits_coco-7-2'
    monkeypatch.setattr(demo, 'sizes_for', lambda *args: SHORT._replace(canvases=7, validation_canvases=2))
    folder.mkdir()
    (folder / 'mine').write_text('mine')
    monkeypatch.setattr(demo, 'find_smollm2', lambda: Path('lm.gguf'))
    monkeypatch.setattr(sys, 'argv', ['demo', '--out', str(tmp_path), '--only', 'detection'])
    with pytest.raises(SystemExit, match='exists and is not an empty folder, and it holds no data set of ours'):
        demo.main()
    assert [path.name for path in folder.iterdir()] == ['mine']


def test_a_picture_is_whole_or_as_it_was(tmp_path):
    import matplotlib
    matplotlib.use('Agg')
    import matplotlib.pyplot as plt

    from tools.demo.part import save_figure
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
@pytest.mark.parametrize('part, told, files, sizes, others', (
    ('bridge', ('language - random', 'probe_smollm2_digits/accuracy/top1'),
     ('bridge/curves.png', 'bridge/results.csv', 'bridge/summary.md'), '--epochs 1', ''),
    ('detection', ('language - host', 'bbox_mAP_50'), ('detection/curves.png', 'detection/predictions.png'),
     '--epochs 1 --canvases 64', '--canvases 48'),
    ('segmentation', ('language - host', 'mIoU'), ('segmentation/curves.png', 'segmentation/predictions.png'),
     '--iterations 4 --canvases 64', '--canvases 48')))
def test_a_part_runs_and_a_second_call_does_nothing_again(part, told, files, sizes, others, smollm2, tmp_path):
    command = ('python', '-m', 'tools.demo', '--only', part, *sizes.split(), '--seeds', '0', '1', '--out', tmp_path)
    first = finish(start(*command, cwd=REPO))
    assert first.returncode == 0, first.output
    assert all(word in first.output for word in told) and 'told apart by 2 seeds' in first.output
    assert not any(word in first.output for word in ('OneDL', 'mmengine', 'Warning', 'warning', 'WARN')), first.output
    assert all((tmp_path / name).stat().st_size > 100 for name in files)
    logs = {path: path.stat().st_mtime_ns for path in tmp_path.rglob('train.log')}
    assert finish(start(*command, cwd=REPO)).returncode == 0
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob('train.log')} == logs
    (tmp_path / part / 'mine.txt').write_text('mine')
    other = finish(start(*command, '--fresh', *others.split(), cwd=REPO))
    assert other.returncode == 0, other.output
    assert (tmp_path / part / 'mine.txt').read_text() == 'mine'
    assert all(path.stat().st_mtime_ns > logs[path] for path in logs)
