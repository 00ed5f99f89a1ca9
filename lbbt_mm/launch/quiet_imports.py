"""Keeps out of a tool's output what other packages say: while they are imported, and while they work for us."""
import io
import logging
import warnings
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any, Iterator

from lbbt_mm.mmengine_internals import made_loggers


def quiet_imports() -> None:
    """Have mm codebases keep for themselves what they print at debug level while they are imported.

    The maintained family says in each process that a data set of its own company is not installed. mmengine prints a
    message without a logger whatever its level is.
    """
    import mmengine.logging
    print_log = mmengine.logging.print_log
    if getattr(print_log, 'quiet', False):
        return

    def print_unless_debug(message: Any, logger: Any = None, level: int = logging.INFO) -> None:
        if logger is not None or level > logging.DEBUG:
            print_log(message, logger, level)

    print_unless_debug.quiet = True
    mmengine.logging.print_log = print_unless_debug


@contextmanager
def quiet_logs(level: int = logging.WARNING) -> Iterator[None]:
    """Leave out what is logged at a level and below, by any logger of this process."""
    before = logging.root.manager.disable
    _disable(max(before, level))
    try:
        yield
    finally:
        _disable(before)


def _disable(level: int) -> None:
    logging.disable(level)
    for logger in made_loggers()[:1]:  # mmengine's remember whether they may speak, until the level of one is set
        logger.setLevel(logger.level)


@contextmanager
def quiet() -> Iterator[None]:
    """Leave out what other packages print, warn of, and log below the level of errors."""
    with quiet_logs(), warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        warnings.simplefilter('ignore')
        yield
