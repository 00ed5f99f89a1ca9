"""How a tool ends."""
import errno
import os
import sys
from collections import OrderedDict

import pytest
from mmengine.logging import MMLogger
from torch.utils.data import DataLoader, Dataset

from lbbt_mm.engine.hooks.gsnr_hook import UnmeasurableError
from lbbt_mm.engine.hooks.named_files_hook import LoadingError
from lbbt_mm.errors import UserError
from lbbt_mm.files.feature_store import FeatureError
from lbbt_mm.language import CheckpointError
from lbbt_mm.launch.user_errors import describe, has_begun, note_begun, run_tool


def ending(error, begun=False):
    def main():
        note_begun(begun)
        raise error
    return run_tool(main)


@pytest.fixture(autouse=True)
def plain_command(monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['tool'])
    monkeypatch.setattr(MMLogger, '_instance_dict', OrderedDict())  # no log file of an earlier run
    yield
    note_begun(False)


@pytest.mark.parametrize('error', [ValueError('what\n  is wrong'), OSError('what is wrong'), KeyError('what is wrong'),
                                   TypeError('what is wrong'), CheckpointError('what is wrong')])
def test_before_the_first_step_every_error_is_one_line(error, capfd):
    assert ending(error) == 2
    assert capfd.readouterr().err == 'what is wrong\n'


@pytest.mark.parametrize('error', [LoadingError('a.jpg: is empty'), OSError(28, 'no room for x.pth'), CheckpointError('x'),
                                   UnmeasurableError('x'), FeatureError('x'), UserError('x')])
def test_later_those_of_files_are(error, capfd):
    assert ending(error, begun=True) == 2
    assert 'Traceback' not in capfd.readouterr().err


class Bad(Dataset):
    """One sample, which cannot be loaded."""

    def __len__(self):
        return 1

    def __getitem__(self, index):
        try:
            raise KeyError('a: b\nof: more')
        except KeyError as error:
            raise LoadingError('a.jpg: is empty') from error


def test_of_an_error_in_a_data_worker_the_message_is_shown_without_the_workers_traceback(capfd):
    def main():
        note_begun()
        next(iter(DataLoader(Bad(), num_workers=1)))

    assert run_tool(main) == 2
    assert capfd.readouterr().err == 'a.jpg: is empty\n'


def test_and_others_show_their_traceback(capfd):
    assert ending(ZeroDivisionError('x'), begun=True) == 1
    assert 'Traceback' in capfd.readouterr().err


@pytest.mark.parametrize('text', [
    'DataLoader worker (pid 7) is killed by signal: Bus error. It is possible that workers are out of shared memory.',
    'unable to write to file </torch_7_1_0>: No space left on device (28)'])
def test_shared_memory_that_is_full_is_said(text, capfd):
    assert ending(RuntimeError(text), begun=True) == 2
    assert '/dev/shm' in capfd.readouterr().err


@pytest.mark.parametrize('number', [errno.EROFS, errno.EACCES])
def test_what_to_do_where_nothing_may_be_written(number, capfd):
    assert ending(OSError(number, os.strerror(number), 'work/run')) == 2
    assert "'work/run': it may not be read or written here. Change its rights, or choose" in capfd.readouterr().err


def test_the_flag_shows_the_traceback(monkeypatch, capfd):
    monkeypatch.setattr(sys, 'argv', ['tool', '--traceback'])
    assert ending(ValueError('x')) == 2
    assert 'Traceback' in capfd.readouterr().err


def test_interrupted(capfd):
    assert ending(KeyboardInterrupt()) == 130
    assert capfd.readouterr().err == 'Interrupted.\n'


def test_a_tool_that_ends_well_and_what_it_returns():
    assert run_tool(lambda: None) == 0 and run_tool(lambda: 3) == 3 and not has_begun()


@pytest.mark.parametrize('error, text', [(KeyError('x'), 'KeyError: x'), (ValueError('x'), 'x'),
                                         (ValueError(), 'ValueError'), (AttributeError('no y in z'), 'no y in z')])
def test_descriptions(error, text):
    assert describe(error) == text


def test_a_message_is_never_long():
    assert len(describe(ValueError('x y ' * 5000))) < 1600


@pytest.mark.parametrize('begun, shown', [(False, ''), (True, 'environment\n')])
def test_of_a_run_that_is_refused_the_message_is_all(begun, shown, capfd):
    def main():
        print('environment')
        note_begun(begun)
        raise OSError('what is wrong')

    assert run_tool(main, holds_output=True) == 2
    assert capfd.readouterr() == (shown, 'what is wrong\n')
    print('later')
    assert capfd.readouterr().out == 'later\n'


def test_what_is_printed_comes_once_a_run_begins_or_ends_well(capfd):
    def main():
        print('environment')
        sys.stdout.flush()
        assert not capfd.readouterr().out
        note_begun()
        assert capfd.readouterr().out == 'environment\n'
        print('epoch 1')
        assert capfd.readouterr().out == 'epoch 1\n'

    assert run_tool(main, holds_output=True) == 0
    assert run_tool(lambda: print('nothing to do'), holds_output=True) == 0
    assert capfd.readouterr().out == 'nothing to do\n'


def test_the_list_of_options_is_shown(capfd):
    def main():
        print('usage')
        sys.exit(0)

    with pytest.raises(SystemExit):
        run_tool(main, holds_output=True)
    assert capfd.readouterr().out == 'usage\n'
