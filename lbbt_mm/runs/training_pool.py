"""Several trainings, a number of them at once, each with its share of the cores and GPUs of its own."""
import os
import queue
import shlex
import signal
import time
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from .run_progress import TrainingProgress
from .training_run import ENDED, OtherRunError, TrainingFailed, TrainingRun


#: In a log file, where no bar moves.
_SECONDS_BETWEEN_LINES = 60


class Chain(NamedTuple):
    """Trainings that follow each other, such as a bridge and its probe.

    Attributes:
        name: Shown beside the progress bar.
        steps: Make the trainings; each is called when those before it have finished, so it can ask for their checkpoint.
    """
    name: str
    steps: Sequence[Callable[[], TrainingRun]]


class TrainingPool:
    """Runs chains of trainings.

    Args:
        jobs: How many at once.
        gpus: Each job gets one of these as ``CUDA_VISIBLE_DEVICES``, in turn: a GPU, or several with commas between. Empty
            leaves the variable alone.
        keep_going: Start the next chain even if one has failed.
        console: Where progress is shown.
    """

    def __init__(self, jobs: int = 1, gpus: Sequence[str] = (), keep_going: bool = False,
                 console: Optional[Console] = None) -> None:
        self.jobs = jobs
        self.keep_going = keep_going
        self.console = console or Console()
        self._gpus: 'queue.SimpleQueue[Optional[str]]' = queue.SimpleQueue()
        for index in range(jobs):
            self._gpus.put(gpus[index % len(gpus)] if gpus else None)
        self._active: List[TrainingRun] = []
        self._closed = False

    def run(self, chains: Sequence[Chain]) -> List[str]:
        """Run all chains; the order in which they start is the given one.

        Ctrl-C and SIGTERM end the trainings, which can be resumed, and raise KeyboardInterrupt.

        Args:
            chains: What to run.

        Returns:
            list[str]: What went wrong, a message for each failure; without ``keep_going`` no chain starts after the first.
        """
        columns = (TextColumn('[bold]{task.description}'), BarColumn(), TextColumn('loss {task.fields[loss]}'),
                   TimeElapsedColumn(), TextColumn('left'), TimeRemainingColumn())
        with Progress(*columns, console=self.console, transient=True,
                      disable=not self.console.is_terminal) as progress, \
                ThreadPoolExecutor(self.jobs) as threads, terminated_like_interrupted():
            futures = [threads.submit(self._run_chain, chain, progress) for chain in chains]
            try:
                while wait(futures, timeout=0.5).not_done:  # short waits let signals in
                    pass
            except BaseException:
                self._closed = True
                for run in list(self._active):
                    run.stop()
                raise
            return [future.result() for future in futures if future.result()]

    def _run_chain(self, chain: Chain, progress: Progress) -> Optional[str]:
        gpu = self._gpus.get()
        try:
            for step in chain.steps:
                if self._closed or self._run_step(chain.name, step(), gpu, progress) != 'finished':
                    break
            return None
        except (TrainingFailed, OtherRunError, OSError) as error:
            self._closed = self._closed or not self.keep_going
            self.console.print(f'{chain.name}: failed', soft_wrap=True, highlight=False)
            return f'{chain.name}: {error}'
        finally:
            self._gpus.put(gpu)

    def _run_step(self, name: str, run: TrainingRun, gpu: Optional[str], progress: Progress) -> str:
        if run.status in ENDED:
            return run.run()  # which looks whether it is the run that is asked for
        label = f'{name} · {run.work_dir.name}' if run.work_dir.name != name else name
        verb = 'resuming' if run.latest else 'training'
        if not self.console.is_terminal:
            self.console.print(f'{label}: {verb}', soft_wrap=True, highlight=False)
        bar, started = progress.add_task(label, total=None, loss='-'), time.monotonic()
        said = started

        def show(news: TrainingProgress) -> None:
            """Move the bar; in a log file, write a line now and then."""
            nonlocal said
            progress.update(bar, completed=news.step, total=news.total, loss=news.loss)
            if not self.console.is_terminal and time.monotonic() - said >= _SECONDS_BETWEEN_LINES:
                said = time.monotonic()
                self.console.print(f'{label}: {news.step} of {news.total}, loss {news.loss}', soft_wrap=True,
                                   highlight=False)

        self._active.append(run)
        try:
            if self._closed:  # after it was appended: who closes the pool stops what is in the list
                return 'interrupted'
            status = run.run(show, job_environment(self.jobs * run.processes, gpu))
        finally:
            self._active.remove(run)
            progress.remove_task(bar)
        self.console.print(f'{label}: {status} after {time.monotonic() - started:.0f} s', soft_wrap=True, highlight=False)
        return status


def job_environment(jobs: int, gpu: Optional[str] = None) -> Dict[str, str]:
    """Environment variables of one of ``jobs`` processes: its share of the cores, and its GPU.

    Small matrices gain little from a second core, and processes that each take all cores slow each other down.
    ``OMP_NUM_THREADS`` of the user's own stays.
    """
    threads = os.environ.get('OMP_NUM_THREADS') or str(max(1, len(os.sched_getaffinity(0)) // jobs))
    return dict(OMP_NUM_THREADS=threads, **({} if gpu is None else {'CUDA_VISIBLE_DEVICES': gpu}))


def command_line(run: TrainingRun, jobs: int) -> str:
    """The command of a training that is one of several at once, as a user would type it.

    Args:
        run: The training.
        jobs: How many there are at once.
    """
    env = ' '.join(f'{name}={value}' for name, value in job_environment(jobs * run.processes).items())
    return f'{env} {shlex.join(run.command)}'


@contextmanager
def terminated_like_interrupted() -> Iterator[None]:
    """Let SIGTERM, which batch systems send, and SIGHUP end the trainings as Ctrl-C does."""
    # nohup's SIGHUP stays ignored
    numbers = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, signal.default_int_handler) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
