import pytest
import torch
import torch.nn.functional as F
from mmengine.analysis import FlopAnalyzer, get_model_complexity_info
from torch import nn

from lbbt_mm.language import read_spec
from lbbt_mm.models.layers import LanguageAttention, LanguageBlock
from tests.tiny_checkpoints import CONFIGS


class Attention(nn.Module):
    """Attention alone."""

    def forward(self, q, k, v):
        return F.scaled_dot_product_attention(q, k, v, enable_gqa=True)


@pytest.mark.parametrize('heads, kv_heads', [(4, 4), (4, 2)])
def test_attention_counts_two_matrix_products(heads, kv_heads):
    q, k, v = torch.randn(2, heads, 10, 8), torch.randn(2, kv_heads, 7, 8), torch.randn(2, kv_heads, 7, 16)
    analysis = FlopAnalyzer(Attention(), (q, k, v))
    assert analysis.total() == 2 * heads * 10 * 7 * (8 + 16)
    assert not analysis.unsupported_ops()


@pytest.mark.parametrize('model_type', CONFIGS)
def test_attention_layer_counts_projections_and_attention(model_type):
    spec = read_spec(CONFIGS[model_type]).block
    flops = FlopAnalyzer(LanguageAttention(spec).eval(), (torch.randn(1, 50, 32), )).by_operator()
    q_dims = spec.num_heads * spec.head_dims
    assert flops['linear'] == 50 * 32 * (sum(spec.qkv_dims) + q_dims)
    assert flops['scaled_dot_product_attention'] == 2 * 50 * 50 * q_dims


def test_mmengines_analyser_counts_a_block():
    spec = read_spec(CONFIGS['gpt2']).block
    info = get_model_complexity_info(
        LanguageBlock(spec).eval(), inputs=(torch.randn(1, 50, 32), ), show_table=False, show_arch=False)
    matrices = 50 * (12 * 32 * 32) + 2 * 50 * 50 * 32
    assert matrices <= info['flops'] <= 1.1 * matrices  # norms are counted too
    assert info['params'] == sum(parameter.numel() for parameter in LanguageBlock(spec).parameters())
