"""What tests of runs share."""
from pathlib import Path

import pytest

from lbbt_mm.runs import training_run
from lbbt_mm.runs.training_run import TrainingRun
from tests import fake_training
from tests.fake_training import write_configs


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A folder with configs, for whose trainings the fake stands in."""
    monkeypatch.setattr(training_run, 'TRAIN_TOOL', (fake_training.__file__, ))
    write_configs(tmp_path)
    return tmp_path


@pytest.fixture
def make(folder):
    """Makes a run of that folder."""

    def make(name='run', options=('optim_wrapper.optimizer.lr=0.1', ), **arguments) -> TrainingRun:
        return TrainingRun(folder / 'bridge.py', folder / name, options, **arguments)

    return make
