"""What tests of classes in captions share."""
from pathlib import Path

import pytest

from tests.tiny_wordnet import write_wordnet


@pytest.fixture
def wordnet(tmp_path) -> Path:
    """The folder of a dictionary."""
    return write_wordnet(tmp_path / 'wordnet')
