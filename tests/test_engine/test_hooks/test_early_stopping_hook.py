"""EarlyStoppingHook: stops a training as mmengine's does, and builds no training data for a test."""
from types import SimpleNamespace

import mmengine.hooks
import pytest

from lbbt_mm.engine.hooks import EarlyStoppingHook
from lbbt_mm.registry import HOOKS


class TestingRunner:
    """Of a run whose training data is not there."""

    @property
    def train_loop(self):
        raise FileNotFoundError('the training data')


def test_a_test_needs_no_training_data():
    hook = HOOKS.build(dict(type='lbbt_mm.EarlyStoppingHook', monitor='score', rule='less'))
    assert isinstance(hook, EarlyStoppingHook)
    hook.before_run(TestingRunner())
    with pytest.raises(FileNotFoundError):
        hook.before_train(TestingRunner())
    with pytest.raises(FileNotFoundError):  # when this no longer fails, the hook can go
        mmengine.hooks.EarlyStoppingHook(monitor='score', rule='less').before_run(TestingRunner())


def test_a_training_that_no_longer_gains_is_stopped():
    hook = EarlyStoppingHook(monitor='score', rule='less', patience=2, min_delta=0.)
    runner = SimpleNamespace(train_loop=SimpleNamespace(stop_training=False), logger=SimpleNamespace(info=print))
    hook.before_train(runner)
    for score, stops in ((3., False), (2., False), (2.2, False), (2.5, True)):
        hook.after_val_epoch(runner, dict(score=score))
        assert runner.train_loop.stop_training is stops
