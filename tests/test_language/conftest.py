"""Checkpoints in one file that a test may damage."""
import shutil
from pathlib import Path

import pytest


@pytest.fixture
def gpt2(folders, tmp_path) -> Path:
    """A GPT-2."""
    return Path(shutil.copytree(folders['gpt2'], tmp_path / 'gpt2'))


@pytest.fixture
def llama(folders, tmp_path) -> Path:
    """A Llama."""
    return Path(shutil.copytree(folders['llama'], tmp_path / 'llama'))
