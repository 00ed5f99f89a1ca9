"""Training checkpoints are loaded without running code from them, unless the user vouches for the file."""
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import load_checkpoint
from torch import nn

from lbbt_mm.engine.safe_checkpoints import refuse_unsafe_checkpoints


class LeavesATrace:
    """Creates a folder when it is unpickled, as an attacker's code would do worse."""

    def __init__(self, trace: Path) -> None:
        self.trace = str(trace)

    def __reduce__(self):
        return os.mkdir, (self.trace, )


@pytest.fixture(autouse=True)
def environment_kept(monkeypatch):
    """The functions under test set variables for the whole process."""
    for name in ('TORCH_FORCE_WEIGHTS_ONLY_LOAD', 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'):
        monkeypatch.setenv(name, '')  # remembered, so that whatever the code sets is undone
        monkeypatch.delenv(name)


@pytest.fixture
def trace(tmp_path) -> Path:
    return tmp_path / 'trace'


@pytest.fixture
def evil(tmp_path, trace) -> str:
    """A checkpoint with good weights and code."""
    torch.save(dict(state_dict=nn.Linear(2, 2).state_dict(), meta=dict(epoch=1, iter=3), extra=LeavesATrace(trace)),
               tmp_path / 'evil.pth')
    return str(tmp_path / 'evil.pth')


def test_a_file_that_needs_unpickling_is_refused_and_its_code_does_not_run(evil, trace):
    with pytest.raises(ValueError) as error:
        refuse_unsafe_checkpoints([None, evil], trust=False)
    message = str(error.value)
    assert message.startswith(evil) and '(posix.mkdir)' in message and '--trust-checkpoint' in message
    assert len(message.splitlines()) == 1
    assert not trace.exists()


def test_mmengine_s_fallback_to_unpickling_is_closed_too(evil, trace):
    """For files that no one checked before: a Pretrained step, a downloaded file."""
    refuse_unsafe_checkpoints([], trust=False)
    with pytest.raises(pickle.UnpicklingError):
        load_checkpoint(nn.Linear(2, 2), evil)
    assert not trace.exists()


def test_a_trusted_file_is_loaded_with_its_code(evil, trace):
    refuse_unsafe_checkpoints([evil], trust=True)
    assert not trace.exists()
    load_checkpoint(nn.Linear(2, 2), evil)
    assert trace.is_dir()


def test_trust_lifts_what_an_earlier_run_in_the_process_forbade(evil, trace):
    refuse_unsafe_checkpoints([], trust=False)
    refuse_unsafe_checkpoints([evil], trust=True)
    load_checkpoint(nn.Linear(2, 2), evil)
    assert trace.is_dir()


def test_a_leftover_variable_that_forces_unpickling_does_not_win(evil, trace, tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', '1')
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / 'good.pth')
    refuse_unsafe_checkpoints([str(tmp_path / 'good.pth')], trust=False)
    with pytest.raises(ValueError, match='--trust-checkpoint'):
        refuse_unsafe_checkpoints([evil], trust=False)
    assert not trace.exists()


def test_what_mmengine_writes_is_allowed(tmp_path):
    """A message hub holds HistoryBuffers with numpy arrays and scalars in them."""
    buffer = HistoryBuffer()
    for value in (0.5, 3, np.float64(0.25)):
        buffer.update(value)
    hub = dict(log_scalars={'train/loss': buffer}, runtime_info=dict(epoch=2, loss=np.float32(1.5), seen=np.arange(3)))
    torch.save(dict(state_dict=nn.Linear(2, 2).state_dict(), message_hub=hub), tmp_path / 'mmengine.pth')
    refuse_unsafe_checkpoints([str(tmp_path / 'mmengine.pth')], trust=False)
    loaded = load_checkpoint(nn.Linear(2, 2), str(tmp_path / 'mmengine.pth'))
    assert loaded['message_hub']['log_scalars']['train/loss'].mean() == pytest.approx(buffer.mean())


class Reaches:
    """Gets an attribute of what mmengine's own classes lead to."""

    def __init__(self, owner, name) -> None:
        self.owner, self.name = owner, name

    def __reduce__(self):
        return getattr, (self.owner, self.name)


@pytest.mark.parametrize('owner, name', [(HistoryBuffer, '__init__'), (np.ndarray, 'tofile'), (np.dtype, 'mean')])
def test_the_getattr_in_mmengine_s_records_serves_for_nothing_else(owner, name, tmp_path):
    torch.save(dict(extra=Reaches(owner, name)), tmp_path / 'evil.pth')
    with pytest.raises(ValueError, match=rf'getattr\(.*{name}.*--trust-checkpoint'):
        refuse_unsafe_checkpoints([str(tmp_path / 'evil.pth')], trust=False)


def _garbage(path: Path) -> None:
    path.write_bytes(b'this is no checkpoint at all, not even close to one')


def _page(path: Path) -> None:
    path.write_text('<!DOCTYPE html><html>404: not found</html>')


def _cut(path: Path) -> None:
    torch.save(dict(state_dict=nn.Linear(64, 64).state_dict()), path)
    path.write_bytes(path.read_bytes()[:path.stat().st_size // 2])


def _cut_legacy(path: Path) -> None:
    torch.save(dict(state_dict=nn.Linear(64, 64).state_dict()), path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes()[:path.stat().st_size // 2])


def _cut_to_a_few_bytes(path: Path) -> None:
    torch.save(dict(state_dict=nn.Linear(64, 64).state_dict()), path)
    path.write_bytes(path.read_bytes()[:20])


@pytest.mark.parametrize('write', [Path.touch, _garbage, _page, _cut, _cut_legacy, _cut_to_a_few_bytes])
def test_a_damaged_file_is_one_clear_error(write, tmp_path):
    write(tmp_path / 'epoch_3.pth')
    with pytest.raises(ValueError) as error:
        refuse_unsafe_checkpoints([str(tmp_path / 'epoch_3.pth')], trust=False)
    message = str(error.value)
    assert message.startswith(f"{tmp_path / 'epoch_3.pth'}: is not a complete PyTorch checkpoint"), message
    assert 'use an earlier one' in message and '--trust-checkpoint' not in message


def test_addresses_and_absent_files_are_left_to_mmengine():
    refuse_unsafe_checkpoints([None, 'torchvision://resnet50', 'https://host/file.pth', 'absent.pth'], trust=False)
