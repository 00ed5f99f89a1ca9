"""What tests of hostile files share."""
from pathlib import Path

import pytest
from mmengine.registry import registry as registry_module


@pytest.fixture(autouse=True)
def mmengine_kept(monkeypatch):
    """What a config read before a run changes stays for the process."""
    monkeypatch.setattr(registry_module, 'get_object_from_string', registry_module.get_object_from_string)


@pytest.fixture
def trace(tmp_path) -> Path:
    """What a hostile file would leave."""
    return tmp_path / 'trace'
