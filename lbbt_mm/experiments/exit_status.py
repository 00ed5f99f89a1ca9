"""How a command that starts trainings ends: what went wrong on standard error, and a status for the shell."""
import sys
from typing import Callable, List

from lbbt_mm.runs.training_run import TrainingFailed

#: What a shell expects of a program that Ctrl-C ended.
INTERRUPTED = 130


def exit_status(work: Callable[[], List[str]]) -> int:
    """Do the work of a command.

    Args:
        work: Does it, and returns what went wrong, a sentence each.

    Returns:
        int: 0; 1 if something went wrong; 130 if the user interrupted it.
    """
    try:
        failures = work()
    except KeyboardInterrupt:
        print('Interrupted. The same command goes on from the last checkpoints, or from the start where there is none.',
              file=sys.stderr)
        return INTERRUPTED
    except TrainingFailed as error:
        failures = [str(error)]
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0
