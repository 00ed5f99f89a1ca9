"""TrainingPool: how many at once, on which GPUs, and what a failure or a signal stops."""
import io
import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Iterator

import pytest
from rich.console import Console

from lbbt_mm.runs.training_pool import Chain, TrainingPool, job_environment, terminated_like_interrupted
from lbbt_mm.runs.training_run import TrainingRun
from tests.fake_training import behave, starts


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C as a shell's foreground has it; a background job ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def chain(folder):

    def chain(name: str, *runs: str) -> Chain:
        steps = [lambda run=run: TrainingRun(folder / 'bridge.py', folder / run) for run in runs or (name, )]
        return Chain(name, steps)

    return chain


def quiet(**options) -> TrainingPool:
    return TrainingPool(console=Console(file=io.StringIO()), **options)


def wait_for_text(path: Path) -> str:
    deadline = time.monotonic() + 60
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < deadline, f'{path} did not come'
        time.sleep(0.01)
    return path.read_text()


def variables(work_dir: Path) -> dict:
    return json.loads((work_dir / 'environment.json').read_text())


class TestRunning:

    def test_steps_follow_each_other_and_are_made_when_those_before_have_finished(self, folder, chain):
        def second() -> TrainingRun:
            assert (folder / 'a1' / 'epoch_4.pth').exists()
            return TrainingRun(folder / 'bridge.py', folder / 'a2')

        steps = [*chain('a', 'a1').steps, second]
        assert quiet().run([Chain('a', steps)]) == [] and starts(folder) == ['a1', 'a2']

    def test_chains_start_in_their_order(self, folder, chain):
        assert quiet().run([chain('c'), chain('a'), chain('b')]) == [] and starts(folder) == ['c', 'a', 'b']

    def test_what_is_done_is_not_started_again(self, folder, chain):
        quiet().run([chain('a')])
        assert quiet().run([chain('a'), chain('b')]) == [] and starts(folder) == ['a', 'b']

    def test_what_happens_is_printed(self, folder, chain):
        pool = quiet()
        pool.run([chain('a', 'a1')])
        lines = pool.console.file.getvalue().splitlines()
        assert lines[0] == 'a · a1: training' and lines[1].startswith('a · a1: finished after ')

    def test_jobs_get_gpus_in_turn(self, folder, chain):
        behave(folder, a='hang', b='hang')
        pool = quiet(jobs=2, gpus=['3', '5'])
        thread = threading.Thread(target=pool.run, args=([chain('a'), chain('b')], ))
        # signals belong to the main thread, where the pool runs otherwise
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(signal, 'signal', lambda *arguments: None)
            thread.start()
            try:
                seen = {wait_for_text(folder / name / 'hangs') for name in 'ab'}
            finally:
                for run in list(pool._active):
                    run.stop()
                thread.join(60)
        assert seen == {'3', '5'} and not thread.is_alive()

    def test_without_gpus_the_variable_is_left_alone(self, folder, chain, monkeypatch):
        monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '7')
        quiet().run([chain('a')])
        assert variables(folder / 'a')['CUDA_VISIBLE_DEVICES'] == '7'


class TestFailures:

    def test_a_failure_is_told_and_stops_the_chains_that_wait(self, folder, chain):
        behave(folder, b='fail')
        message, = quiet().run([chain('a'), chain('b', 'b', 'b2'), chain('c')])
        assert message.startswith('b: ') and 'no such images' in message and starts(folder) == ['a', 'b']

    def test_keep_going_stops_its_own_chain_only(self, folder, chain):
        behave(folder, b='fail')
        assert len(quiet(keep_going=True).run([chain('a'), chain('b', 'b', 'b2'), chain('c')])) == 1
        assert starts(folder) == ['a', 'b', 'c']

    def test_a_run_that_diverged_ends_its_chain_and_is_no_failure(self, folder, chain):
        behave(folder, a='nan')
        assert quiet().run([chain('a', 'a', 'a2'), chain('b')]) == [] and starts(folder) == ['a', 'b']

    @pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
    def test_a_signal_ends_the_trainings_and_leaves_them_resumable(self, folder, chain, interruptible, number):
        behave(folder, a='hang')

        def send() -> None:
            while not (folder / 'a' / 'hangs').exists():
                time.sleep(0.01)
            os.kill(os.getpid(), number)

        threading.Thread(target=send, daemon=True).start()
        with pytest.raises(KeyboardInterrupt):
            quiet().run([chain('a'), chain('b')])
        assert starts(folder) == ['a'] and not (folder / 'a' / 'environment.json').exists()  # it was not waited for
        behave(folder)
        pool = quiet()
        assert pool.run([chain('a'), chain('b')]) == [] and 'a: resuming' in pool.console.file.getvalue()


class TestEnvironment:

    def test_each_job_gets_its_share_of_the_cores(self, monkeypatch):
        monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
        monkeypatch.setattr(os, 'sched_getaffinity', lambda pid: set(range(8)))
        assert [job_environment(jobs)['OMP_NUM_THREADS'] for jobs in (1, 2, 3, 20)] == ['8', '4', '2', '1']

    def test_the_user_s_own_number_stays(self, monkeypatch):
        monkeypatch.setenv('OMP_NUM_THREADS', '3')
        assert job_environment(2, '1') == dict(OMP_NUM_THREADS='3', CUDA_VISIBLE_DEVICES='1')

    def test_an_ignored_hang_up_stays_ignored(self):
        before, other = signal.signal(signal.SIGHUP, signal.SIG_IGN), signal.getsignal(signal.SIGTERM)
        try:
            with terminated_like_interrupted():
                assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
                assert (signal.getsignal(signal.SIGTERM) == other) is (other == signal.SIG_IGN)
            assert signal.getsignal(signal.SIGTERM) == other
        finally:
            signal.signal(signal.SIGHUP, before)
