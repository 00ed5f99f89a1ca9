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
from lbbt_mm.runs import training_run
from tests import fake_training
from tests.fake_training import behave, starts, write_checkpoint, write_configs
from tests.tool_processes import REPO, run_tool


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(training_run, 'TRAIN_TOOL', (fake_training.__file__, ))
    write_configs(tmp_path)
    (tmp_path / 'finetune.py').write_text(fake_training.PROBE)
    return tmp_path


@pytest.fixture
def run_lbbt(folder, capfd):

    def run(*arguments, probes=('probe.py', )):
        status = lbbt.main([str(folder / 'bridge.py'), '--probe', *(str(folder / probe) for probe in probes), '--work-dir',
                            str(folder / 'out'), *map(str, arguments)])
        captured = capfd.readouterr()
        return status, captured.out + captured.err

    return run


def checkpoint_of(folder, stage) -> str:
    config = json.loads((folder / 'out' / stage / 'request.json').read_text())['config']
    return config['model']['backbone']['init_cfg']['checkpoint']


class TestStages:

    def test_bridge_then_every_probe_from_its_last_checkpoint(self, run_lbbt, folder):
        assert run_lbbt(probes=('probe.py', 'finetune.py'))[0] == 0
        assert starts(folder) == ['bridge', 'probe', 'finetune']
        for stage in ('probe', 'finetune'):
            assert checkpoint_of(folder, stage) == str(folder / 'out' / 'bridge' / 'epoch_4.pth')

    def test_or_from_the_best(self, run_lbbt, folder):
        status, output = run_lbbt('--checkpoint', 'best')
        assert status == 1 and 'has no best_*.pth. Set default_hooks.checkpoint.save_best' in output
        write_checkpoint(folder / 'out' / 'bridge' / 'best_train_accuracy_epoch_2.pth')
        assert run_lbbt('--checkpoint', 'best')[0] == 0
        assert checkpoint_of(folder, 'probe').endswith('best_train_accuracy_epoch_2.pth')

    def test_options_go_to_their_stage(self, run_lbbt, folder):
        _, output = run_lbbt('--cfg-options', 'log_level=INFO', 'model.backbone.width=3', 'model.head.width=3',
                             '--probe-cfg-options', 'experiment_name=x')
        requests = {stage: json.loads((folder / 'out' / stage / 'request.json').read_text())['config']
                    for stage in ('bridge', 'probe')}
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
        stages = json.loads((folder / 'out' / 'results.json').read_text())
        assert [(stage['stage'], stage['status'], stage['metrics']['accuracy/top1']) for stage in stages] == [
            ('bridge', 'finished', final), ('probe', 'finished', final / 2)]
        assert pd.read_csv(folder / 'out' / 'results.csv')['accuracy/top1'].tolist() == [final, final / 2]

    def test_a_probe_that_takes_no_bridge_is_refused_before_training(self, run_lbbt, folder):
        status, output = run_lbbt(probes=('probe.py', 'plain.py'))
        assert status == 2 and 'plain.py: no such config file' in output and not starts(folder)
        (folder / 'plain.py').write_text(fake_training.CONFIG)
        status, output = run_lbbt(probes=('plain.py', ))
        assert status == 2 and 'expected one init_cfg' in output and not starts(folder)

    def test_names_that_collide(self, run_lbbt, capfd):
        with pytest.raises(SystemExit):
            run_lbbt(probes=('bridge.py', ))
        assert 'none can be called bridge' in capfd.readouterr().err

    def test_a_bridge_that_diverged_is_not_probed(self, run_lbbt, folder):
        behave(folder, bridge='nan')
        status, output = run_lbbt()
        assert status == 1 and 'The bridge diverged, so no probe was trained. Lower the learning rate' in output
        assert starts(folder) == ['bridge']
        assert json.loads((folder / 'out' / 'results.json').read_text())[0]['metrics']['loss'] is None


