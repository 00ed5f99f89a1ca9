"""Private names of mmengine, on its own runner: a release that renames one of them fails here."""
from itertools import count

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from lbbt_mm import mmengine_internals as internals
from tests.small_net import SmallNet, loader

NUMBERS = count()  # runners of one name would share a logger


class Seen(Hook):
    """Notes in before_run what a runner has built and loads."""

    def before_run(self, runner):
        self.loops, self.is_training = internals.built_loops(runner), internals.is_training(runner)
        self.checkpoint, self.is_resumed = internals.checkpoint_of(runner), internals.is_resumed(runner)


@pytest.fixture
def make_runner(tmp_path):
    """Makes runners that train, validate and test a small net."""

    def make(**options) -> Runner:
        return Runner(
            SmallNet(), str(tmp_path), train_dataloader=loader(), val_dataloader=loader(), test_dataloader=loader(),
            train_cfg=dict(by_epoch=True, max_epochs=4, val_interval=3, dynamic_intervals=[(2, 1)]), val_cfg=dict(),
            test_cfg=dict(), val_evaluator=[], test_evaluator=[], optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
            experiment_name=f'internals{next(NUMBERS)}', log_level='ERROR', **options)

    return make


def before_run(runner, phase):
    """What is there when a phase begins; it goes no further."""

    class Enough(Exception):
        pass

    class Stop(Hook):

        def before_run(self, runner):
            raise Enough

    seen = Seen()
    runner.register_hook(seen, 'VERY_HIGH')
    runner.register_hook(Stop(), 'LOWEST')
    with pytest.raises(Enough):
        getattr(runner, phase)()
    return seen


def test_the_loops_of_a_training_are_built_and_the_others_are_not(make_runner):
    runner = make_runner()
    assert internals.built_loops(runner) == [] and not internals.is_training(runner)
    seen = before_run(runner, 'train')
    assert seen.is_training and seen.loops == [runner.train_loop, runner.val_loop]


@pytest.mark.parametrize('phase', ['val', 'test'])
def test_nor_are_those_of_a_training_in_a_test(make_runner, phase):
    runner = make_runner()
    seen = before_run(runner, phase)
    assert not seen.is_training and seen.loops == [getattr(runner, f'{phase}_loop')]


@pytest.mark.parametrize('options, expected', [
    ({}, (None, False)), (dict(load_from='a.pth'), ('a.pth', False)), (dict(resume=True), (None, True)),
    (dict(load_from='a.pth', resume=True), ('a.pth', True))])
def test_what_a_runner_loads(make_runner, options, expected):
    runner = make_runner(**options)
    assert (internals.checkpoint_of(runner), internals.is_resumed(runner)) == expected
    internals.set_checkpoint(runner, 'b.pth')
    seen = before_run(runner, 'train')
    assert (seen.checkpoint, seen.is_resumed) == ('b.pth', expected[1])


def test_the_validation_interval_is_that_of_the_epoch(make_runner):
    runner = make_runner()
    before_run(runner, 'train')
    loop = runner.train_loop
    for epoch, interval in ((0, 3), (2, 1)):
        loop._epoch = epoch
        internals.update_validation_interval(loop)
        assert loop.val_interval == interval


def test_a_step_is_compiled_if_the_config_says_so(make_runner, monkeypatch):
    compiled = []
    monkeypatch.setattr(torch, 'compile', lambda function, **options: compiled.append(options) or function)
    internals.compile_again(make_runner())
    assert compiled == []
    internals.compile_again(make_runner(cfg=dict(compile=dict(backend='eager'))))
    assert compiled == [dict(backend='eager')]


def test_a_plain_config_is_the_config_itself():
    cfg = Config(dict(model=dict(type='A')))
    internals.plain_config(cfg)['model']['type'] = 'B'
    assert cfg.model.type == 'B'
