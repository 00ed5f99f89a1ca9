"""tools/lbbt.py: the bridge, then the probes on its checkpoint; and both commands on real trainings."""
import json
import os
import re
import shutil
import signal
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

from lbbt_mm.experiments import lbbt
from lbbt_mm.files.safe_checkpoints import load_checkpoint_safely
from tests import fake_training
from tests.fake_training import behave, starts, write_checkpoint
from tests.tool_processes import REPO, run_tool


#: The folder of the bridge, in which its probes are
BRIDGE = 'language-seed0-lr0.01'
SAVE_BEST = 'default_hooks.checkpoint.save_best'


@pytest.fixture
def folder(folder) -> Path:
    (folder / 'finetune.py').write_text(fake_training.PROBE)
    return folder


@pytest.fixture
def run_lbbt(folder, capfd):

    def run(*arguments, probes=('probe.py', )):
        status = lbbt.main([str(folder / 'bridge.py'), '--probe', *(str(folder / probe) for probe in probes), '--work-dir',
                            str(folder / 'out'), *map(str, arguments)])
        captured = capfd.readouterr()
        return status, captured.out + captured.err

    return run


def place(folder, stage) -> Path:
    """Where a stage is, whose name is ``bridge`` or that of a probe's config."""
    run = folder / 'out' / 'runs' / BRIDGE
    return run if stage == 'bridge' else run / 'probes' / stage


def request(folder, stage) -> dict:
    return json.loads((place(folder, stage) / 'request.json').read_text())['config']


def checkpoint_of(folder, stage) -> str:
    return request(folder, stage)['model']['backbone']['init_cfg']['checkpoint']


def started(folder) -> list:
    """The stages that were started, in their order."""
    return ['bridge' if name == BRIDGE else name for name in starts(folder)]