class TestResuming:

    def test_what_is_done_is_not_done_again(self, run_lbbt, folder):
        run_lbbt()
        assert run_lbbt(probes=('probe.py', 'finetune.py'))[0] == 0
        assert starts(folder) == ['bridge', 'probe', 'finetune']
        run_lbbt('--fresh')
        assert starts(folder)[3:] == ['bridge', 'probe']

    @pytest.mark.parametrize('how', ('fresh', 'removed'))
    def test_a_probe_of_an_earlier_bridge_is_refused(self, run_lbbt, folder, capfd, how):
        run_lbbt()
        if how == 'fresh':
            assert lbbt.main([str(folder / 'bridge.py'), '--work-dir', str(folder / 'out'), '--fresh']) == 0
        else:
            shutil.rmtree(folder / 'out' / 'bridge')
        before, _ = starts(folder), capfd.readouterr()
        status, output = run_lbbt()
        assert status == 2 and starts(folder) == before and 'finished' not in output, 'its old number is not shown'
        out = folder / 'out'
        assert (f'{out}/probe was trained on an earlier bridge: that of {out}/bridge was trained anew since, or is to be. '
                'Remove the probe\'s folder to train it on the new one, or add --fresh') in output
        shutil.rmtree(folder / 'out' / 'probe')
        assert run_lbbt()[0] == 0 and starts(folder)[-1] == 'probe'
        assert run_lbbt('--fresh')[0] == 0 and starts(folder)[-2:] == ['bridge', 'probe']

    def test_so_is_one_whose_bridge_would_go_back_to_the_start(self, run_lbbt, folder):
        """Its marker names a checkpoint that is gone: that is known before anything is trained."""
        run_lbbt()
        for path in ('done', *(f'epoch_{epoch}.pth' for epoch in range(1, 5))):
            (folder / 'out' / 'bridge' / path).unlink()
        status, output = run_lbbt()
        assert status == 2 and 'was trained on an earlier bridge' in output
        assert starts(folder) == ['bridge', 'probe']

    def test_fresh_removes_nothing_for_a_command_that_cannot_run(self, run_lbbt, folder):
        assert run_lbbt()[0] == 0
        status, output = run_lbbt('--fresh', probes=('typo.py', ))
        assert status == 2 and 'typo.py: no such config file' in output
        assert (folder / 'out' / 'bridge' / 'done').is_file() and starts(folder) == ['bridge', 'probe']

    def test_fresh_removes_the_runs_and_nothing_else(self, run_lbbt, folder):
        run_lbbt()
        for path in (folder / 'out' / 'mine.txt', folder / 'out' / 'bridge' / 'mine.txt'):
            path.write_text('mine')
        status, output = run_lbbt('--fresh')
        assert status == 0 and starts(folder) == ['bridge', 'probe'] * 2 and len(list(folder.rglob('mine.txt'))) == 2
        assert f'Left in {folder}/out/bridge, since no run of ours wrote it: environment.json, mine.txt\n' in output

    @pytest.mark.parametrize('more', ((), ('--fresh', )))
    @pytest.mark.parametrize('name', ('results.csv', 'results.json'))
    def test_results_of_somebody_else_are_refused_before_training(self, run_lbbt, folder, name, more):
        mine = folder / 'out' / name
        mine.parent.mkdir()
        mine.write_text('mine')
        status, output = run_lbbt(*more)
        assert status == 2 and output.count('\n') == 1 and f'{mine} was not written by a run of ours' in output
        assert not starts(folder) and [path.name for path in mine.parent.iterdir()] == [name] and mine.read_text() == 'mine'

    @pytest.mark.parametrize('stage', ('bridge', 'probe'))
    def test_a_stage_s_folder_of_somebody_else_is_refused(self, run_lbbt, folder, stage):
        mine = folder / 'out' / stage / 'request.json'
        mine.parent.mkdir(parents=True)
        mine.write_text('{"url": 1}')
        for more in ((), ('--fresh', )):
            status, output = run_lbbt(*more)
            assert status == 2 and f'{mine} was not written by a run of lbbt_mm' in output and not starts(folder)
        assert mine.read_text() == '{"url": 1}'

    def test_a_config_that_is_absent_leaves_nothing(self, run_lbbt, folder):
        (folder / 'bridge.py').unlink()
        status, output = run_lbbt()
        assert status == 2 and output.count('no such config file') == 1 and not (folder / 'out').exists()

    @pytest.mark.parametrize('stage', ('bridge', 'probe'))
    def test_interrupted_in_either_stage_it_goes_on(self, run_lbbt, folder, stage):
        behave(folder, **{stage: 'hang'})

        def terminate():
            while not (folder / 'out' / stage / 'hangs').exists():
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGTERM)  # as a batch system does

        threading.Thread(target=terminate, daemon=True).start()
        status, output = run_lbbt()
        assert status == 130 and 'The same command goes on from the last checkpoint, or from the start' in output
        behave(folder)
        assert run_lbbt()[0] == 0
        assert starts(folder) == (['bridge', 'bridge', 'probe'] if stage == 'bridge' else ['bridge', 'probe', 'probe'])
        assert (folder / 'out' / stage / 'attempt2').is_dir(), 'from epoch 2'

    def test_a_failure_shows_its_log(self, run_lbbt, folder):
        behave(folder, probe='fail')
        status, output = run_lbbt()
        assert status == 1 and 'FileNotFoundError: no such images' in output and 'probe/train.log' in output

    def test_several_gpus_are_several_ranks(self, run_lbbt, folder):
        assert run_lbbt('--gpus', 2)[0] == 0
        for stage in ('bridge', 'probe'):
            record = json.loads((folder / 'out' / stage / 'environment.json').read_text())
            assert record['WORLD_SIZE'] == '2' and int(record['MASTER_PORT']) > 1023


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

    def test_both_stages(self, arguments, tmp_path):
        arguments.insert(3, arguments[2].with_name('finetune_gpt2_imagefolder.py'))
        status, output = run_tool('lbbt.py', *arguments, '--work-dir', tmp_path / 'out', LBBT_DATA_ROOT=tmp_path / 'data',
                                  LBBT_NUM_CLASSES=2)
        assert status == 0, output
        bridge, probe, finetuned = json.loads((tmp_path / 'out' / 'results.json').read_text())
        assert {'train/accuracy/top1', 'test/accuracy/top1'} <= set(bridge['metrics'])
        assert 0 <= probe['metrics']['accuracy/top1'] <= 100 and 0 <= finetuned['metrics']['accuracy/top1'] <= 100
        weights = [load_checkpoint_safely(tmp_path / 'out' / stage / 'epoch_1.pth')['state_dict']
                   for stage in ('bridge', 'probe_gpt2_imagefolder', 'finetune_gpt2_imagefolder')]
        name = 'backbone.blocks.0.attn.qkv.weight'
        assert torch.equal(weights[0][name], weights[1][name]), 'the probe\'s frozen backbone is the bridge\'s'
        assert not torch.equal(weights[0][name], weights[2][name]), 'fine-tuning trains it'
        for stage in ('probe_gpt2_imagefolder', 'finetune_gpt2_imagefolder'):
            log = (tmp_path / 'out' / stage / 'train.log').read_text()
            assert re.search(rf'BridgeInit: \d+ tensors, .* from {tmp_path}/out/bridge/epoch_1.pth, arm language', log)

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
