"""The data sets that checks of detection and of segmentation look at."""
from pathlib import Path

import pytest

from tests import tiny_detection, tiny_segmentation


@pytest.fixture
def data(tmp_path) -> Path:
    """A detection set."""
    return tiny_detection.write_dataset(tmp_path / 'data', num_train=3, num_val=2)


@pytest.fixture
def root(tmp_path) -> Path:
    """A segmentation set."""
    return tiny_segmentation.write_dataset(tmp_path / 'data', num_train=3, num_val=2)
