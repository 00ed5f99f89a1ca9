"""How a tool ends: one line on stderr and exit status 2 for an error of the user's making, the traceback for who asks."""
import errno
import locale
import logging
import os
import re
import sys
import traceback
from contextlib import redirect_stdout
from typing import Any, Callable, Optional, TextIO

from lbbt_mm.errors import UserError

#: Set once a run has begun to train or test: what fails from then on may be a bug, and then its traceback is shown.
_BEGUN = False
#: A message is one line, and no longer than this.
_LONGEST = 1500
#: The option of every tool that shows the traceback.
_TRACEBACK = '--traceback'


class HeldOutput:
    """Standard output that is kept back until a run begins, so that of a run that is refused the one message is all.

    Args:
        stream: Where it goes then.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream, self.held, self.process = stream, [], os.getpid()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        """Keep a text back, or write it; what a data worker prints is written."""
        if self.held is None or os.getpid() != self.process:
            return self.stream.write(text)
        self.held.append(text)
        return len(text)

    def release(self, write: bool = True) -> None:
        """Write what was kept back, or leave it out; from now on texts are written as they come."""
        held, self.held = self.held or [], None
        if write:
            self.stream.write(''.join(held))
            self.stream.flush()


def has_begun() -> bool:
    """Whether this process has begun to train or test."""
    return _BEGUN


def note_begun(begun: bool = True) -> None:
    """Note that this process has begun to train or test."""
    global _BEGUN
    _BEGUN = begun
    if begun and isinstance(sys.stdout, HeldOutput):
        sys.stdout.release()


def run_tool(main: Callable[[], Optional[int]], holds_output: bool = False) -> int:
    """Run a tool.

    Args:
        main: What it does; gives the exit status, or None for 0.
        holds_output: Whether its standard output is kept back until its run begins; see :class:`HeldOutput`.

    Returns:
        int: The exit status: 2 for an error of the user's making, 1 for another, 130 where it was interrupted.
    """
    _use_utf8()
    note_begun(False)
    if not holds_output or _TRACEBACK in sys.argv:
        return _run(main)
    status, output = None, HeldOutput(sys.stdout)
    with redirect_stdout(output):
        try:
            status = _run(main)
        finally:
            output.release(write=status != 2)
    return status


def _run(main: Callable[[], Optional[int]]) -> int:
    try:
        return main() or 0
    except KeyboardInterrupt:
        print('Interrupted.', file=sys.stderr)
        return 130
    except Exception as error:
        sys.stdout.flush()  # where both go to one file, the message comes last
        trace = traceback.format_exc()
        logged = _log(trace)
        if _TRACEBACK in sys.argv or (has_begun() and not _is_of_the_user(error)):
            print(trace, file=sys.stderr, end='')
            return 2 if _is_of_the_user(error) or not has_begun() else 1
        print(describe(error) + (f' (traceback: {logged})' if logged and has_begun() else ''), file=sys.stderr)
        return 2


def describe(error: BaseException) -> str:
    """An error's message as one line; the type too, where that says what the message leaves out."""
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    text = _without_trace(text)
    text = ' '.join(text.split()) or type(error).__name__
    text = text if len(text) <= _LONGEST else f'{text[:_LONGEST]} ...'
    if _lacks_shared_memory(error):
        text += (' /dev/shm, through which data workers hand over batches, is full or small: give it more room (docker run '
                 '--shm-size), or set num_workers=0 of the data loaders.')
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS) and text.startswith('[Errno'):
        text += ': it may not be read or written here. Change its rights, or choose another place, as by --work-dir.'
    plain = isinstance(error, (ValueError, OSError, RuntimeError)) or ' ' in text
    return text if plain else f'{type(error).__name__}: {text}'


def _without_trace(text: str) -> str:
    """The message of an error that torch hands on from a data worker, behind whose traceback it stands."""
    begin, _, trace = text.partition('Original Traceback (most recent call last):\n')
    last = re.split(r'\n(?=[\w.]+: )', trace)[-1] if begin.startswith('Caught ') else ''
    return last.partition(': ')[2] or text


def _is_of_the_user(error: BaseException) -> bool:
    """Whether an error while a run works comes from files, disks or settings."""
    return isinstance(error, (UserError, OSError)) or _lacks_shared_memory(error)


def _lacks_shared_memory(error: BaseException) -> bool:
    text = str(error)
    return 'shared memory' in text or '/torch_' in text and 'No space left' in text


def _log(trace: str) -> Optional[str]:
    """Write a traceback into the run's log file; its path, or None where there is none."""
    if 'mmengine.logging' not in sys.modules:
        return None
    from mmengine.logging import MMLogger
    logger, logged = MMLogger.get_current_instance(), None
    for handler in logger.handlers:
        if isinstance(handler, logging.FileHandler) and os.path.exists(handler.baseFilename):
            handler.emit(logging.LogRecord(logger.name, logging.ERROR, __file__, 0, '\n' + trace, None, None))
            logged = handler.baseFilename
    return logged


def _use_utf8() -> None:
    """Start again with UTF-8 where the locale is of ASCII only: logs, tables and configs have other letters."""
    encoding = locale.getpreferredencoding(False).lower()
    if sys.flags.utf8_mode or encoding not in ('ascii', 'us-ascii', 'ansi_x3.4-1968', '646'):
        return
    os.environ['PYTHONUTF8'] = '1'
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
