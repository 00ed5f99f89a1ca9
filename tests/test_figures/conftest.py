"""What tests of figures share: a quiet log, runs in miniature and logs of some, and the tools."""
import json
import logging
from pathlib import Path
from types import ModuleType
from typing import Any, Callable, Optional, Tuple

import pandas as pd
import pytest

from lbbt_mm.figures import canvas
from lbbt_mm.figures.claimed_folder import files_of, mark_of
from lbbt_mm.figures.trained import OpenedRun, read_trained
from tests.tiny_runs import write_images, write_run


@pytest.fixture(autouse=True)
def quiet_logger():
    """mmengine's logger keeps the standard error of the first test that logs, which is closed in the next."""
    logging.disable(logging.INFO)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(autouse=True)
def quick_pictures(monkeypatch, request):
    """Layout and fonts are half of what a figure takes; tests of what is in the picture have them."""
    if request.path.name not in ('test_canvas.py', 'test_curve_panels.py'):
        monkeypatch.setattr(canvas, 'LAYOUT', None)
        monkeypatch.setitem(canvas._STYLE, 'pdf.fonttype', 3)


@pytest.fixture
def trained(tmp_path, folders) -> Callable[..., str]:
    """Writes runs, by default of blocks of a plain network, on four images of each class; see :func:`write_run`."""
    images = write_images(tmp_path / 'images', each=4)
    return lambda name='run', model_type='gpt2', **options: write_run(tmp_path, images, folders[model_type], name, **options)


@pytest.fixture
def opened(trained) -> Callable[..., OpenedRun]:
    """Opens a run of twelve images for training and twelve for the test, with overrides of its config."""
    return lambda options=(), **settings: OpenedRun(read_trained(trained(**settings)), options)


@pytest.fixture
def figure(tmp_path, capfd) -> Callable[..., Tuple[int, str, Optional[pd.DataFrame]]]:
    """Runs a figure's tool, a module; returns its exit status, what it printed, and its numbers."""

    def run(tool: ModuleType, *arguments: Any, out: str = 'out') -> Tuple[int, str, Optional[pd.DataFrame]]:
        name, folder = tool.__name__.rpartition('.')[2], tmp_path / out
        capfd.readouterr()
        status = tool.main([*map(str, arguments), '--out', str(folder)])
        captured, numbers = capfd.readouterr(), Path(folder, f'{name}.csv')
        known = {*files_of(name), mark_of(folder, name).name}
        assert {path.name for path in folder.glob('*')} <= known, 'others would be replaced unseen'
        return status, captured.out + captured.err, pd.read_csv(numbers) if numbers.exists() else None

    return run


@pytest.fixture
def log(tmp_path) -> Callable[..., str]:
    """Writes the log of a run: losses at each of its iterations, validations at the end of its epochs."""

    def write(name, losses=(), validations=(), epochs=True, metric='accuracy/top1', attempt='a', first=1, main=()):
        path = tmp_path / name / attempt / 'vis_data' / 'scalars.json'
        path.parent.mkdir(parents=True, exist_ok=True)
        train = [dict(loss=loss, lr=0.1, iter=2 * step, step=2 * step, **(dict(epoch=step) if epochs else {}))
                 for step, loss in enumerate(losses, first)]
        for record, loss in zip(train, main):
            record['main_unweighted'] = loss
        val = [{metric: value, 'step': step if epochs else 2 * step} for step, value in enumerate(validations, first)]
        path.write_text(''.join(f'{json.dumps(record)}\n' for record in train + val))
        return str(tmp_path / name)

    return write
