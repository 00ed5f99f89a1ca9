"""A command ends with a status, and says on standard error what went wrong."""
import pytest

from lbbt_mm.experiments.exit_status import exit_status
from lbbt_mm.runs.training_run import TrainingFailed


def raises(error):
    def work():
        raise error
    return work


@pytest.mark.parametrize('work, status, said', [
    (list, 0, ''),
    (lambda: ['One run failed.', 'Two failed.'], 1, 'One run failed.\nTwo failed.\n'),
    (raises(TrainingFailed('The first run failed.')), 1, 'The first run failed.\n'),
    (raises(KeyboardInterrupt()), 130, 'Interrupted. The same command goes on from the last checkpoints, or from the start '
     'where there is none.\n'),
], ids=['well', 'failures', 'a training that failed', 'interrupted'])
def test_status_and_words(work, status, said, capsys):
    assert exit_status(work) == status
    assert capsys.readouterr() == ('', said)


def test_a_fault_of_ours_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        exit_status(raises(ZeroDivisionError()))
