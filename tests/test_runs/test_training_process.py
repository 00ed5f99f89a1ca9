"""A process of its own: its log, its exit status, its end."""
import os
import sys
import threading
import time
import traceback

import pytest

from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure

from lbbt_mm.runs.training_process import TrainingProcess, end_of_output


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


def torchrun_s_report(exitcode: int = 2) -> str:
    """What torchrun prints when a rank has failed, by the installed torch."""
    api = '1130 23:10:02.881000 71 torch/distributed/elastic/multiprocessing/api.py'
    failure = ProcessFailure(local_rank=1, pid=74, exitcode=exitcode, error_file='')
    try:
        raise ChildFailedError('lbbt_mm.launch.train', {1: failure})
    except ChildFailedError as error:
        report = ''.join(traceback.format_exception(type(error), error, error.__traceback__))
    return (f'W{api}:900] Sending process 73 closing signal SIGTERM\n'
            f'E{api}:874] failed (exitcode: {exitcode}) local_rank: 1 (pid: 74) of binary: /usr/bin/python\n{report}')


def test_the_end_of_an_output_is_short():
    assert end_of_output('') == '' and end_of_output('a\nb\n') == 'a\nb'
    lines = [f'line {number}' for number in range(20)]
    assert end_of_output('\n'.join(lines)).splitlines() == lines[-15:]
    own = 'Traceback (most recent call last):\n  File "a.py", line 1\nValueError: mine'
    assert end_of_output(own) == own


def test_of_ranks_it_is_what_they_printed_not_torchrun_s_report():
    report = torchrun_s_report()
    assert len(report.splitlines()) > 15 and 'FAILED' in report
    last = 'E1130 23:10:02.881000 71 torch/distributed/elastic/multiprocessing/api.py:874] failed (exitcode: 2)'
    for own in ('--work-dir a: is there', 'Traceback (most recent call last):\n  File "a.py", line 1\nValueError: mine'):
        found = end_of_output(f'$ python\n{own}\n{report}').splitlines()
        assert found[:-1] == ['$ python', *own.splitlines()] and found[-1].startswith(last)


def test_a_rank_that_was_killed_in_silence_is_named():
    assert end_of_output(torchrun_s_report(-9)).splitlines()[-1].endswith('failed (exitcode: -9) local_rank: 1 (pid: 74) of '
                                                                          'binary: /usr/bin/python')
