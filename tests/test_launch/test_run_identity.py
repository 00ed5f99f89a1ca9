"""Which changes of a config make a resumed run another experiment."""
import pytest
from mmengine.config import Config

from lbbt_mm.config_keys import is_allowed
from lbbt_mm.files.config_text import read_config_text
from lbbt_mm.launch.run_identity import changed_settings, restore


def config(**changes) -> Config:
    cfg = Config(dict(
        default_scope='mmpretrain',
        num_classes=10,
        model=dict(type='lbbt_mm.LanguageClassifier', head=dict(num_classes=10), backbone=dict(
            type='lbbt_mm.LLMBackbone', img_size=32, attention='bidirectional',
            language=dict(checkpoint='/models/gpt2', config=dict(), blocks='0:2', arm='language', seed=0))),
        train_dataloader=dict(batch_size=8, num_workers=2, persistent_workers=True, dataset=dict(
            type='CustomDataset', data_root='data', pipeline=[dict(type='LoadImageFromFile'),
                                                              dict(type='lbbt_mm.RandomLabel', num_classes=10, seed=0)])),
        val_dataloader=dict(batch_size=8, dataset=dict(type='CustomDataset', data_root='data')),
        val_evaluator=dict(type='Accuracy'),
        val_cfg=dict(),
        train_cfg=dict(by_epoch=True, max_epochs=3),
        optim_wrapper=dict(type='OptimWrapper', clip_grad=dict(max_norm=1.), optimizer=dict(type='AdamW', lr=1e-3)),
        param_scheduler=[dict(type='LinearLR', end=5), dict(type='CosineAnnealingLR', end=3)],
        custom_hooks=[dict(type='lbbt_mm.SeedingHook')],
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=1)),
        randomness=dict(seed=0),
        work_dir='work'))
    cfg.merge_from_dict(changes)
    return cfg


def compare(*, recorded=None, **changes):
    refused, without_effect = changed_settings(config(**changes), read_config_text((recorded or config()).pretty_text))
    return [change.key for change in refused], [change.key for change in without_effect]


@pytest.mark.parametrize('key, value', [
    ('model.backbone.language.arm', 'host'), ('model.backbone.language.blocks', '0:3'), ('model.backbone.language.seed', 1),
    ('model.backbone.attention', 'causal'), ('model.backbone.img_size', 64), ('model.head.num_classes', 5),
    ('train_dataloader.dataset.pipeline.1.seed', 7), ('train_dataloader.dataset.pipeline.1.num_classes', 5),
    ('train_dataloader.dataset.data_root', 'elsewhere'), ('train_dataloader.batch_size', 16),
    ('val_dataloader.dataset.data_root', 'elsewhere'), ('val_evaluator.type', 'SingleLabelMetric'),
    ('train_cfg.max_epochs', 4), ('optim_wrapper.type', 'lbbt_mm.AutocastOptimWrapper'),
    ('optim_wrapper.optimizer.type', 'SGD'), ('optim_wrapper.clip_grad.max_norm', 0.1),
    ('optim_wrapper.paramwise_cfg', dict(norm_decay_mult=0.)), ('randomness.seed', 3),
    ('model.backbone.language.checkpoint', '/models/llama'), ('model.backbone.drop_path_rate', 0.1),
    ('data_preprocessor', dict(to_rgb=True)), ('val_cfg.type', 'lbbt_mm.BridgeValLoop'), ('runner_type', 'FlexibleRunner'),
    ('sync_bn', 'torch'), ('model_wrapper_cfg', dict(type='MMDistributedDataParallel', broadcast_buffers=True))])
def test_what_the_experiment_is(key, value):
    refused, without_effect = compare(**{key: value})
    assert len(refused) == 1 and key.startswith(refused[0]) and not without_effect


@pytest.mark.parametrize('key, value', [
    ('optim_wrapper.optimizer.lr', 1e-4), ('optim_wrapper.optimizer.weight_decay', 0.1), ('param_scheduler.1.end', 10),
    ('optim_wrapper.optimizer.betas', (0.9, 0.99))])
def test_what_a_resumed_run_takes_from_its_checkpoint(key, value):
    assert compare(**{key: value}) == ([], [key])


@pytest.mark.parametrize('key, value', [
    ('work_dir', 'moved'), ('train_dataloader.num_workers', 0), ('train_dataloader.persistent_workers', False),
    ('default_hooks.checkpoint.interval', 5), ('launcher', 'pytorch'), ('load_from', 'x.pth'), ('num_classes', 3),
    ('model.backbone.language.checkpoint', '/elsewhere/gpt2/'), ('log_level', 'DEBUG'), ('test_dataloader', dict(a=1)),
    ('model.backbone.language.config', dict(_delete_=True, model_type='gpt2', n_embd=32))])
def test_where_and_how_it_runs_does_not_matter(key, value):
    assert compare(**{key: value}) == ([], [])


def test_another_schedule_is_another_experiment():
    refused, _ = compare(param_scheduler=[dict(type='LinearLR', end=5)])
    assert refused == ['param_scheduler']


def test_hooks_that_the_tools_add_do_not_count():
    ours = [dict(type='lbbt_mm.SeedingHook'), dict(type='lbbt_mm.LanguageConfigHook'),
            dict(type='lbbt_mm.PendingValidationHook')]
    assert compare(custom_hooks=ours) == ([], [])
    assert compare(custom_hooks=[*ours, dict(type='EMAHook')])[0] == ['custom_hooks']


def test_config_that_was_resolved_when_the_run_began_is_compared_if_it_is_written_now():
    resolved = config(**{'model.backbone.language.config': dict(model_type='gpt2', n_embd=32)})
    assert compare(recorded=resolved) == ([], [])
    other = {'model.backbone.language.config': dict(model_type='gpt2', n_embd=64)}
    assert compare(recorded=resolved, **other)[0] == ['model.backbone.language.config.n_embd']


