"""What tests of experiments share: configs for whose trainings the fake stands in, and the tool that compares arms."""
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from lbbt_mm.experiments import compare_arms, report
from lbbt_mm.runs import training_run
from tests import fake_training
from tests.fake_training import write_configs


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(training_run, 'TRAIN_TOOL', (fake_training.__file__, ))
    for name in [name for name in os.environ if name.startswith('SLURM_')]:
        monkeypatch.delenv(name)
    drawn = SimpleNamespace(save=lambda folder, name: [(folder / f'{name}.{kind}').touch() for kind in ('png', 'pdf')])
    monkeypatch.setattr(report, 'draw_curves', lambda panels: drawn)  # half a second each time
    write_configs(tmp_path)
    return tmp_path


@pytest.fixture
def compare(folder, capfd):
    """Runs compare_arms.py; returns its exit status and what it printed, with line breaks as they come."""

    def run(*arguments, arms='language random', seeds='0 1 2'):
        status = compare_arms.main([
            str(folder / 'bridge.py'), '--out', str(folder / 'out'), '--arms', *arms.split(), '--seeds', *seeds.split(),
            *map(str, arguments)])
        captured = capfd.readouterr()
        return status, captured.out + captured.err

    return run
