"""Blocks and parts are read strictly: every tensor is there, of its shape, finite, and none is left over."""
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel

from lbbt_mm.language import FAMILIES, CheckpointError, open_checkpoint
from tests.edited_checkpoints import edit_config, edit_weights, opened
from tests.tiny_checkpoints import CONFIGS, build_model


@pytest.mark.parametrize('model_type', FAMILIES)
def test_a_model_without_its_head_has_other_names_and_the_same_blocks(model_type, folders, tmp_path):
    AutoModel.from_pretrained(folders[model_type]).save_pretrained(tmp_path)
    with_head, without = open_checkpoint(folders[model_type]), open_checkpoint(tmp_path)
    expected, read = with_head.read_block(3), without.read_block(3)
    assert read.keys() == expected.keys()
    assert all(torch.equal(read[name], expected[name]) for name in expected)


def test_language_part_of_a_multimodal_checkpoint_is_found(llama):
    tensors = load_file(llama / 'model.safetensors')
    save_file({f'language_model.{name}': tensor for name, tensor in tensors.items()}, llama / 'model.safetensors')
    read = open_checkpoint(llama).read_block(0)
    assert torch.equal(read['layers.0.mlp.up_proj.weight'], tensors['model.layers.0.mlp.up_proj.weight'])


def test_causal_mask_buffers_of_old_checkpoints_are_not_left_over(gpt2):
    edit_weights(gpt2, lambda tensors: tensors.update({'transformer.h.0.attn.bias': torch.ones(1, 1, 4, 4),
                                                       'transformer.h.0.attn.masked_bias': torch.tensor(-1e4)}))
    assert len(open_checkpoint(gpt2).read_block(0)) == 12


def test_missing_tensor_is_named(gpt2):
    edit_weights(gpt2, lambda tensors: tensors.pop('transformer.h.1.mlp.c_fc.bias'))
    checkpoint = open_checkpoint(gpt2)
    checkpoint.read_block(0)
    with pytest.raises(CheckpointError, match=f"{gpt2}: tensor 'transformer.h.1.mlp.c_fc.bias' is missing. A gpt2 "
                                              'block with this config has it; check that config.json belongs'):
        checkpoint.read_block(1)


def test_left_over_tensor_is_named(gpt2):
    edit_weights(gpt2, lambda tensors: tensors.update({'transformer.h.1.crossattention.c_attn.bias': torch.ones(4)}))
    with pytest.raises(CheckpointError, match="tensor 'transformer.h.1.crossattention.c_attn.bias' is left over "
                                              r'\(1 in block 1\): a gpt2 block with this config has no such part. '):
        open_checkpoint(gpt2).read_block(1)


def test_misshapen_tensor_shows_both_shapes(gpt2):
    edit_weights(gpt2, lambda tensors: tensors.update({'transformer.h.0.ln_2.weight': torch.ones(33)}))
    with pytest.raises(CheckpointError, match=r"tensor 'transformer.h.0.ln_2.weight' has shape \(33,\); the config "
                                              r'says \(32,\); check that config.json'):
        open_checkpoint(gpt2).read_block(0)


def test_config_of_another_size_is_noticed(llama):
    edit_config(llama, intermediate_size=96)
    with pytest.raises(CheckpointError, match=r'gate_proj.weight. has shape \(64, 32\); the config says \(96, 32\)'):
        open_checkpoint(llama).read_block(0)


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_tensor_that_is_not_finite_is_named(gpt2, value):
    edit_weights(gpt2, lambda tensors: tensors['transformer.h.2.attn.c_attn.weight'][3].fill_(value))
    checkpoint = open_checkpoint(gpt2)
    checkpoint.read_block(1)
    with pytest.raises(CheckpointError, match="tensor 'transformer.h.2.attn.c_attn.weight' holds NaN or infinity; "
                                              'expected finite numbers. .*use another revision or checkpoint'):
        checkpoint.read_block(2)


def test_integer_weights_are_refused(gpt2):
    edit_weights(gpt2, lambda tensors: tensors.update(
        {'transformer.h.0.attn.c_proj.weight': torch.ones(32, 32, dtype=torch.int8)}))
    with pytest.raises(CheckpointError, match='stored as torch.int8; expected a floating-point type of 16 bits or '
                                              'more. Use a checkpoint that is not quantised, or a GGUF file'):
        open_checkpoint(gpt2).read_block(0)


def test_weights_of_another_family_than_the_config_says(gpt2):
    (gpt2 / 'config.json').write_text(json.dumps(CONFIGS['llama']))
    with pytest.raises(CheckpointError, match='no tensor is named like a llama block '
                                              r"\('layers.0.input_layernorm.weight', .*\); found for example 'transformer"
                                              '.*of another family than the config'):
        open_checkpoint(gpt2).read_block(0)


def bin_of(folder: Path, change) -> Path:
    model = build_model('llama')
    model.save_pretrained(folder)
    (folder / 'model.safetensors').unlink()
    torch.save(change(model.state_dict()), folder / 'pytorch_model.bin')
    return folder


@pytest.mark.parametrize('change', [
    lambda sd: {name: value.to('meta') for name, value in sd.items()},
    lambda sd: {name: value.double() * 1e300 for name, value in sd.items()}])
def test_tensors_without_numbers_or_with_too_large_ones(change, tmp_path):
    with pytest.raises(CheckpointError):
        opened(bin_of(tmp_path / 'm', change))


def test_weights_of_float_8_are_no_floating_point_weights_here(tmp_path):
    build_model('llama').save_pretrained(tmp_path)
    tensors = load_file(tmp_path / 'model.safetensors')
    name = 'model.layers.0.mlp.up_proj.weight'
    tensors[name] = tensors[name].to(torch.float8_e4m3fn)
    torch.save(tensors, tmp_path / 'pytorch_model.bin')
    (tmp_path / 'model.safetensors').unlink()
    for _ in range(2):
        with pytest.raises(CheckpointError, match='stored as torch.float8_e4m3fn; expected a floating-point type of 16'):
            open_checkpoint(tmp_path).read_block(0)
        save_file(tensors, tmp_path / 'model.safetensors')  # which is looked at first