def test_defaults_of_the_language_dict_need_not_be_written():
    plain = config()
    for key in ('arm', 'seed'):
        plain.model.backbone.language.pop(key)
    assert compare(recorded=plain) == ([], [])
    assert compare(recorded=plain, **{'model.backbone.language.arm': 'host'})[0] == ['model.backbone.language.arm']


@pytest.mark.parametrize('name, hook', [
    ('param_scheduler', None), ('sampler_seed', None), ('average', dict(type='EMAHook')),
    ('freeze', dict(type='lbbt_mm.PartialFreezeHook', trainable='none'))])
def test_default_hooks_that_train_are_part_of_it(name, hook):
    assert compare(**{f'default_hooks.{name}': hook})[0][0].startswith(f'default_hooks.{name}')


def test_default_hooks_may_be_written_or_left_to_mmengine():
    assert compare(**{'default_hooks.param_scheduler': dict(type='ParamSchedulerHook'),
                      'default_hooks.logger': dict(type='LoggerHook', interval=3)}) == ([], [])


def test_a_hook_of_another_project_with_a_name_like_ours():
    assert compare(custom_hooks=[dict(type='lbbt_mm.SeedingHook'), dict(type='mine.LanguageConfigHook')])[0]


@pytest.mark.parametrize('key, value', [
    ('default_scope', 'mmdet'), ('custom_imports', dict(imports=['mine'])), ('model.num_workers', 3),
    ('train_dataloader.dataset.backend_args', dict(backend='petrel', path_mapping=dict(a='b'))),
    ('model.serialize_data', False)])
def test_names_that_mean_data_elsewhere_are_settings(key, value):
    assert compare(**{key: value})[0] in ([key], [f'{key}.{name}' for name in value] if isinstance(value, dict) else [])


def test_how_samples_are_stored_does_not_matter():
    assert compare(**{'train_dataloader.dataset.serialize_data': False, 'val_dataloader.num_workers': 3}) == ([], [])


def test_what_is_empty_is_as_good_as_absent():
    assert compare(**{'model.head.init_cfg': {}, 'data_preprocessor': None}) == ([], [])
    # a default may be something else than None
    assert compare(**{'model.head.loss': None})[0] == ['model.head.loss']
    plain = config(custom_hooks=[])
    plain.pop('custom_hooks')
    assert compare(recorded=plain, custom_hooks=[]) == ([], [])


def test_a_bridge_that_was_moved_with_its_probe(tmp_path):
    """The folder of both stages was renamed; as long as the old file is there it may be another bridge."""
    old, new = (tmp_path / name / 'bridge' / 'epoch_3.pth' for name in ('old', 'new'))
    new.parent.mkdir(parents=True)
    new.touch()
    key = 'model.backbone.init_cfg'
    recorded = config(**{key: [dict(type='lbbt_mm.BridgeInit', checkpoint=str(old))]})

    def asked(path):
        return compare(recorded=recorded, **{key: [dict(type='lbbt_mm.BridgeInit', checkpoint=str(path))]})

    assert asked(new) == ([], [])
    assert asked(new.with_name('epoch_4.pth'))[0] == [f'{key}.0.checkpoint']
    assert asked(tmp_path / 'new' / 'other' / 'epoch_3.pth')[0] == [f'{key}.0.checkpoint']
    old.parent.mkdir(parents=True)
    old.touch()
    assert asked(new)[0] == [f'{key}.0.checkpoint']


def test_the_same_folder_written_in_another_way(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recorded = config(**{'train_dataloader.dataset.data_root': str(tmp_path / 'data')})
    assert compare(recorded=recorded, **{'train_dataloader.dataset.data_root': './data/'}) == ([], [])


def test_which_keys_let_a_change_through():
    recorded = read_config_text(config().pretty_text)
    (change, ), _ = changed_settings(config(**{'model.backbone.language.arm': 'host'}), recorded)
    assert str(change) == "model.backbone.language.arm is 'language' there, 'host' asked"
    for key in ('model.backbone.language.arm', 'model.backbone', 'arm'):
        assert is_allowed(change.key, [key])
    for key in ('model.backbone.lang', 'backbone', 'seed', ''):
        assert not is_allowed(change.key, [key])


def test_what_has_no_effect_is_written_as_it_is_in_the_run():
    cfg = config(**{'optim_wrapper.optimizer.lr': 1., 'param_scheduler.1.end': 9, 'optim_wrapper.optimizer.momentum': 0.5})
    recorded = read_config_text(config().pretty_text)
    restore(cfg, recorded, changed_settings(cfg, recorded)[1])
    assert (cfg.optim_wrapper.optimizer, cfg.param_scheduler[1].end) == (dict(type='AdamW', lr=1e-3), 3)


def test_so_is_a_schedule_that_stands_alone():
    cfg, recorded = (config(param_scheduler=dict(type='LinearLR', _delete_=True, **more)) for more in (dict(begin=2), {}))
    recorded = read_config_text(recorded.pretty_text)
    restore(cfg, recorded, changed_settings(cfg, recorded)[1])
    assert cfg.param_scheduler == dict(type='LinearLR')


def test_so_is_a_part_of_a_tuple():
    cfg, recorded = (config(**{'optim_wrapper.optimizer.betas': betas}) for betas in ((0.5, 0.6), (0.9, 0.999)))
    recorded = read_config_text(recorded.pretty_text)
    restore(cfg, recorded, changed_settings(cfg, recorded)[1])
    assert tuple(cfg.optim_wrapper.optimizer.betas) == (0.9, 0.999)
