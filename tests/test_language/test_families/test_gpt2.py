"""GPT-2."""
import pytest
import torch

from lbbt_mm.language import read_spec
from lbbt_mm.language.families.gpt2 import GPT2
from tests.tiny_checkpoints import config_of


def test_gpt2_is_a_plain_layernorm_block_without_rotary():
    block = read_spec(dict(model_type='gpt2', n_embd=768, n_head=12, n_layer=12)).block
    assert (block.embed_dims, block.num_heads, block.head_dims, block.ffn_dims) == (768, 12, 64, 3072)
    assert (block.norm, block.gated, block.rotary, block.activation) == ('layer', False, None, 'gelu_new')
    assert block.qkv_bias and block.proj_bias and block.ffn_bias and block.attn_scale is None
    assert block.qkv_dims == [768, 768, 768]


def test_unscaled_gpt2_attention_keeps_its_scale():
    assert read_spec(config_of('gpt2', scale_attn_weights=False)).block.attn_scale == 1.0


def test_heads_that_do_not_divide_the_width_are_an_error():
    with pytest.raises(ValueError, match='width 30 does not divide into 4 heads. Correct n_embd or n_head'):
        read_spec(dict(model_type='gpt2', n_embd=30, n_head=4))


def test_gpt2_with_a_scale_per_layer_is_refused():
    with pytest.raises(ValueError, match='scale_attn_by_inverse_layer_idx=True is not supported'):
        read_spec(config_of('gpt2', scale_attn_by_inverse_layer_idx=True))


def test_gpt2_random_init_shrinks_what_writes_to_the_residual_stream():
    spec = read_spec(dict(model_type='gpt2', n_embd=128, n_head=4, n_layer=8, initializer_range=0.02))
    generator = torch.Generator().manual_seed(0)
    plain = GPT2.random_tensor(spec, 'h.0.mlp.c_fc.weight', (128, 512), generator)
    residual = GPT2.random_tensor(spec, 'h.0.mlp.c_proj.weight', (512, 128), generator)
    assert plain.std().item() == pytest.approx(0.02, rel=0.02)
    assert residual.std().item() == pytest.approx(0.02 / 16**0.5, rel=0.02)
