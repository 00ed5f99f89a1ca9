"""LanguageConfigHook: a run that has started needs its language model no more."""
from collections import OrderedDict
from copy import deepcopy
from unittest.mock import MagicMock

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import HOOKS
from torch import nn

from lbbt_mm.checks import image_folders
from lbbt_mm.engine.hooks import LanguageConfigHook
from lbbt_mm.language.backbone_identity import IDENTITY_KEY
from lbbt_mm.models.backbones import LLMBackbone
from tests.tiny_checkpoints import CONFIGS
from tests.tiny_detection import build_detector, run_config


def mock_runner(cfg: Config, model: nn.Module, work_dir='nowhere', resume=False, load_from=None) -> MagicMock:
    """What the hook sees of a runner."""
    return MagicMock(model=model, cfg=cfg, work_dir=str(work_dir), _resume=resume, _load_from=load_from)


@pytest.fixture
def unresolved(folders):
    """A config that leaves the language model's config to the checkpoint, and its detector."""
    language = dict(checkpoint=str(folders['llama']), config=None)
    return run_config(language=language), build_detector(language=language)


def steps(model: nn.Module) -> list:
    return [step['type'] for step in model.init_cfg]


def test_it_is_found_by_its_scoped_name():
    assert HOOKS.get('lbbt_mm.LanguageConfigHook') is LanguageConfigHook


def test_the_resolved_fields_go_into_the_run_s_config_which_is_dumped_again(unresolved):
    cfg, model = unresolved
    runner = mock_runner(cfg, model)
    LanguageConfigHook().before_run(runner)
    written = cfg.model.language.config
    assert written.model_type == 'llama' and written.hidden_size == CONFIGS['llama']['hidden_size']
    assert written.num_key_value_heads == CONFIGS['llama']['num_key_value_heads']
    runner.dump_config.assert_called_once()


def test_that_config_survives_its_file_and_builds_the_same_model_without_the_checkpoint(unresolved, tmp_path):
    cfg, model = unresolved
    LanguageConfigHook().before_run(mock_runner(cfg, model))
    cfg.model.language.checkpoint = 'gone/gone'
    cfg.dump(tmp_path / 'run.py')
    from mmdet.registry import MODELS
    rebuilt = MODELS.build(Config.fromfile(tmp_path / 'run.py').model)
    assert rebuilt.language.spec.block == model.language.spec.block
    rebuilt.load_state_dict(model.state_dict())


def test_a_config_that_is_complete_is_left_alone():
    cfg = run_config()
    before = deepcopy(cfg.model.to_dict())
    runner = mock_runner(cfg, build_detector())
    LanguageConfigHook().before_run(runner)
    assert cfg.model.to_dict() == before
    runner.dump_config.assert_not_called()


def test_it_reaches_wrapped_models_and_configs_that_nest_them(unresolved):
    cfg, model = unresolved
    nested = Config(dict(model=dict(type='Wrapper', parts=[dict(module=cfg.model.to_dict())])))
    LanguageConfigHook().before_run(mock_runner(nested, nn.ModuleDict(dict(inner=model))))
    assert nested.model.parts[0].module.language.config.model_type == 'llama'


def test_models_without_language_pass():
    runner = mock_runner(Config(dict(model=dict(type='Linear'))), nn.Linear(1, 1))
    LanguageConfigHook().before_run(runner)
    runner.dump_config.assert_not_called()


def test_random_labels_that_do_not_fit_the_head_are_refused_whichever_tool_trains():
    cfg = Config(dict(
        model=dict(head=dict(num_classes=10)),
        train_dataloader=dict(dataset=dict(pipeline=[dict(type='lbbt_mm.RandomLabel', num_classes=14)]))))
    with pytest.raises(ValueError, match='RandomLabel has num_classes=14, but model.head.num_classes=10. Set both'):
        LanguageConfigHook().before_train(mock_runner(cfg, nn.Linear(1, 1)))


def test_a_machine_that_holds_the_test_split_alone_tests(tmp_path):
    """Label checks list the training folders."""
    cfg = Config(dict(
        model=dict(head=dict(num_classes=10)), default_scope='mmpretrain',
        train_dataloader=dict(dataset=dict(type='CustomDataset', data_root=str(tmp_path / 'gone'), pipeline=[
            dict(type='lbbt_mm.RandomLabel', data_root=str(tmp_path / 'gone'))]))))
    runner = mock_runner(cfg, nn.Linear(1, 1))
    hook = LanguageConfigHook()
    for name in ('before_run', 'before_test', 'before_val'):
        getattr(hook, name)(runner)
    with pytest.raises(FileNotFoundError):
        hook.before_train(runner)


