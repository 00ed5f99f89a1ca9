"""Weight selection: exact sub-tensors, one choice for all tensors of a block, and what cannot be selected."""
from dataclasses import replace

import pytest
import torch

from lbbt_mm.language import FAMILIES, open_checkpoint, read_arm_block, read_spec
from lbbt_mm.language.initializer import copy_block
from lbbt_mm.language.weight_selection import WeightSelection, select_spec
from lbbt_mm.models.layers import LanguageBlock
from tests.tiny_checkpoints import CONFIGS, copied_block

# Widths that each tiny family can be selected down to: its heads share key/value heads in groups
NARROW = {'gpt2': (24, 3), 'llama': (16, 2), 'mistral': (16, 4), 'qwen2': (16, 2), 'qwen3': (16, 2),
          'opt': (24, 3)}


def narrow(spec, **sizes):
    return select_spec(spec.block, **sizes)


def selection_of(folder, model_type):
    spec = open_checkpoint(folder).spec
    dims, heads = NARROW[model_type]
    return spec, WeightSelection(spec.block, select_spec(spec.block, dims, heads))


def selected_block(folder, model_type, arm='language', seed=0):
    spec, selection = selection_of(folder, model_type)
    tensors = read_arm_block(arm, spec, open_checkpoint(folder), 1, seed, selection)
    block = LanguageBlock(selection.target)
    copy_block(block, replace(spec, block=selection.target), 1, tensors)
    return block, tensors


@pytest.mark.parametrize('model_type', FAMILIES)
def test_every_parameter_is_an_exact_part_of_the_full_block(model_type, folders):
    narrow_block, _ = selected_block(folders[model_type], model_type)
    whole = dict(copied_block(open_checkpoint(folders[model_type]), 1).named_parameters())
    _, selection = selection_of(folders[model_type], model_type)
    for name, parameter in narrow_block.named_parameters():
        rows, *columns = selection.indices(name)
        expected = whole[name][rows]
        for index in columns:
            expected = expected[:, index]
        assert torch.equal(parameter, expected), name
        assert len(rows.unique()) == len(rows) and rows.max() < len(whole[name])


def test_gpt2_by_hand(folders):
    """Of 4 heads 3 are taken: 0, 1 and 2, which are 0, 4/3 and 8/3 rounded down."""
    block, _ = selected_block(folders['gpt2'], 'gpt2')
    source = open_checkpoint(folders['gpt2']).read_block(1)
    channels = [index * 32 // 24 for index in range(24)]
    heads = list(range(24))
    fused = source['h.1.attn.c_attn.weight'].T
    assert torch.equal(block.attn.qkv.weight[24:48], fused[32:64][heads][:, channels])
    assert torch.equal(block.attn.proj.weight, source['h.1.attn.c_proj.weight'].T[channels][:, heads])
    assert torch.equal(block.norm1.bias, source['h.1.ln_1.bias'][channels])
    units = [index * 128 // 96 for index in range(96)]
    assert torch.equal(block.mlp.fc1.bias, source['h.1.mlp.c_fc.bias'][units])
    assert torch.equal(block.mlp.fc2.weight, source['h.1.mlp.c_proj.weight'].T[channels][:, units])


def test_gate_and_up_projection_lose_the_same_units(folders):
    block, _ = selected_block(folders['llama'], 'llama')
    source = open_checkpoint(folders['llama']).read_block(1)
    gate, up = block.mlp.fc1.weight.chunk(2)
    for half, name in ((gate, 'gate_proj'), (up, 'up_proj')):
        assert torch.equal(half, source[f'layers.1.mlp.{name}.weight'][::2][:, ::2])


def test_query_heads_go_with_the_key_head_they_read(folders):
    """Four query heads share two key heads: one group of two is left, with the first key head."""
    block, _ = selected_block(folders['llama'], 'llama')
    source = open_checkpoint(folders['llama']).read_block(1)
    q, k, v = block.attn.qkv.weight.split([16, 8, 8])
    assert torch.equal(q, source['layers.1.self_attn.q_proj.weight'][:16, ::2])
    assert torch.equal(k, source['layers.1.self_attn.k_proj.weight'][:8, ::2])
    assert torch.equal(v, source['layers.1.self_attn.v_proj.weight'][:8, ::2])


def test_the_full_width_is_the_block_itself(folders):
    checkpoint = open_checkpoint(folders['qwen3'])
    selection = WeightSelection(checkpoint.spec.block, replace(checkpoint.spec.block, rotary=None))
    tensors = read_arm_block('language', checkpoint.spec, checkpoint, 0, 0, selection)
    whole = checkpoint.read_block(0)
    assert tensors.keys() == whole.keys() and all(torch.equal(tensors[name], whole[name]) for name in whole)


def test_shuffled_permutes_the_entries_that_language_copies(folders):
    language, shuffled = (selected_block(folders['gpt2'], 'gpt2', arm)[1] for arm in ('language', 'shuffled'))
    for name, tensor in language.items():
        assert torch.equal(tensor.flatten().sort().values, shuffled[name].flatten().sort().values), name


def test_random_is_a_fresh_model_of_the_narrower_width(folders):
    block, _ = selected_block(folders['gpt2'], 'gpt2', 'random')
    assert torch.equal(block.norm1.weight, torch.ones(24))
    assert block.mlp.fc1.weight.std().item() == pytest.approx(0.02, rel=0.1)


def test_sizes_that_are_not_written_follow_from_the_width():
    gpt2 = read_spec(dict(model_type='gpt2', n_embd=768, n_head=12, n_layer=2))
    target = narrow(gpt2, embed_dims=192)
    assert (target.num_heads, target.num_kv_heads, target.head_dims, target.ffn_dims) == (3, 3, 64, 768)
    smollm2 = read_spec(dict(model_type='llama', hidden_size=576, intermediate_size=1536, num_hidden_layers=2,
                             num_attention_heads=9, num_key_value_heads=3))
    target = narrow(smollm2, embed_dims=192)
    assert (target.num_heads, target.num_kv_heads, target.head_dims, target.ffn_dims) == (3, 1, 64, 512)
    assert target.rotary is None and target.gated and target.norm == 'rms'


@pytest.mark.parametrize('model_type, sizes, message', [
    ('gpt2', dict(embed_dims=48), r'embed_dims=48 from a language model with 32; expected 1 to 32. Choose a wider language'),
    ('gpt2', dict(embed_dims=24, num_heads=6), r'num_heads=6 from a language model with 4'),
    ('gpt2', dict(embed_dims=24, num_heads=3, ffn_dims=500), r'ffn_dims=500 from a language model with 128'),
    ('gpt2', dict(embed_dims=25, num_heads=3),
     r'num_heads=3 with embed_dims=25; expected another embed_dims.*divide the width'),
    ('gpt2', dict(embed_dims=24, num_heads=2),
     r'num_heads=2 with embed_dims=24; expected one of 3, 4. .* 8 channels at most'),
    ('llama', dict(embed_dims=24, num_heads=3),
     r'num_heads=3 .*; expected one of 4. .* whole groups of 2 that share key/value heads'),
])
def test_what_cannot_be_selected(model_type, sizes, message):
    with pytest.raises(ValueError, match=message):
        narrow(read_spec(CONFIGS[model_type]), **sizes)
