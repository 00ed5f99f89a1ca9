"""Training checkpoints are opened without running code from them: tensors and mmengine's own records, nothing else."""
from pathlib import Path

import pytest
import torch
from torch import nn

from lbbt_mm.files.checkpoint_files import load_checkpoint_bytes, load_checkpoint_safely, local_checkpoint
from tests.bombs import BOMBS, write_bomb
from tests.hostile_files import OBJECTS, write_checkpoint
from tests.time_limit import time_limit


@pytest.mark.parametrize('map_location', ['cpu', 'meta'])
@pytest.mark.parametrize('where', ['extra', 'meta', 'state_dict', 'message_hub'])
@pytest.mark.parametrize('kind', OBJECTS)
def test_every_hostile_object_is_refused_wherever_it_is(kind, where, map_location, tmp_path, trace):
    evil = write_checkpoint(tmp_path / 'evil.pth', trace, kind, where)
    with pytest.raises(ValueError, match=r'evil\.pth: .*(--trust-checkpoint|complete PyTorch checkpoint)') as error:
        load_checkpoint_safely(evil, map_location=map_location)
    assert len(str(error.value).splitlines()) == 1 and not trace.exists()


def test_what_others_allow_is_not_in_force(tmp_path, trace):
    """As mmengine's own loader does with the whole of getattr, for as long as it loads."""
    evil = write_checkpoint(tmp_path / 'evil.pth', trace, 'getattr')
    with torch.serialization.safe_globals([getattr]):
        before = set(torch.serialization.get_safe_globals())
        with pytest.raises(ValueError, match='--trust-checkpoint'):
            load_checkpoint_safely(evil)
        assert set(torch.serialization.get_safe_globals()) == before
    assert not trace.exists()


@pytest.mark.parametrize('legacy', [False, True])
@pytest.mark.parametrize('name', BOMBS)
def test_what_would_never_end_is_refused_at_once(name, legacy, tmp_path):
    with time_limit(2), pytest.raises(ValueError, match='keep whoever loads it busy for ever .*Give the path') as error:
        load_checkpoint_safely(write_bomb(tmp_path / 'epoch_1.pth', name, legacy))
    assert len(str(error.value).splitlines()) == 1


def test_a_config_that_is_no_text_is_dropped(tmp_path):
    torch.save(dict(state_dict={}, meta=dict(cfg=3, config=['x'], lbbt_mm_config_text='forged')), tmp_path / 'odd.pth')
    assert load_checkpoint_safely(tmp_path / 'odd.pth')['meta'] == {}


def test_a_compiled_program_is_no_checkpoint(tmp_path):
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), str(tmp_path / 'program.pth'))
    with pytest.raises(ValueError, match=r'program\.pth: .*TorchScript'):
        load_checkpoint_safely(tmp_path / 'program.pth')


@pytest.mark.parametrize('content, found', [([1, 2], 'holds a list'), (torch.ones(2), 'holds a Tensor'), (None, 'NoneType')])
def test_something_else_is_no_checkpoint(content, found, tmp_path):
    torch.save(content, tmp_path / 'other.pth')
    with pytest.raises(ValueError, match=found):
        load_checkpoint_safely(tmp_path / 'other.pth')


def test_nothing_but_names_and_shapes_is_read_on_the_meta_device(tmp_path):
    torch.save(dict(state_dict=dict(weight=torch.ones(1 << 22, dtype=torch.float32))), tmp_path / 'large.pth')
    tensor = load_checkpoint_safely(tmp_path / 'large.pth', map_location='meta')['state_dict']['weight']
    assert tensor.shape == (1 << 22, ) and tensor.device.type == 'meta'


@pytest.mark.parametrize('mmap', [False, True])
@pytest.mark.parametrize('legacy', [False, True])
def test_tensors_come_as_they_were_saved(legacy, mmap, tmp_path):
    model = nn.Linear(3, 2)
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'x.pth', _use_new_zipfile_serialization=not legacy)
    loaded = load_checkpoint_safely(tmp_path / 'x.pth', mmap=mmap)['state_dict']
    assert torch.equal(loaded['weight'], model.weight) and loaded._metadata == model.state_dict()._metadata


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
        load_checkpoint_safely(tmp_path / 'epoch_3.pth')
    message = str(error.value)
    assert message.startswith(f"{tmp_path / 'epoch_3.pth'}: is not a complete PyTorch checkpoint"), message
    assert 'use an earlier one' in message and '--trust-checkpoint' not in message


@pytest.mark.parametrize('kind', OBJECTS)
def test_what_was_fetched_is_loaded_as_a_file_is(kind, tmp_path, trace):
    weight = torch.ones(2)
    torch.save(dict(state_dict=dict(weight=weight)), tmp_path / 'good.pth')
    good = load_checkpoint_bytes((tmp_path / 'good.pth').read_bytes(), 'https://host/good.pth')
    assert torch.equal(good['state_dict']['weight'], weight)
    evil = Path(write_checkpoint(tmp_path / 'evil.pth', trace, kind)).read_bytes()
    with pytest.raises(ValueError, match=r'^https://host/evil\.pth: '):
        load_checkpoint_bytes(evil, 'https://host/evil.pth')
    assert not trace.exists()


@pytest.mark.parametrize('name, file', [
    ('work/epoch_1.pth', 'work/epoch_1.pth'), ('~/epoch_1.pth', '/home/me/epoch_1.pth'), (Path('/x.pth'), '/x.pth'),
    ('file:///x.pth', 'file:///x.pth'), ('https://host/x.pth', None), ('torchvision://resnet50', None),
    ('s3://bucket/x.pth', None), ('cluster:s3://bucket/x.pth', None), ('open-mmlab://detr', None)])
def test_the_file_that_a_name_means(name, file, monkeypatch):
    monkeypatch.setenv('HOME', '/home/me')
    assert local_checkpoint(name) == file


def test_the_file_that_names_the_last_checkpoint_is_none(tmp_path):
    (tmp_path / 'last_checkpoint').write_text('/runs/epoch_3.pth')
    with pytest.raises(ValueError, match="is the text file that says which checkpoint is the last .'/runs/epoch_3.pth'"):
        load_checkpoint_safely(tmp_path / 'last_checkpoint')
