"""Checkpoints are opened wherever they are, and in whichever form people have them."""
import builtins
import errno
import io
import json
import os
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from lbbt_mm.language import CheckpointError, LanguageOptions, open_checkpoint
from tests.edited_checkpoints import is_the_model, opened
from tests.tiny_checkpoints import CONFIGS, build_model, write_gguf
from tests.vision_stack import VisionStack


def test_home_directory_is_expanded(gpt2, monkeypatch):
    monkeypatch.setenv('HOME', str(gpt2.parent))
    assert open_checkpoint('~/gpt2').spec.num_blocks == 4


def test_opening_reads_the_config_and_no_weights(gpt2):
    (gpt2 / 'model.safetensors').unlink()
    checkpoint = open_checkpoint(gpt2)
    assert checkpoint.spec.block.embed_dims == 32 and checkpoint.bytes_read == 0
    with pytest.raises(CheckpointError, match='has a config.json but no weights; expected model.safetensors, its shards'
                                              ' .*or pytorch_model.bin. Fetch the weights'):
        checkpoint.read_block(0)


@pytest.mark.parametrize('location', ['./absent', '/nowhere/at/all', '~/absent', 'a/b/c', '../a.gguf'])
def test_path_that_leads_nowhere_says_what_was_expected(location):
    with pytest.raises(CheckpointError, match=f'{location}: no such file or folder. Expected a folder with config.json '
                                              'and weights, a .gguf file, or a hub id such as openai-community/gpt2'):
        open_checkpoint(location)


def test_file_that_is_no_checkpoint_asks_for_its_folder(gpt2):
    with pytest.raises(CheckpointError, match='is a .safetensors file; expected a folder .*Give the folder'):
        open_checkpoint(gpt2 / 'model.safetensors')


@pytest.mark.parametrize('checkpoint', [None, '', 3])
def test_no_checkpoint_says_what_to_set(checkpoint):
    with pytest.raises(CheckpointError, match=f'language.checkpoint={checkpoint!r}: expected a hub id, a folder or a '
                                              'GGUF file. Set language.checkpoint'):
        open_checkpoint(checkpoint)


def test_pretrained_gpt2_is_read_as_transformers_reads_it(gpt2_mini):
    model = AutoModelForCausalLM.from_pretrained(gpt2_mini, torch_dtype=torch.bfloat16)
    checkpoint = open_checkpoint(gpt2_mini)
    for index in (0, 11):
        expected = dict(model.transformer.h[index].named_parameters())
        for name, tensor in checkpoint.read_block(index).items():
            assert torch.equal(tensor, expected[name.removeprefix(f'h.{index}.')])


def test_smollm2_from_gguf_is_what_transformers_dequantises(smollm2, smollm2_head):
    checkpoint = open_checkpoint(smollm2)
    expected = smollm2_head.state_dict()
    for index in (0, 1):
        for name, tensor in checkpoint.read_block(index).items():
            assert torch.equal(tensor, expected['model.' + name]), name
    assert checkpoint.spec.num_blocks == 30 and checkpoint.spec.block.num_kv_heads == 3
    assert checkpoint.bytes_read < 0.05 * smollm2.stat().st_size


def test_a_whole_file_is_preferred_to_a_stale_index(llama):
    """As transformers does."""
    (llama / 'model.safetensors.index.json').write_text(json.dumps(dict(weight_map={'x': 'model-00001.safetensors'})))
    assert is_the_model(llama)


def test_a_whole_pickle_is_preferred_to_a_stale_index(tmp_path):
    build_model('llama').save_pretrained(tmp_path, safe_serialization=False)
    (tmp_path / 'pytorch_model.bin.index.json').write_text(json.dumps(dict(weight_map={'x': 'absent.bin'})))
    assert is_the_model(tmp_path)


@pytest.mark.parametrize('with_config', [True, False])
def test_a_folder_of_gguf_files_names_them(tmp_path, with_config):
    for name in ('tiny-Q8_0.gguf', 'tiny-F16.GGUF'):
        write_gguf(tmp_path / name, build_model('llama'))
    if with_config:
        (tmp_path / 'config.json').write_text(json.dumps(CONFIGS['llama']))
    with pytest.raises(CheckpointError, match=f'{tmp_path}/tiny-F16.GGUF'):
        open_checkpoint(tmp_path).read_block(0)


def test_an_upper_case_ending(tmp_path):
    assert is_the_model(write_gguf(tmp_path / 'TINY.GGUF', build_model('llama')))


@pytest.mark.parametrize('kind', ['folder', 'gguf'])
def test_a_path_object_is_a_checkpoint(kind, llama, tmp_path):
    path = llama if kind == 'folder' else write_gguf(tmp_path / 'tiny.gguf', build_model('llama'))
    VisionStack(dict(checkpoint=Path(path), config=CONFIGS['llama'])).init_weights()
    assert LanguageOptions.from_dict(dict(checkpoint=Path(path))).checkpoint == str(path)


@pytest.mark.parametrize('name', ['a' * 300, '/' + 'b' * 300, 'a/' * 3000, 'nul\0byte', 'c' * 300 + '.gguf'])
def test_a_name_that_no_file_can_have(name):
    with pytest.raises(CheckpointError):
        open_checkpoint(name)


def test_a_link_to_a_snapshot_of_the_hub_s_cache(tmp_path):
    snapshot = tmp_path / 'models--a--b' / 'snapshots' / 'abc'
    build_model('llama').save_pretrained(snapshot, max_shard_size='20KB')
    blobs = tmp_path / 'models--a--b' / 'blobs'
    blobs.mkdir()
    for number, path in enumerate(sorted(snapshot.iterdir())):
        path.rename(blobs / str(number))
        path.symlink_to(blobs / str(number))
    os.symlink(snapshot, tmp_path / 'model')
    opened(tmp_path / 'model')
    opened(snapshot)


@pytest.mark.parametrize('name', ['model.safetensors', 'config.json', 'tiny.gguf', 'pytorch_model.bin'])
def test_a_file_that_the_system_does_not_read(name, llama, tmp_path, monkeypatch):
    write_gguf(llama / 'tiny.gguf', build_model('llama'))
    if name == 'pytorch_model.bin':
        (llama / 'model.safetensors').rename(llama / name)
    path, opens = llama / name, builtins.open

    def refuse(file, *args, **kwargs):
        if Path(file) == path:
            raise PermissionError(errno.EACCES, 'Permission denied', str(file))
        return opens(file, *args, **kwargs)

    for module in (builtins, io):  # pathlib has io's
        monkeypatch.setattr(module, 'open', refuse)
    with pytest.raises(CheckpointError, match=f'{name}.*Permission denied'):
        open_checkpoint(path if name == 'tiny.gguf' else llama).read_block(0)


def test_a_link_to_what_is_no_real_file(llama):
    (llama / 'model.safetensors').unlink()
    (llama / 'model.safetensors').symlink_to('/proc/self/maps')
    with pytest.raises(CheckpointError, match='model.safetensors: cannot be read .No such device'):
        open_checkpoint(llama).read_block(0)
