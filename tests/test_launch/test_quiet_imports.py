"""What codebases say of themselves while they are imported is not part of a tool's output."""
import logging

import mmengine.logging
import pytest

from lbbt_mm.launch.quiet_imports import quiet_imports


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


def test_a_logger_gets_what_it_is_sent(caplog):
    quiet_imports()
    logger = logging.getLogger('some')
    with caplog.at_level(logging.DEBUG, 'some'):
        mmengine.logging.print_log('a', logger, logging.DEBUG)
    assert caplog.messages == ['a']
