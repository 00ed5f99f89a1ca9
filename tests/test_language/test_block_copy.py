"""Every parameter of a block is filled, and every tensor used."""

import pytest
import torch
from torch import nn

from lbbt_mm.language import block_tensors, read_spec
from lbbt_mm.language.block_copy import copy_block
from lbbt_mm.models.layers import LanguageBlock
from tests.tiny_checkpoints import CONFIGS


def gpt2_tensors():
    spec = read_spec(CONFIGS['gpt2'])
    return spec, {name: torch.ones(shape) for name, shape in block_tensors(spec, 0).items()}


def test_block_parameter_that_no_tensor_fills_is_named():
    spec, tensors = gpt2_tensors()
    block = LanguageBlock(spec.block)
    block.register_parameter('layer_scale', nn.Parameter(torch.ones(32)))
    with pytest.raises(ValueError, match="block parameter 'layer_scale' has no tensor in a gpt2 block; expected every "
                                         'parameter to be filled'):
        copy_block(block, spec, 0, tensors)


def test_tensor_that_no_block_parameter_takes_is_named():
    spec, tensors = gpt2_tensors()
    block = LanguageBlock(spec.block)
    block.mlp.fc2.bias = None
    with pytest.raises(ValueError, match="tensor 'h.0.mlp.c_proj.bias' is left over: the block has no parameter "
                                         "'mlp.fc2.bias'"):
        copy_block(block, spec, 0, tensors)


def test_block_of_another_size_shows_both_shapes():
    spec, tensors = gpt2_tensors()
    wider = LanguageBlock(read_spec({**CONFIGS['gpt2'], 'n_inner': 64}).block)
    with pytest.raises(ValueError, match=r"tensor 'h.0.mlp.c_fc.weight' gives 'mlp.fc1.weight' the shape \(128, 32\); "
                                         r'the block expects \(64, 32\)'):
        copy_block(wider, spec, 0, tensors)