class TestStages:

    def test_bridge_then_every_probe_from_its_last_checkpoint(self, run_lbbt, folder):
        assert run_lbbt(probes=('probe.py', 'finetune.py'))[0] == 0
        assert started(folder) == ['bridge', 'probe', 'finetune']
        for stage in ('probe', 'finetune'):
            assert checkpoint_of(folder, stage) == str(place(folder, 'bridge') / 'epoch_4.pth')

    def test_or_from_the_best(self, run_lbbt, folder):
        best = ('--checkpoint', 'best', '--cfg-options', f'{SAVE_BEST}=auto')
        status, output = run_lbbt(*best)
        assert status == 1 and f'has no best_*.pth. Set {SAVE_BEST}' in output
        write_checkpoint(place(folder, 'bridge') / 'best_train_accuracy_epoch_2.pth')
        assert run_lbbt(*best)[0] == 0
        assert checkpoint_of(folder, 'probe').endswith('best_train_accuracy_epoch_2.pth')

    @pytest.mark.parametrize('given, found', [
        ([], 'None'), ([f'{SAVE_BEST}=a,b'], "['a', 'b']"), ([f'{SAVE_BEST}=[]'], '[]')])
    def test_which_the_config_has_to_keep_by_one_metric(self, run_lbbt, folder, given, found):
        options = ('--cfg-options', *given) if given else ()
        for more in ((), ('--dry-run', )):
            status, output = run_lbbt('--checkpoint', 'best', *more, *options)
            assert status == 2 and output == (
                f'--checkpoint best: {folder}/bridge.py has {SAVE_BEST}={found}; expected the name of one metric, or auto. '
                'Set it, or use the last checkpoint.\n')
        assert not (folder / 'out').exists() and not started(folder)
        assert run_lbbt(*options)[0] == 0, 'the last is there'
        assert run_lbbt('--checkpoint', 'best', '--report-only', *options)[0] == 0

    def test_options_go_to_their_stage(self, run_lbbt, folder):
        _, output = run_lbbt('--cfg-options', 'log_level=INFO', 'model.backbone.width=3', 'model.head.width=3',
                             '--probe-cfg-options', 'experiment_name=x')
        requests = {stage: request(folder, stage) for stage in ('bridge', 'probe')}
        assert requests['bridge']['log_level'] == 'INFO' and 'experiment_name' not in requests['bridge']
        assert requests['probe']['experiment_name'] == 'x' and 'log_level' not in requests['probe']
        widths = [requests[stage]['model']['backbone']['width'] for stage in ('bridge', 'probe')]
        assert widths == [3, 3], 'the backbone is one'
        assert 'head' in requests['bridge']['model'] and 'head' not in requests['probe']['model']
        assert 'probe gets these --cfg-options too: model.backbone.width=3\n' in output

    def test_the_table_and_the_files(self, run_lbbt, folder):
        _, output = run_lbbt()
        final = fake_training.accuracy('language', 0, 0.01)
        header, = [line for line in output.splitlines() if 'Test-acc1' in line]
        assert 'stage' in header and 'accuracy/top1' not in header
        assert 'loss' not in header, 'that of the last training record is none of the results'
        assert f'│ bridge │ finished │        {final:.0f} │' in output
        assert f'│ probe  │ finished │        {final / 2:.0f} │' in output
        row, = pd.read_csv(folder / 'out' / 'results.csv').to_dict('records')
        assert (row['arm'], row['seed'], row['lr'], row['status'], row['probe/status']) == (
            'language', 0, 0.01, 'finished', 'finished')
        assert (row['accuracy/top1'], row['probe/accuracy/top1'], row['loss']) == (final, final / 2, 1)
        assert set(pd.read_csv(folder / 'out' / 'summary.csv')['metric']) == {'accuracy/top1', 'probe/accuracy/top1'}
        text = (folder / 'out' / 'summary.md').read_text()
        assert f'| language | 0.01 | 1 | {final:.0f} | - | finished |' in text and 'minus' not in text
        assert {path.name for path in (folder / 'out').iterdir()} == {
            'runs', 'results.csv', 'summary.csv', 'summary.md', 'curves.png', 'curves.pdf', 'curves.csv', '.lbbt_mm.json'}

    def test_the_arm_and_the_seeds_are_the_config_s(self, run_lbbt, folder):
        given = ('model.backbone.language.arm=shuffled', 'randomness.seed=3', 'model.backbone.language.seed=5')
        assert run_lbbt('--cfg-options', *given)[0] == 0
        run = folder / 'out' / 'runs' / 'shuffled-seed3-lr0.01'
        for path in (run, run / 'probes' / 'probe'):
            config = json.loads((path / 'request.json').read_text())['config']
            assert (config['model']['backbone']['language']['arm'], config['model']['backbone']['language']['seed']) == (
                'shuffled', 5), 'the backbone is one'
        assert json.loads((run / 'request.json').read_text())['config']['randomness']['seed'] == 3

    def test_a_report_and_a_dry_run_train_nothing(self, run_lbbt, folder):
        status, output = run_lbbt('--dry-run')
        assert status == 0 and output.splitlines()[-1] == '# trainings: 2, done: 0' and not (folder / 'out').exists()
        assert run_lbbt('--report-only')[0] == 1
        run_lbbt()
        status, output = run_lbbt('--report-only', probes=('probe.py', 'finetune.py'))
        assert status == 0 and started(folder) == ['bridge', 'probe'] and re.search(r'finetune │ missing +│ +- │', output)

    def test_a_probe_that_takes_no_bridge_is_refused_before_training(self, run_lbbt, folder):
        status, output = run_lbbt(probes=('probe.py', 'plain.py'))
        assert status == 2 and 'plain.py: no such config file' in output and not started(folder)
        (folder / 'plain.py').write_text(fake_training.CONFIG)
        status, output = run_lbbt(probes=('plain.py', ))
        assert status == 2 and 'expected one init_cfg' in output and not started(folder)

    def test_names_that_collide(self, run_lbbt, folder):
        status, output = run_lbbt(probes=('bridge.py', ))
        assert status == 2 and 'none can be called bridge' in output and not (folder / 'out').exists()

    def test_a_bridge_that_diverged_is_not_probed(self, run_lbbt, folder):
        behave(folder, **{BRIDGE: 'nan'})
        status, output = run_lbbt()
        assert status == 1 and 'The bridge diverged, so no probe was trained. Lower the learning rate' in output
        assert started(folder) == ['bridge']
        assert pd.read_csv(folder / 'out' / 'results.csv')['loss'].isna().all()


