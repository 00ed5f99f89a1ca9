"""What the command-line tools share: the config they make of a command line, and the processes they run in."""
import argparse
import os
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.hooks import CheckpointHook

from lbbt_mm.launch import arguments, checkpoints, processes, settings
from tests.tiny_detection import run_config
from tests.tool_processes import free_port


@pytest.fixture(autouse=True)
def no_rank(monkeypatch):
    """`load_config` sets LOCAL_RANK where the launcher has not."""
    monkeypatch.setenv('LOCAL_RANK', '0')


def parse(*command_line: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument('config')
    arguments.add_run_arguments(parser)
    return parser.parse_args(command_line)


@pytest.fixture
def config_file(tmp_path) -> str:
    (tmp_path / 'mine.py').write_text(
        "language = dict(checkpoint='gpt2', config=dict(model_type='gpt2', n_embd=768))\n"
        "model = dict(type='X', blocks='0:12', language=language)\ntrain_dataloader = dict(scales=[(1, 2), (3, 4)])\n")
    return str(tmp_path / 'mine.py')


class TestLoadConfig:

    def test_the_work_dir_is_named_after_the_config_unless_it_is_given(self, config_file, tmp_path):
        assert settings.load_config(parse(config_file)).work_dir == os.path.join('work_dirs', 'mine')
        assert settings.load_config(parse(config_file, '--work-dir', 'there')).work_dir == 'there'
        with open(config_file, 'a') as file:
            file.write("work_dir = 'written'\n")
        assert settings.load_config(parse(config_file)).work_dir == 'written'
        assert settings.load_config(parse(config_file, '--work-dir', 'there')).work_dir == 'there'

    def test_a_work_dir_that_is_a_file(self, config_file):
        with pytest.raises(ValueError, match='--work-dir .*mine.py: is there, and no folder'):
            settings.load_config(parse(config_file, '--work-dir', config_file))

    def test_a_part_that_the_run_needs(self, config_file):
        with pytest.raises(ValueError, match='mine.py: has no optim_wrapper; expected model, optim_wrapper'):
            settings.load_config(parse(config_file), ('model', 'optim_wrapper'))

    def test_cfg_options_change_the_language_model(self, config_file):
        cfg = settings.load_config(parse(config_file, '--cfg-options', 'model.language.checkpoint=/there/llama',
                                       'model.language.config=None', 'model.blocks=-1', 'model.language.seed=3'))
        assert cfg.model.language == dict(checkpoint='/there/llama', config=None, seed=3)
        assert cfg.model.blocks == -1

    def test_cfg_options_change_one_field_of_it(self, config_file):
        cfg = settings.load_config(parse(config_file, '--cfg-options', 'model.language.config.n_embd=64'))
        assert cfg.model.language.config == dict(model_type='gpt2', n_embd=64)

    def test_the_launcher_is_handed_on(self, config_file):
        assert settings.load_config(parse(config_file)).launcher == 'none'
        assert settings.load_config(parse(config_file, '--launcher', 'pytorch')).launcher == 'pytorch'

    def test_the_rank_comes_from_either_spelling(self, config_file, monkeypatch):
        for spelling in ('--local-rank', '--local_rank'):
            monkeypatch.delenv('LOCAL_RANK', raising=False)
            settings.load_config(parse(config_file, f'{spelling}=3'))
            assert os.environ['LOCAL_RANK'] == '3'

    def test_an_absent_config_is_one_error(self):
        with pytest.raises(FileNotFoundError, match='configs/none.py: no such config file. Give the path'):
            settings.load_config(parse('configs/none.py'))


class TestAmp:

    def test_a_cpu_gets_bfloat16(self, monkeypatch):
        monkeypatch.setattr(settings, 'get_device', lambda: 'cpu')
        cfg = run_config()
        settings.enable_amp(cfg)
        assert cfg.optim_wrapper.type == 'lbbt_mm.AutocastOptimWrapper'
        assert cfg.optim_wrapper.optimizer.type == 'AdamW' and 'loss_scale' not in cfg.optim_wrapper

    def test_a_gpu_gets_mmengine_s_wrapper(self, monkeypatch):
        monkeypatch.setattr(settings, 'get_device', lambda: 'cuda')
        cfg = run_config()
        settings.enable_amp(cfg)
        assert cfg.optim_wrapper.type == 'AmpOptimWrapper' and cfg.optim_wrapper.loss_scale == 'dynamic'

    @pytest.mark.parametrize(('device', 'kind'), [('cuda', 'AmpOptimWrapper'), ('cuda', 'lbbt_mm.AutocastOptimWrapper'),
                                                  ('cpu', 'lbbt_mm.AutocastOptimWrapper')])
    def test_a_config_that_has_it_already_is_left_alone(self, monkeypatch, device, kind):
        monkeypatch.setattr(settings, 'get_device', lambda: device)
        cfg = run_config(optim_wrapper__type=kind)
        settings.enable_amp(cfg)
        assert cfg.optim_wrapper.type == kind

    def test_a_config_made_for_gpus_runs_on_a_cpu(self, monkeypatch):
        monkeypatch.setattr(settings, 'get_device', lambda: 'cpu')
        cfg = run_config(optim_wrapper__type='AmpOptimWrapper')
        cfg.optim_wrapper.update(loss_scale='dynamic', dtype='float16')
        settings.enable_amp(cfg)
        assert cfg.optim_wrapper.type == 'lbbt_mm.AutocastOptimWrapper'
        assert not {'loss_scale', 'dtype'} & set(cfg.optim_wrapper)

    def test_other_wrappers_are_an_error(self):
        with pytest.raises(ValueError, match="--amp works with .*'OptimWrapper'; found 'ApexOptimWrapper'"):
            settings.enable_amp(run_config(optim_wrapper__type='ApexOptimWrapper'))


class TestAutoScaleLR:

    def test_it_is_switched_on(self):
        cfg = run_config()
        assert not cfg.auto_scale_lr.get('enable')
        settings.enable_auto_scale_lr(cfg)
        assert cfg.auto_scale_lr.enable and cfg.auto_scale_lr.base_batch_size == 8

    @pytest.mark.parametrize('written', [None, dict(enable=False)])
    def test_without_a_base_batch_size_it_is_an_error(self, written):
        with pytest.raises(ValueError, match=r'--auto-scale-lr needs auto_scale_lr=dict\(base_batch_size'):
            settings.enable_auto_scale_lr(Config(dict(auto_scale_lr=written)))


class TestRecordLanguageConfig:

    def test_a_config_that_does_not_name_the_hook_gets_it(self):
        cfg = Config(dict(model=dict(language=dict()), custom_hooks=[dict(type='EMAHook')]))
        settings.record_language_config(cfg)
        assert [hook.type for hook in cfg.custom_hooks] == ['EMAHook', 'lbbt_mm.LanguageConfigHook']
        settings.record_language_config(cfg)
        assert len(cfg.custom_hooks) == 2

    def test_models_without_a_language_model_do_not(self):
        cfg = Config(dict(model=dict(type='DETR')))
        settings.record_language_config(cfg)
        assert 'custom_hooks' not in cfg


class TestProcesses:

    def test_ranks_without_an_accelerator_join_a_gloo_group(self, monkeypatch):
        """mmengine would select a CUDA device for each rank and wrap the model for it."""
        for name, value in dict(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(free_port()), RANK='0', WORLD_SIZE='1').items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(processes, 'get_device', lambda: 'cpu')
        cfg = Config(dict(launcher='pytorch', model_wrapper_cfg=dict(find_unused_parameters=True)))
        try:
            processes.start_processes(cfg)
            assert dist.get_backend() == 'gloo'
        finally:
            processes.stop_processes()
        assert not dist.is_initialized()
        assert cfg.model_wrapper_cfg == dict(
            type='MMDistributedDataParallel', device_ids=None, broadcast_buffers=False, find_unused_parameters=True)

    @pytest.mark.parametrize('device, launcher', [('cpu', 'none'), ('cuda', 'pytorch')])
    def test_everywhere_else_it_is_mmengine_s_business(self, device, launcher, monkeypatch):
        monkeypatch.setattr(processes, 'get_device', lambda: device)
        cfg = Config(dict(launcher=launcher))
        processes.start_processes(cfg)
        assert not dist.is_initialized() and 'model_wrapper_cfg' not in cfg

    def test_other_launchers_on_cpus_are_an_error(self, monkeypatch):
        monkeypatch.setattr(processes, 'get_device', lambda: 'cpu')
        with pytest.raises(ValueError, match='--launcher slurm: .*Use tools/dist_train.sh'):
            processes.start_processes(Config(dict(launcher='slurm')))


def write_checkpoint(path: Path) -> Path:
    torch.save(dict(state_dict={}), path)
    return path


class TestResuming:

    @pytest.fixture
    def cfg(self, tmp_path):
        return Config(dict(work_dir=str(tmp_path), load_from='start.pth', resume=False))

    def resumed(self, cfg, checkpoint):
        checkpoints.resume_from(cfg, checkpoint)
        return checkpoints.find_resumed_checkpoint(cfg)

    def test_it_starts_as_without_the_flag_while_there_is_nothing_to_resume(self, cfg, monkeypatch):
        said = []
        monkeypatch.setattr(checkpoints, 'print_log', lambda text, **options: said.append(text))
        assert self.resumed(cfg, 'auto') == (None, [])
        assert said == [f'{cfg.work_dir} holds no complete checkpoint to resume, so the training starts at its beginning.']
        assert (cfg.resume, cfg.load_from) == (False, 'start.pth') and 'custom_hooks' not in cfg

    @pytest.mark.parametrize('marker', ['', 'epoch_3.pth'])
    def test_nor_is_there_anything_where_the_marker_names_nothing(self, cfg, tmp_path, marker):
        (tmp_path / 'last_checkpoint').write_text(marker)
        assert self.resumed(cfg, 'auto') == (None, [])
        cfg.resume, cfg.load_from = True, None  # as a config may say
        assert checkpoints.find_resumed_checkpoint(cfg) == (None, []) and cfg.resume is False

    def test_it_takes_the_latest_checkpoint_of_the_work_dir(self, cfg, tmp_path):
        path = write_checkpoint(tmp_path / 'epoch_1.pth')
        (tmp_path / 'last_checkpoint').write_text(str(path))
        assert self.resumed(cfg, 'auto') == (str(path), [f'Auto resumed from the latest checkpoint {path}.'])
        assert (cfg.resume, cfg.load_from) == (True, None)
        assert cfg.custom_hooks == [dict(type='lbbt_mm.PendingValidationHook')]

    def test_it_says_so_where_that_is_not_the_one_that_was_written_last(self, cfg, tmp_path):
        write_checkpoint(tmp_path / 'epoch_1.pth')
        (tmp_path / 'last_checkpoint').write_text('epoch_2.pth')
        note = self.resumed(cfg, 'auto')[1][0]
        assert 'names epoch_2.pth, which is absent or incomplete: going on from epoch_1.pth' in note

    def test_a_checkpoint_that_is_named_wins(self, cfg):
        assert self.resumed(cfg, 'mine.pth') == ('mine.pth', [])
        assert (cfg.resume, cfg.load_from) == (True, 'mine.pth')


class TestWholeCheckpoints:

    @pytest.fixture(autouse=True)
    def files_as_they_are(self, monkeypatch):
        monkeypatch.setattr(checkpoints, 'write_files_whole', lambda: None)

    @pytest.mark.parametrize('hooks', [
        None, dict(logger=dict(type='LoggerHook')), dict(checkpoint=dict(type='CheckpointHook', interval=2)),
        dict(checkpoint=dict(type='mmengine.CheckpointHook', interval=2)),
        dict(checkpoint=dict(type=CheckpointHook, interval=2))])
    def test_mmengine_s_hook_is_replaced_with_its_settings(self, hooks):
        cfg = Config(dict(default_hooks=hooks) if hooks else {})
        checkpoints.save_whole_checkpoints(cfg)
        found = cfg.default_hooks.checkpoint
        assert found.type == 'lbbt_mm.WholeCheckpointHook'
        assert found.interval == (2 if 'checkpoint' in (hooks or {}) else 1), 'the runner saves each epoch by itself'
        assert ('logger' in cfg.default_hooks) == ('logger' in (hooks or {}))

    @pytest.mark.parametrize('hook', [dict(type='mine.CheckpointHook'), dict(type='OtherHook'), None])
    def test_one_of_the_user_s_own_is_not(self, hook):
        cfg = Config(dict(default_hooks=dict(checkpoint=hook)))
        checkpoints.save_whole_checkpoints(cfg)
        assert cfg.default_hooks.checkpoint == hook
