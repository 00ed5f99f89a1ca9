"""A process of its own: its log, its exit status, its end."""
import os
import sys
import threading
import time

import pytest

from lbbt_mm.runs.training_process import TrainingProcess


@pytest.fixture
def run(tmp_path):
    """Runs a line of Python in a process; the log is ``tmp_path / 'log'``."""

    def run(process: TrainingProcess, code: str, look=lambda: None) -> int:
        with open(tmp_path / 'lock', 'a') as lock:
            return process.run([sys.executable, '-c', code], tmp_path / 'log', dict(os.environ, NAME='value'),
                               lock.fileno(), look)

    return run


def test_the_log_has_the_command_and_then_what_it_printed(run, tmp_path):
    (tmp_path / 'log').write_text('before\n')
    assert run(TrainingProcess(), "import os; print(os.environ['NAME'])") == 0
    lines = (tmp_path / 'log').read_text().splitlines()
    assert lines[0] == 'before' and lines[1].startswith(f'$ {sys.executable} -c ') and lines[2:] == ['value']


def test_its_exit_status(run):
    process = TrainingProcess()
    assert run(process, 'raise SystemExit(3)') == 3 and not process.was_stopped


@pytest.mark.parametrize('early', [True, False])
def test_it_can_be_stopped_also_before_it_is_there(run, early):
    process, begun = TrainingProcess(), time.monotonic()
    if early:
        process.stop()
    else:
        threading.Timer(0.5, process.stop).start()
    assert run(process, 'import time; time.sleep(60)') != 0
    assert process.was_stopped and time.monotonic() - begun < 30


def test_whatever_ends_the_waiting_ends_the_process(run, tmp_path):
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(TrainingProcess(), f"import time; time.sleep(2); open({str(tmp_path / 'trace')!r}, 'w')", interrupt)
    time.sleep(2.5)
    assert not (tmp_path / 'trace').exists()