class TestResuming:

    def test_what_is_done_is_not_done_again(self, run_lbbt, folder):
        run_lbbt()
        assert run_lbbt(probes=('probe.py', 'finetune.py'))[0] == 0
        assert started(folder) == ['bridge', 'probe', 'finetune']
        run_lbbt('--fresh')
        assert started(folder)[3:] == ['bridge', 'probe']

    def test_a_probe_of_an_earlier_bridge_is_refused(self, run_lbbt, folder):
        run_lbbt()
        bridge = place(folder, 'bridge')
        for path in bridge.iterdir():
            if path.name != 'probes':
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        status, output = run_lbbt()
        assert status == 2 and started(folder) == ['bridge', 'probe']
        assert 'finished' not in output, 'its old number is not shown'
        assert (f'{bridge}/probes/probe was trained on an earlier bridge: that of {bridge} was trained anew since, or '
                'is to be. Remove the probe\'s folder to train it on the new one, or add --fresh') in output
        assert run_lbbt('--report-only')[0] == 1, 'there is no bridge'
        assert run_lbbt(probes=('finetune.py', ))[0] == 0
        assert 'was trained on an earlier bridge' in run_lbbt()[1], 'nor is it one of the new bridge'
        assert re.search(r'probe  │ outdated │ +- │', run_lbbt('--report-only')[1])
        shutil.rmtree(place(folder, 'probe'))
        assert run_lbbt()[0] == 0 and started(folder)[-1] == 'probe'
        assert run_lbbt('--fresh')[0] == 0 and started(folder)[-2:] == ['bridge', 'probe']

    def test_one_that_does_not_say_of_which_bridge_it_is_is_taken_as_it_is(self, run_lbbt, folder):
        """Until 2026-11-29 compare_arms.py did not note it."""
        run_lbbt()
        path = place(folder, 'probe') / 'request.json'
        path.write_text(json.dumps({**json.loads(path.read_text()), 'also': {}}))
        assert run_lbbt()[0] == 0 and started(folder) == ['bridge', 'probe']

    def test_afresh_a_bridge_takes_its_probes_with_it(self, run_lbbt, folder):
        run_lbbt()
        assert lbbt.main([str(folder / 'bridge.py'), '--work-dir', str(folder / 'out'), '--fresh']) == 0
        assert run_lbbt()[0] == 0 and started(folder) == ['bridge', 'probe'] * 2

    def test_a_folder_of_the_earlier_layout_is_refused_and_kept(self, run_lbbt, folder):
        old = folder / 'out' / 'bridge' / 'request.json'
        old.parent.mkdir(parents=True)
        old.write_text(json.dumps(dict(id='a', config={}, options=[])))
        for more in ((), ('--fresh', ), ('--report-only', )):
            status, output = run_lbbt(*more)
            assert status == 2 and output == (
                f'{old.parent} is a run of an earlier lbbt.py; runs are now in {folder}/out/runs. Nothing was touched: give '
                'another folder, or remove that one to train anew here.\n')
        assert [path.name for path in (folder / 'out').iterdir()] == ['bridge'] and not started(folder)

    def test_so_is_one_whose_bridge_would_go_back_to_the_start(self, run_lbbt, folder):
        """Its marker names a checkpoint that is gone: that is known before anything is trained."""
        run_lbbt()
        for path in ('done', *(f'epoch_{epoch}.pth' for epoch in range(1, 5))):
            (place(folder, 'bridge') / path).unlink()
        status, output = run_lbbt()
        assert status == 2 and 'was trained on an earlier bridge' in output
        assert started(folder) == ['bridge', 'probe']

    def test_fresh_removes_nothing_for_a_command_that_cannot_run(self, run_lbbt, folder):
        assert run_lbbt()[0] == 0
        status, output = run_lbbt('--fresh', probes=('typo.py', ))
        assert status == 2 and 'typo.py: no such config file' in output
        assert (place(folder, 'bridge') / 'done').is_file() and started(folder) == ['bridge', 'probe']

    def test_fresh_removes_the_runs_and_nothing_else(self, run_lbbt, folder):
        run_lbbt()
        for path in (folder / 'out' / 'mine.txt', place(folder, 'bridge') / 'mine.txt'):
            path.write_text('mine')
        status, output = run_lbbt('--fresh')
        assert status == 0 and started(folder) == ['bridge', 'probe'] * 2 and len(list(folder.rglob('mine.txt'))) == 2
        assert (f'Left in {place(folder, "bridge")}, since no run of ours wrote it: environment.json, mine.txt, probes\n'
                in output)

    @pytest.mark.parametrize('more', ((), ('--fresh', )))
    @pytest.mark.parametrize('name', ('results.csv', 'curves.png'))
    def test_results_of_somebody_else_are_refused_before_training(self, run_lbbt, folder, name, more):
        mine = folder / 'out' / name
        mine.parent.mkdir()
        mine.write_text('mine')
        status, output = run_lbbt(*more)
        assert status == 2 and output.count('\n') == 1 and f'{mine} was not written by a run of ours' in output
        assert not started(folder) and [path.name for path in mine.parent.iterdir()] == [name] and mine.read_text() == 'mine'

    @pytest.mark.parametrize('stage', ('bridge', 'probe'))
    def test_a_stage_s_folder_of_somebody_else_is_refused(self, run_lbbt, folder, stage):
        mine = place(folder, stage) / 'request.json'
        mine.parent.mkdir(parents=True)
        mine.write_text('{"url": 1}')
        for more in ((), ('--fresh', )):
            status, output = run_lbbt(*more)
            assert status == 2 and f'{mine} was not written by a run of lbbt_mm' in output and not started(folder)
        assert mine.read_text() == '{"url": 1}'

    def test_a_config_that_is_absent_leaves_nothing(self, run_lbbt, folder):
        (folder / 'bridge.py').unlink()
        status, output = run_lbbt()
        assert status == 2 and output.count('no such config file') == 1 and not (folder / 'out').exists()

    @pytest.mark.parametrize('stage', ('bridge', 'probe'))
    def test_interrupted_in_either_stage_it_goes_on(self, run_lbbt, folder, stage):
        behave(folder, **{BRIDGE if stage == 'bridge' else stage: 'hang'})

        def terminate():
            while not (place(folder, stage) / 'hangs').exists():
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGTERM)  # as a batch system does

        threading.Thread(target=terminate, daemon=True).start()
        status, output = run_lbbt()
        assert status == 130 and 'The same command goes on from the last checkpoints, or from the start' in output
        behave(folder)
        assert run_lbbt()[0] == 0
        assert started(folder) == (['bridge', 'bridge', 'probe'] if stage == 'bridge' else ['bridge', 'probe', 'probe'])
        assert (place(folder, stage) / 'attempt2').is_dir(), 'from epoch 2'

    def test_a_failure_shows_its_log(self, run_lbbt, folder):
        behave(folder, probe='fail')
        status, output = run_lbbt()
        assert status == 1 and 'FileNotFoundError: no such images' in output and 'probe/train.log' in output

    @pytest.mark.parametrize('given, visible', ((('--gpus', '3,5'), '3,5'), pytest.param(
        ('--gpus-per-training', 2), '7', marks=pytest.mark.slow)))
    def test_all_gpus_train_a_stage_each_a_rank(self, run_lbbt, folder, given, visible, monkeypatch):
        monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '7')
        assert run_lbbt(*given)[0] == 0
        for stage in ('bridge', 'probe'):
            record = json.loads((place(folder, stage) / 'environment.json').read_text())
            assert record['WORLD_SIZE'] == '2' and int(record['MASTER_PORT']) > 1023
            assert record['CUDA_VISIBLE_DEVICES'] == visible

    def test_a_number_of_gpus_as_it_was_given_before_is_no_gpu_of_that_number(self, run_lbbt, folder, capfd):
        with pytest.raises(SystemExit) as caught:
            run_lbbt('--gpus', 6)
        assert caught.value.code == 2 and ('For 6 GPUs give --gpus-per-training 6; for GPU 6 alone add --gpus-per-training 1'
                                           in capfd.readouterr().err)
        assert run_lbbt('--gpus', 6, '--gpus-per-training', 1)[0] == 0
        record = json.loads((place(folder, 'bridge') / 'environment.json').read_text())
        assert record['CUDA_VISIBLE_DEVICES'] == '6' and 'WORLD_SIZE' not in record


