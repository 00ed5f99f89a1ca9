"""A fingerprint follows what a language checkpoint holds, not where it lies or when it was written."""
import os
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from lbbt_mm.language.fingerprint import fingerprint


@pytest.fixture
def folder(tmp_path):
    """A checkpoint of 8 MB, more than is read of it."""
    path = tmp_path / 'lm'
    path.mkdir()
    (path / 'config.json').write_text('{"rms_norm_eps": 1e-5}')
    save_file({'a': np.random.default_rng(0).normal(size=(1024, 1024)), 'b': np.ones(3)}, path / 'model.safetensors')
    return path


def test_a_copy_is_the_same(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / 'copy')
    os.utime(copy / 'config.json', (1, 1))
    (copy / 'README.md').write_text('what nobody reads')
    assert fingerprint(copy) == fingerprint(folder) and len(fingerprint(str(folder))) == 16
    moved = shutil.copy(folder / 'model.safetensors', tmp_path / 'other.safetensors')
    assert fingerprint(moved) == fingerprint(folder / 'model.safetensors')


@pytest.mark.parametrize('change', ['weights', 'config', 'file more'])
def test_another_one_in_its_place_differs(folder, change):
    before = fingerprint(folder)
    if change == 'weights':
        tensors = load_file(folder / 'model.safetensors')
        save_file({**tensors, 'a': 3 * tensors['a']}, folder / 'model.safetensors')
    elif change == 'config':
        (folder / 'config.json').write_text('{"rms_norm_eps": 1e-1}')
    else:
        (folder / 'adapter_config.json').write_text('{}')
    assert fingerprint(folder) != before


@pytest.mark.parametrize('checkpoint', ['openai-community/gpt2', 'nowhere', None])
def test_what_is_not_here_has_none(checkpoint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert fingerprint(checkpoint) is None