def test_random_labels_are_looked_at_once_in_a_run(monkeypatch):
    """Its loop, its hook and a tool's gate all see to it; other projects' tools have no gate."""
    looked = []
    monkeypatch.setattr(image_folders, 'check_labels', looked.append)
    for gated in (False, True):
        runner = mock_runner(Config(), nn.Linear(1, 1))
        if gated:
            image_folders.check_labels_once(runner, checked=True)
        image_folders.check_labels_once(runner)  # as BridgeValLoop does
        LanguageConfigHook().before_train(runner)
        assert looked == ([] if gated else [runner.cfg])
        looked.clear()


def test_a_checkpoint_says_what_its_backbone_started_from():
    def model(arm):
        language = dict(config=CONFIGS['gpt2'], arm=arm)
        return nn.ModuleDict(dict(backbone=LLMBackbone(language, img_size=8, patch_size=4)))

    resumed, saved = model('language'), dict(meta={})
    resumed.load_state_dict(model('random').state_dict())
    LanguageConfigHook().before_save_checkpoint(mock_runner(Config(), resumed), saved)
    assert saved['meta'][IDENTITY_KEY]['arm'] == 'random'


@pytest.mark.parametrize('states', [dict, OrderedDict])
def test_a_checkpoint_that_was_saved_again_still_says_it(states):
    """Its state dict has lost what torch keeps beside the tensors."""
    def model(arm):
        return nn.ModuleDict(dict(backbone=LLMBackbone(dict(config=CONFIGS['gpt2'], arm=arm), img_size=8, patch_size=4)))

    trained, resumed, saved = model('random'), model('language'), dict(meta={})
    hook, runner = LanguageConfigHook(), mock_runner(Config(), trained)
    hook.before_save_checkpoint(runner, saved)
    saved['state_dict'] = states(trained.state_dict())
    hook.after_load_checkpoint(runner, saved)
    resumed.load_state_dict(saved['state_dict'])
    assert resumed['backbone'].language.arm == 'random'


def test_what_stands_beside_the_weights_of_other_modules_stays():
    identity = dict(checkpoint='gpt2', arm='random')
    beside = {'backbone': {'version': 3}, 'head': {'version': 2}}
    checkpoint = dict(meta={IDENTITY_KEY: identity}, state_dict=OrderedDict(weight=torch.ones(1)))
    checkpoint['state_dict']._metadata = beside
    LanguageConfigHook().after_load_checkpoint(mock_runner(Config(), nn.Linear(1, 1)), checkpoint)
    assert checkpoint['state_dict']._metadata == {'backbone': {'version': 3, IDENTITY_KEY: identity}, 'head': {'version': 2}}


@pytest.mark.parametrize('checkpoint', [
    dict(state_dict={'weight': torch.ones(1)}), dict(meta={IDENTITY_KEY: dict(arm='random')}),
    dict(meta=None, state_dict={})])
def test_checkpoints_that_say_nothing_stay_as_they_were(checkpoint):
    before = dict(checkpoint)
    LanguageConfigHook().after_load_checkpoint(mock_runner(Config(), nn.Linear(1, 1)), checkpoint)
    assert checkpoint == before


@pytest.mark.parametrize('explicit', [True, False])
def test_a_resumed_run_copies_nothing(explicit, tmp_path):
    """The runner calls init_weights before it loads the checkpoint, wherever the language model may be by then."""
    checkpoint = tmp_path / 'epoch_1.pth'
    torch.save({}, checkpoint)
    (tmp_path / 'last_checkpoint').write_text(str(checkpoint))
    model = build_detector(language=dict(checkpoint='./gone'))
    assert steps(model) == ['lbbt_mm.LanguageInit']
    LanguageConfigHook().before_run(
        mock_runner(run_config(), model, tmp_path, resume=True, load_from=str(checkpoint) if explicit else None))
    assert steps(model) == []
    model.init_weights()


@pytest.mark.parametrize('resume, load_from', [(False, None), (False, 'backbone.pth'), (True, None)])
def test_every_other_run_copies(resume, load_from, tmp_path):
    """``load_from`` alone may bring a backbone only; ``resume`` without a checkpoint in the folder starts afresh."""
    model = build_detector(model__init_cfg=dict(type='Xavier', layer='Conv2d'))
    LanguageConfigHook().before_run(mock_runner(run_config(), model, tmp_path, resume, load_from))
    assert steps(model) == ['Xavier', 'lbbt_mm.LanguageInit']


def test_the_detector_s_other_init_steps_stay_on_resume(tmp_path):
    model = build_detector(model__init_cfg=dict(type='Xavier', layer='Conv2d'))
    LanguageConfigHook().before_run(mock_runner(run_config(), model, tmp_path, True, 'epoch_1.pth'))
    assert steps(model) == ['Xavier']