def test_help():
    status, output = run_tool('lbbt.py', '--help')
    assert status == 0
    for word in ('--probe', '--checkpoint', '--gpus', 'the same command'):
        assert word in output


@pytest.mark.slow
class TestRealTrainings:

    @pytest.fixture
    def arguments(self, folders, tmp_path):
        """A tiny GPT-2 on two classes of eight images, one epoch a stage."""
        for split in ('train', 'test'):
            for index in range(16):
                path = tmp_path / 'data' / split / f'class{index % 2}' / f'{index}.png'
                path.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(path), np.random.default_rng(index).integers(0, 255, (32, 32, 3), dtype=np.uint8))
        model = [f'model.backbone.language.checkpoint={folders["gpt2"]}', 'model.backbone.language.config=None']
        schedule = ['train_cfg.max_epochs=1', 'train_cfg.val_interval=1', 'train_dataloader.dataset.num_samples=16']
        small = REPO / 'configs' / 'small'
        return [small / 'bridge_gpt2_imagefolder.py', '--probe', small / 'probe_gpt2_imagefolder.py',
                '--cfg-options', *model, *schedule, 'val_dataloader.dataset.num_samples=16', 'val_cfg.num_train_samples=16',
                '--probe-cfg-options', *schedule]

    @pytest.mark.parametrize('processes', [1, 2])
    def test_both_stages(self, arguments, tmp_path, processes):
        arguments.insert(3, arguments[2].with_name('finetune_gpt2_imagefolder.py'))
        status, output = run_tool('lbbt.py', *arguments, '--work-dir', tmp_path / 'out', '--gpus-per-training', processes,
                                  LBBT_DATA_ROOT=tmp_path / 'data', LBBT_NUM_CLASSES=2)
        assert status == 0, output
        row, = pd.read_csv(tmp_path / 'out' / 'results.csv').to_dict('records')
        assert {'train/accuracy/top1', 'test/accuracy/top1'} <= set(row)
        stages = ('probe_gpt2_imagefolder', 'finetune_gpt2_imagefolder')
        assert all(0 <= row[f'{stage}/accuracy/top1'] <= 100 for stage in stages)
        run, = (tmp_path / 'out' / 'runs').iterdir()
        weights = [load_checkpoint_safely(place / 'epoch_1.pth')['state_dict']
                   for place in (run, *(run / 'probes' / stage for stage in stages))]
        name = 'backbone.blocks.0.attn.qkv.weight'
        assert torch.equal(weights[0][name], weights[1][name]), 'the probe\'s frozen backbone is the bridge\'s'
        assert not torch.equal(weights[0][name], weights[2][name]), 'fine-tuning trains it'
        for stage in stages:
            log = (run / 'probes' / stage / 'train.log').read_text()
            assert re.search(rf'BridgeInit: \d+ tensors, .* from {run}/epoch_1.pth, arm language', log)

    def test_two_arms(self, arguments, tmp_path):
        status, output = run_tool('compare_arms.py', *arguments, '--out', tmp_path / 'out', '--arms', 'language', 'random',
                                  '--seeds', 0, LBBT_DATA_ROOT=tmp_path / 'data', LBBT_NUM_CLASSES=2)
        assert status == 0, output
        table = pd.read_csv(tmp_path / 'out' / 'results.csv')
        assert table['status'].tolist() == table['probe_gpt2_imagefolder/status'].tolist() == ['finished'] * 2
        assert table[['train/accuracy/top1', 'probe_gpt2_imagefolder/accuracy/top1']].notna().all(axis=None)
        for arm in ('language', 'random'):
            log, = (tmp_path / 'out' / 'runs').glob(f'{arm}-seed0-*/train.log')
            assert f'LanguageInit: arm {arm}, seed 0' in log.read_text()
