"""What tests of figures share: a quiet log, runs in miniature, and the tools."""
import logging
from pathlib import Path
from types import ModuleType
from typing import Any, Callable, Optional, Tuple

import pandas as pd
import pytest

from tests.tiny_runs import write_images, write_run


@pytest.fixture(autouse=True)
def quiet_logger():
    """mmengine's logger keeps the standard error of the first test that logs, which is closed in the next."""
    logging.disable(logging.INFO)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture
def trained(tmp_path, folders) -> Callable[..., str]:
    """Writes runs, by default of blocks of a plain network, on four images of each class; see :func:`write_run`."""
    images = write_images(tmp_path / 'images', each=4)
    return lambda name='run', model_type='gpt2', **options: write_run(tmp_path, images, folders[model_type], name, **options)


@pytest.fixture
def figure(tmp_path, capfd) -> Callable[..., Tuple[int, str, Optional[pd.DataFrame]]]:
    """Runs a figure's tool, a module; returns its exit status, what it printed, and its numbers."""

    def run(tool: ModuleType, *arguments: Any, out: str = 'out') -> Tuple[int, str, Optional[pd.DataFrame]]:
        name, folder = tool.__name__.rpartition('.')[2], tmp_path / out
        capfd.readouterr()
        status = tool.main([*map(str, arguments), '--out', str(folder)])
        captured, numbers = capfd.readouterr(), Path(folder, f'{name}.csv')
        return status, captured.out + captured.err, pd.read_csv(numbers) if numbers.exists() else None

    return run
