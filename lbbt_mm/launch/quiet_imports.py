"""Keeps out of a tool's output what codebases say of themselves while they are imported."""
import logging
from typing import Any


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
