"""The config that a command line makes."""
import argparse
import os

import pytest
from mmengine.config import Config

from lbbt_mm.launch import arguments, settings
from tests.tiny_detection import run_config


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

    @pytest.mark.parametrize('below', ['', '/x'])
    def test_a_work_dir_that_cannot_be_a_folder(self, config_file, below):
        with pytest.raises(ValueError, match=f'--work-dir {config_file}{below}: {config_file} is no folder that can be wr'):
            settings.load_config(parse(config_file, '--work-dir', f'{config_file}{below}'))

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

    def test_modules_that_the_command_line_names_are_imported(self, config_file, tmp_path, monkeypatch):
        (tmp_path / 'my_parts.py').write_text('import os\nos.environ["MY_PARTS"] = "imported"\n')
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.setenv('MY_PARTS', '')
        settings.load_config(parse(config_file, '--cfg-options', 'custom_imports.imports=[my_parts]'))
        assert os.environ['MY_PARTS'] == 'imported'
        with pytest.raises(ImportError, match='no_such_parts'):
            settings.load_config(parse(config_file, '--cfg-options', 'custom_imports.imports=no_such_parts'))

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


class TestKeysOfTypes:

    CFG = dict(
        train_dataloader=dict(dataset=dict(pipeline=[
            dict(type='lbbt_mm.RandomLabel', num_classes=3), dict(type='PackInputs')])),
        val_cfg=dict(type='lbbt_mm.BridgeValLoop', train_dataloader=dict(dataset=dict(
            dataset=dict(pipeline=[dict(type='RandomLabel', num_classes=3, ratio=0.5)])))),
        random_label=dict(type='lbbt_mm.RandomLabel', num_classes=3))

    def test_every_part_of_the_type_is_set_and_variables_are_left_alone(self):
        cfg = Config(self.CFG)
        settings.apply_options(cfg, {'RandomLabel.ratio': 0.15, 'RandomLabel.exclude_true': True})
        for label in (cfg.train_dataloader.dataset.pipeline[0],
                      cfg.val_cfg.train_dataloader.dataset.dataset.pipeline[0]):
            assert (label.ratio, label.exclude_true) == (0.15, True)
        assert 'ratio' not in cfg.random_label and cfg.train_dataloader.dataset.pipeline[1] == dict(type='PackInputs')

    def test_a_type_that_only_a_variable_has(self):
        cfg = Config(dict(random_label=self.CFG['random_label']))
        with pytest.raises(ValueError, match="RandomLabel.ratio: no part of the config that a run reads has type='RandomL"):
            settings.apply_options(cfg, {'RandomLabel.ratio': 0.15})

    def test_an_argument_that_the_type_does_not_have(self):
        with pytest.raises(ValueError, match="pipeline.0.rato: .* has no 'rato', .*; did you mean .*ratio"):
            settings.apply_options(Config(self.CFG), {'RandomLabel.rato': 0.15})
