"""What codebases say of themselves while they are imported is not part of a tool's output."""
import logging
import sys
import warnings
from contextlib import nullcontext

import mmengine.logging
import pytest
from mmengine.logging import MMLogger

from lbbt_mm.launch.quiet_imports import quiet, quiet_imports, quiet_logs


@pytest.fixture(autouse=True)
def given_back(monkeypatch):
    monkeypatch.setattr(mmengine.logging, 'print_log', mmengine.logging.print_log)


def test_debug_messages_without_a_logger_are_not_printed(capsys):
    quiet_imports()
    quiet_imports()
    mmengine.logging.print_log('a', level=logging.DEBUG)
    mmengine.logging.print_log('b')
    mmengine.logging.print_log('c', level=logging.WARNING)
    assert capsys.readouterr().out.split() == ['b', 'c']


def test_a_logger_gets_what_it_is_sent(logged):
    quiet_imports()
    logger = logging.getLogger('some')
    logger.setLevel(logging.DEBUG)
    mmengine.logging.print_log('a', logger, logging.DEBUG)
    logger.setLevel(logging.NOTSET)
    assert logged == ['a']


def test_what_is_printed_logged_and_warned_of_is_left_out_meanwhile(capsys, logged, recwarn):
    with quiet():
        print('printed')
        print('printed', file=sys.stderr)
        logging.getLogger('some').warning('logged')
        warnings.warn('warned', stacklevel=1)
        logging.getLogger('some').error('wrong')
    logging.getLogger('some').warning('after')
    assert capsys.readouterr() == ('', '') and logged == ['wrong', 'after'] and not recwarn.list


def test_a_level_that_was_left_out_before_stays_so(logged):
    with quiet_logs(logging.WARNING), quiet_logs(logging.INFO):
        logging.getLogger('some').warning('logged')
    logging.getLogger('some').warning('after')
    assert logged == ['after']


def test_a_logger_of_mmengine_that_has_spoken_before_is_left_out_too_and_speaks_again(capsys):
    logger = MMLogger.get_instance('quiet_imports', logger_name='quiet_imports')
    for word in ('before', 'meanwhile', 'after'):
        with quiet_logs(logging.INFO) if word == 'meanwhile' else nullcontext():
            logger.info(word)
    said = capsys.readouterr()
    assert [word in said.out + said.err for word in ('before', 'meanwhile', 'after')] == [True, False, True]
