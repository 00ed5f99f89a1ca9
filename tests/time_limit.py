"""A limit for tests of code that would never end if it were wrong."""
import signal
from contextlib import contextmanager
from typing import Iterator


class TimeIsUp(BaseException):
    """A time limit is passed; no ``except Exception`` hears it."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Fail if what is inside takes longer, on the main thread of a POSIX system."""

    def stop(number, frame) -> None:
        raise TimeIsUp(f'still running after {seconds} seconds')

    previous = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
