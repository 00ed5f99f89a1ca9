"""Values that no run can have."""
import re

import pytest
from mmengine.config import Config

from lbbt_mm.checks.values import check_language_checkpoints, check_values

CONFIG = dict(
    default_scope='mmpretrain', train_cfg=dict(by_epoch=True, max_epochs=2),
    optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)), train_dataloader=dict(batch_size=2, dataset=dict(type='X')),
    default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=1)), randomness=dict(seed=0))


@pytest.mark.parametrize('key, value', [
    ('train_cfg.max_epochs', 0), ('train_cfg.max_epochs', 1.5), ('train_cfg.max_epochs', True), ('train_cfg.max_iters', -1),
    ('train_cfg.val_interval', 0), ('train_cfg.val_begin', -1), ('train_dataloader.batch_size', 0),
    ('train_dataloader.num_workers', -1), ('train_dataloader.batch_size', '4')])
def test_numbers_that_no_run_can_have(key, value):
    cfg = Config(CONFIG)
    cfg.merge_from_dict({key: value})
    with pytest.raises(ValueError, match=rf'{key}={value!r}: expected a whole number, [01] or more'):
        check_values(cfg, ['train_dataloader'])
    check_values(Config(CONFIG), ['train_dataloader'])


@pytest.mark.parametrize('schedule, fits', [
    (dict(begin=1), True), (dict(begin=2), False), (dict(begin=5), False), (dict(begin=5, end=9), True), (dict(), True),
    (dict(begin=5, by_epoch=False), True)])
def test_a_schedule_that_begins_when_the_training_has_ended(schedule, fits):
    """As where a training with warm-up epochs is made shorter than these."""
    cfg = Config(dict(CONFIG, param_scheduler=[dict(type='LinearLR'), dict(type='CosineAnnealingLR', **schedule)]))
    if fits:
        check_values(cfg, ['train_dataloader'])
        return
    with pytest.raises(ValueError, match=r'param_scheduler.1.begin=\d: expected less than train_cfg.max_epochs=2'):
        check_values(cfg, ['train_dataloader'])


def test_an_optimizer_that_is_not_registered():
    cfg = Config(CONFIG)
    check_values(cfg, ['train_dataloader'])
    cfg.optim_wrapper.optimizer.type = 'LARS'  # mmpretrain's own
    check_values(cfg, ['train_dataloader'])
    cfg.optim_wrapper.optimizer.type = 'SDG'
    with pytest.raises(ValueError, match="optim_wrapper.optimizer.type='SDG': no such optimizer .* Did you mean SGD"):
        check_values(cfg, ['train_dataloader'])


@pytest.mark.parametrize('key, value, expected', [
    ('randomness.seed', 'abc', 'a whole number, 0 or more'), ('optim_wrapper.optimizer.lr', 'abc', 'a number, 0 or more'),
    ('optim_wrapper.optimizer.lr', -1, 'a number, 0 or more'), ('log_level', 'LOUD', 'one of DEBUG'),
    ('default_hooks.checkpoint.interval', 'two', 'a whole number, 1 or more, or -1'),
    ('default_hooks.checkpoint.interval', 0, 'a whole number, 1 or more, or -1'),
    ('default_hooks.checkpoint.max_keep_ckpts', 0, 'a whole number, 1 or more, or -1'),
    ('train_cfg.dynamic_intervals', [1, 2], 'pairs of the epoch'), ('train_cfg.dynamic_intervals', [(5, 0)], 'pairs of the'),
    ('train_cfg.dynamic_intervals', [(9, 1), (5, 1)], 'pairs of .* in ascending order'),
    ('train_dataloader.dataset.indices', 0, 'a number of samples other than 0'),
    ('train_dataloader.dataset.indices', [], '.* a list of places, one at least'), ('train_cfg', 'abc', 'a dict'),
    ('optim_wrapper', 3, 'a dict')])
def test_settings_of_another_kind(key, value, expected):
    cfg = Config(CONFIG)
    cfg.merge_from_dict({key: value})
    with pytest.raises(ValueError, match=f'{key}={re.escape(repr(value))}: expected {expected}'):
        check_values(cfg, ['train_dataloader'])


@pytest.mark.parametrize('key, value', [
    ('default_hooks.checkpoint.interval', -1), ('train_cfg.dynamic_intervals', [(0, 10), (90, 1)]),
    ('train_cfg.dynamic_intervals', []), ('train_cfg.val_interval', 82512.0), ('train_dataloader.dataset.indices', -2),
    ('train_dataloader.dataset.indices', range(3)), ('default_hooks.checkpoint', None), ('randomness.seed', None)])
def test_settings_that_a_run_can_have(key, value):
    cfg = Config(CONFIG)
    cfg.merge_from_dict({key: value})
    check_values(cfg, ['train_dataloader'])


@pytest.mark.parametrize('test_cfg, message', [
    (dict(mode='slidee'), "test_cfg.mode='slidee': expected 'whole' or 'slide'"),
    (dict(mode='slide'), 'test_cfg.crop_size=None: expected two numbers of pixels'),
    (dict(mode='slide', crop_size=(512, 512)), 'test_cfg.stride=None: expected two numbers'),
    (dict(mode='slide', crop_size=512, stride=(1, 1)), 'test_cfg.crop_size=512: expected two numbers'),
    (dict(mode='slide', crop_size=(512, 512), stride=(341, 600)), r'test_cfg.stride=\(341, 600\): expected .*no more than'),
    (dict(mode='slide', crop_size=(512, 512), stride=(512, 341)), None), (dict(mode='whole'), None), ({}, None)])
@pytest.mark.parametrize('place', ['model', 'model.module'])
def test_a_segmentor_s_sliding_window(test_cfg, message, place):
    model = dict(decode_head=dict(), test_cfg=test_cfg)
    cfg = Config(dict(model=model if place == 'model' else dict(module=model)))
    for loaders in (['test_dataloader'], ['train_dataloader', 'val_dataloader']):
        if message is None:
            check_values(cfg, loaders)
        else:
            with pytest.raises(ValueError, match=f'{place}.{message}'):
                check_values(cfg, loaders)


def test_a_language_model_that_is_not_there(tmp_path):
    def cfg(checkpoint, arm='language'):
        return Config(dict(model=dict(backbone=dict(language=dict(checkpoint=str(checkpoint), arm=arm)))))

    for checkpoint in (tmp_path / 'gone', './gone', '~/gone', 'gone.gguf'):
        with pytest.raises(FileNotFoundError, match=f'model.backbone.language.checkpoint: {checkpoint} does not exist'):
            check_language_checkpoints(cfg(checkpoint))
        check_language_checkpoints(cfg(checkpoint, 'random'))
    check_language_checkpoints(cfg(tmp_path))
    check_language_checkpoints(cfg('openai-community/gpt2'))
