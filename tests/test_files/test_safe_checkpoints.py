"""Before a run its checkpoints are checked, and nothing in its process unpickles one, unless the user vouches for it."""

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import load_checkpoint
from torch import nn

from lbbt_mm.files.safe_checkpoints import load_checkpoint_safely, refuse_unsafe_checkpoints
from tests.hostile_files import config_that_runs, write_checkpoint


@pytest.fixture
def evil(tmp_path, trace) -> str:
    """A checkpoint with good weights and code."""
    return write_checkpoint(tmp_path / 'evil.pth', trace, 'code')


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
    with pytest.raises(ValueError, match='--trust-checkpoint'):
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
    loaded = load_checkpoint(nn.Linear(2, 2), str(tmp_path / 'mmengine.pth'))['message_hub']
    record = loaded['log_scalars']['train/loss']
    assert record.mean() == pytest.approx(buffer.mean()) and record.statistics('min') == 0.25
    record.update(9.)
    assert [row.tolist() for row in record.data] == [[0.5, 3, 0.25, 9], [1, 1, 1, 1]]
    assert loaded['runtime_info']['seen'].tolist() == [0, 1, 2] and type(loaded['runtime_info']['loss']) is np.float32


@pytest.mark.parametrize('spelling', ['~/evil.pth', 'evil.pth', './evil.pth', 'link.pth', '../home/evil.pth'])
def test_a_name_means_the_same_file_to_the_check_and_to_mmengine(spelling, tmp_path, trace, monkeypatch):
    """``~/x.pth`` was not found by the check, and then loaded by mmengine, whose list lets getattr through."""
    home = tmp_path / 'home'
    home.mkdir()
    monkeypatch.setenv('HOME', str(home))
    monkeypatch.chdir(home)
    write_checkpoint(home / 'evil.pth', trace, 'getattr')
    (home / 'link.pth').symlink_to('evil.pth')
    with pytest.raises(ValueError, match='--trust-checkpoint'):
        refuse_unsafe_checkpoints([spelling], trust=False)
    with pytest.raises(ValueError, match='--trust-checkpoint'):
        load_checkpoint(nn.Linear(2, 2), spelling)
    assert not trace.exists()


@pytest.mark.parametrize('spelling', ['file://{}', '{} ', ' {}', '{}/', '$HOME/x.pth', 'FILE://{}'])
def test_a_name_that_is_no_file_is_none_to_both(spelling, tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    torch.save(dict(state_dict=nn.Linear(2, 2).state_dict()), tmp_path / 'x.pth')
    name = spelling.format(tmp_path / 'x.pth')
    refuse_unsafe_checkpoints([], trust=False)
    refuse = lambda name: refuse_unsafe_checkpoints([name], trust=False)  # noqa: E731
    for load in (refuse, load_checkpoint_safely, lambda name: load_checkpoint(nn.Linear(2, 2), name)):
        with pytest.raises(ValueError, match='no such checkpoint file'):
            load(name)


@pytest.mark.parametrize('trust', [False, True])
@pytest.mark.parametrize('key', ['cfg', 'config'])
def test_a_config_in_a_checkpoint_is_kept_as_text_where_mmengine_does_not_run_it(key, trust, tmp_path, trace):
    text = config_that_runs(trace)
    torch.save(dict(state_dict=nn.Linear(2, 2).state_dict(), meta={key: text, 'epoch': 1}), tmp_path / 'evil.pth')
    refuse_unsafe_checkpoints([], trust)
    for loaded in (load_checkpoint_safely(str(tmp_path / 'evil.pth'), trust=trust),
                   load_checkpoint(nn.Linear(2, 2), str(tmp_path / 'evil.pth'))):
        assert loaded['meta'] == dict(epoch=1, lbbt_mm_config_text=text)
    assert not trace.exists()


def test_a_folder_as_deepspeed_writes_is_refused_unless_it_is_trusted(tmp_path):
    with pytest.raises(ValueError, match='is a folder, as DeepSpeed.*--trust-checkpoint'):
        refuse_unsafe_checkpoints([str(tmp_path)], trust=False)
    refuse_unsafe_checkpoints([str(tmp_path)], trust=True)


def test_addresses_are_left_to_the_loader():
    refuse_unsafe_checkpoints([None, 'torchvision://resnet50', 'https://host/file.pth'], trust=False)


@pytest.mark.parametrize('trust', (False, True))
@pytest.mark.parametrize('name', ('absent.pth', '~/absent.pth', 'no/such/folder/epoch_1.pth'))
def test_an_absent_file_is_refused_before_anything_is_made(name, trust):
    with pytest.raises(ValueError, match=f'{name}: no such checkpoint file. Give the path of a .pth file'):
        refuse_unsafe_checkpoints([None, name], trust)
