"""A command in a process of its own, whose output goes into a log, and that can be ended from another thread."""
import os
import re
import shlex
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Callable, List, Mapping, Optional

_SECONDS_TO_END = 15
#: Of a failure's output so many lines are quoted.
_QUOTED = 15
#: The last line of torchrun's own traceback, below which it lists the ranks that failed.
_RANK_FAILED = 'torch.distributed.elastic.multiprocessing.errors.ChildFailedError'
#: What torchrun logs of each rank that it ends because another one failed.
_RANK_ENDED = re.compile(r'torch[./]distributed[./]elastic\b.*\bSending process \d+ closing signal')


def end_of_output(output: str) -> str:
    """The last lines that a command printed, which say why it failed; of torchrun, those of its ranks.

    torchrun's own traceback and list of failures come below them and say nothing of the cause. Which rank failed with what
    exit status is logged in one line above these, and stays.

    Args:
        output: What was printed.
    """
    lines = output.splitlines()
    failed = next((place for place, line in enumerate(lines) if line.startswith(_RANK_FAILED)), 0)
    begin = max((place for place, line in enumerate(lines[:failed]) if line.startswith('Traceback (most recent')), default=0)
    if begin:
        lines = [line for line in lines[:begin] if not _RANK_ENDED.search(line)]
    return '\n'.join(lines[-_QUOTED:])


class TrainingProcess:
    """A process that is started once."""

    def __init__(self) -> None:
        self._stopped_at: Optional[float] = None

    @property
    def was_stopped(self) -> bool:
        """Whether it was asked to end."""
        return self._stopped_at is not None

    def stop(self) -> None:
        """Have it asked to end by who waits for it, and ended where it does not."""
        self._stopped_at = time.monotonic()

    def run(self, command: List[str], log: Path, env: Mapping[str, str], lock: int,
            look: Callable[[], None]) -> int:
        """Start it and wait for its end.

        Args:
            command: What to start.
            log: The file that its output is added to, after the command itself.
            env: Its environment.
            lock: A file descriptor that it inherits.
            look: Called four times a second.

        Returns:
            int: Its exit status.
        """
        with open(log, 'ab') as output:
            output.write(f'$ {shlex.join(command)}\n'.encode())
            output.flush()
            # a session of its own: Ctrl-C reaches this process alone, which then ends the training with its workers
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=env,
                                       start_new_session=True, pass_fds=(lock, ))
        try:
            return self._wait(process, look)
        except BaseException:  # no process stays behind, however this one comes to its end
            self.stop()
            self._wait(process)
            raise

    def _wait(self, process: subprocess.Popen, look: Callable[[], None] = lambda: None) -> int:
        while True:
            if self.was_stopped:  # also when stop() came before the process was there
                late = time.monotonic() - self._stopped_at > _SECONDS_TO_END
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL if late else signal.SIGTERM)
            try:
                return process.wait(timeout=0.25)
            except subprocess.TimeoutExpired:
                look()
