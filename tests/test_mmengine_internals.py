"""Private names of mmengine, on its own runner: a release that renames one of them fails here."""
from itertools import count

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.logging import HistoryBuffer, MMLogger
from mmengine.model import BaseModule, Sequential
from mmengine.runner import Runner
from yapf.yapflib import yapf_api

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


def test_a_config_forgets_its_file(tmp_path):
    (tmp_path / 'run.py').write_text('a = 1')
    cfg = Config.fromfile(tmp_path / 'run.py')
    internals.forget_file_name(cfg)
    assert cfg.filename is None and cfg.a == 1


def test_config_files_are_read_by_other_steps_meanwhile(tmp_path):
    (tmp_path / 'run.py').write_text('a = 1')
    steps, read = internals.config_steps(), []
    with internals.replaced_config_steps(steps._replace(read=lambda *args, **options: read.append(args[0]) or steps.read(
            *args, **options))):
        assert Config.fromfile(tmp_path / 'run.py').a == 1
    assert read == [str(tmp_path / 'run.py')] and internals.config_steps() == steps


def test_a_module_is_initialising_while_its_weights_are():
    seen = []

    class Part(BaseModule):

        def init_weights(self):
            seen.append(internals.is_initialising(self))

    whole = Sequential(Part())
    whole.init_weights()
    assert seen == [True] and not internals.is_initialising(whole) and not internals.is_initialising(whole[0])


def test_a_history_is_what_was_added():
    values, counts, longest = internals.history_of(HistoryBuffer([1., 3.], [1, 2], max_length=5))
    assert values.tolist() == [1, 3] and counts.tolist() == [1, 2] and longest == 5


def test_values_of_options_are_read_as_mmengine_does():
    assert internals.parse_list('[1,(a,2.5)]') == [1, ('a', 2.5)] and internals.parse_number('1e-4') == 1e-4
    assert internals.parse_number('None') is None and internals.parse_number('a') == 'a'


def test_what_checkpoints_are_loaded_by_and_from(monkeypatch, tmp_path):
    assert {'', 'https://'} <= internals.checkpoint_loaders().keys()
    monkeypatch.setenv('MMENGINE_HOME', str(tmp_path))
    assert internals.home_folder() == str(tmp_path)
    assert internals.backbone_of_mmcls(dict(state_dict={'backbone.a': 1, 'head.b': 2})) == dict(state_dict=dict(a=1))


def test_a_logger_that_was_made_is_found():
    assert MMLogger.get_instance('internals') in internals.made_loggers()


def test_a_plain_config_is_the_config_itself():
    cfg = Config(dict(model=dict(type='A')))
    internals.plain_config(cfg)['model']['type'] = 'B'
    assert cfg.model.type == 'B'


def test_a_config_s_text_is_formatted_once_and_the_same(monkeypatch):
    text, seen = "a = dict(b=1,\n  c='2')\n", []
    style = dict(based_on_style='pep8')
    plain = yapf_api.FormatCode(text, style_config=style)
    monkeypatch.setattr(yapf_api, 'FormatCode', lambda text, **options: seen.append(text) or plain)
    internals.format_each_config_once()
    internals.format_each_config_once()
    assert [yapf_api.FormatCode(text, style_config=dict(style)) for _ in range(3)] == 3 * [plain] and seen == [text]
    yapf_api.FormatCode(text, style_config=dict(based_on_style='google'))
    yapf_api.FormatCode('b = 2\n', style_config=style)
    assert seen == [text, text, 'b = 2\n'], 'another style or text is formatted'
