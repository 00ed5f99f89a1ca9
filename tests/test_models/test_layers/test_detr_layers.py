from dataclasses import replace

import pytest
import torch
from mmengine.model import ModuleList
from torch import nn

from lbbt_mm.language import read_spec
from lbbt_mm.models.layers import LanguageDETRDecoder, LanguageDETREncoder
from tests.closeness import assert_close, assert_near
from tests.tiny_checkpoints import CONFIGS

NORMS = ['pre', 'post']


@pytest.fixture(params=CONFIGS)
def spec(request):
    return read_spec(CONFIGS[request.param]).block


def decoder_inputs(num_queries=5, num_tokens=7):
    return dict(query=torch.zeros(2, num_queries, 32), query_pos=torch.randn(2, num_queries, 32),
                memory=torch.randn(2, num_tokens, 32), memory_pos=torch.randn(2, num_tokens, 32))


@pytest.mark.parametrize('norm', NORMS)
def test_encoder_runs_its_layers_one_after_the_other(spec, norm):
    encoder = LanguageDETREncoder(spec, 3, norm=norm).eval()
    x, pos = torch.randn(2, 7, 32), torch.randn(2, 7, 32)
    expected = x
    for layer in encoder.layers:
        expected = layer(expected, pos)
    assert torch.equal(encoder(x, pos), encoder.final_norm(expected))


def test_encoder_ends_with_a_fresh_norm_where_its_layers_are_pre_norm(spec):
    pre, post = LanguageDETREncoder(spec, 2, norm='pre'), LanguageDETREncoder(spec, 2, norm='post')
    assert isinstance(pre.final_norm, (nn.LayerNorm, nn.RMSNorm)) and isinstance(post.final_norm, nn.Identity)
    assert (pre.final_norm.weight == 1).all()
    assert isinstance(LanguageDETREncoder(spec, 2).final_norm, type(pre.final_norm)), 'pre is what these were trained with'


def test_layers_of_a_post_norm_language_model_are_post_norm(spec):
    encoder = LanguageDETREncoder(replace(spec, norm_order='post'), 2)
    assert [layer.norm for layer in encoder.layers] == ['post', 'post'] and isinstance(encoder.final_norm, nn.Identity)
    assert LanguageDETREncoder(replace(spec, norm_order='post'), 1, norm='pre').layers[0].norm == 'pre'


@pytest.mark.parametrize('norm', NORMS)
def test_decoder_returns_every_layer_normed_by_one_norm(spec, norm):
    decoder = LanguageDETRDecoder(spec, 3, norm=norm).eval()
    given = decoder_inputs()
    out = decoder(**given)
    assert out.shape == (3, 2, 5, 32)
    query, keys_from = given['query'], given['memory'] + given['memory_pos']
    for layer, state in zip(decoder.layers, out):
        query = layer(query, given['query_pos'], memory=given['memory'], memory_pos=keys_from)
        assert_close(state, decoder.post_norm(query), depth=3)


def test_decoder_returns_its_last_layer_where_no_other_is_asked_for(spec):
    decoder = LanguageDETRDecoder(spec, 3, return_intermediate=False).eval()
    given = decoder_inputs()
    out = decoder(**given)
    decoder.return_intermediate = True
    assert out.shape == (1, 2, 5, 32)
    assert_close(out[0], decoder(**given)[-1], depth=3)


@torch.no_grad()
def test_padding_does_not_influence_image_pixels(spec):
    encoder, decoder = LanguageDETREncoder(spec, 2).eval(), LanguageDETRDecoder(spec, 2).eval()
    mask = torch.ones(2, 1, 1, 7, dtype=bool)
    mask[1, ..., 4:] = False
    x, pos, queries = torch.randn(2, 7, 32), torch.randn(2, 7, 32), torch.randn(2, 5, 32)
    changed = x.clone()
    changed[1, 4:] = 30.
    memories = [encoder(image, pos, mask) for image in (x, changed)]
    assert_close(memories[0][1, :4], memories[1][1, :4], depth=2)
    outputs = [decoder(torch.zeros(2, 5, 32), queries, memory, pos, mask) for memory in memories]
    assert_close(outputs[0], outputs[1], depth=2)


@torch.no_grad()
def test_an_image_that_is_padded_equals_the_image_alone(spec):
    encoder = LanguageDETREncoder(spec, 2).eval()
    x, pos = torch.randn(1, 7, 32), torch.randn(1, 7, 32)
    mask = (torch.arange(7) < 4).view(1, 1, 1, 7)
    assert_close(encoder(x, pos, mask)[:, :4], encoder(x[:, :4], pos[:, :4]), depth=2)


@torch.no_grad()
def test_order_of_queries_does_not_matter(spec):
    decoder = LanguageDETRDecoder(spec, 2).eval()
    given, order = decoder_inputs(), torch.randperm(5)
    permuted = dict(given, query=given['query'][:, order], query_pos=given['query_pos'][:, order])
    assert_close(decoder(**permuted), decoder(**given)[:, :, order], depth=2)


@pytest.mark.parametrize('norm', NORMS)
def test_every_parameter_gets_a_gradient(spec, norm):
    encoder, decoder = (build(spec, 2, norm=norm) for build in (LanguageDETREncoder, LanguageDETRDecoder))
    # from queries that are zero, as DETR's are, a first self-attention without biases makes zero
    given = dict(decoder_inputs(), query=torch.randn(2, 5, 32))
    given['memory'] = encoder(given['memory'], given['memory_pos'])
    (decoder(**given) * torch.randn(2, 2, 5, 32)).sum().backward()
    for coder in (encoder, decoder):
        for name, parameter in coder.named_parameters():
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_initialisation_is_detrs_own(spec):
    decoder = LanguageDETRDecoder(spec, 2)
    decoder.init_weights()
    for name, parameter in decoder.named_parameters():
        if parameter.ndim > 1:
            bound = (6 / sum(parameter.shape))**0.5  # Xavier-uniform
            assert 0.9 * bound < parameter.abs().max() <= bound, name
        elif 'norm' in name:
            assert (parameter == (1 if name.endswith('weight') else 0)).all(), name
        elif 'attn' in name:
            assert (parameter == 0).all(), name


def test_stochastic_depth_grows_to_the_rate_of_the_last_layer(spec):
    layers = LanguageDETREncoder(spec, 4, drop_path_rate=0.3).layers
    assert [getattr(layer.drop_path, 'drop_prob', 0.) for layer in layers] == pytest.approx([0., 0.1, 0.2, 0.3])
    assert isinstance(layers, ModuleList)
    assert LanguageDETRDecoder(spec, 1, drop_path_rate=0.3)(**decoder_inputs()).shape == (1, 2, 5, 32)


def test_options_reach_every_layer(spec):
    encoder = LanguageDETREncoder(spec, 2, norm='post', attn_drop=0.1, proj_drop=0.2, with_cp=True)
    for layer in encoder.layers:
        assert (layer.norm, layer.attn.attn_drop, layer.attn.proj_drop.p, layer.mlp.drop.p, layer.with_cp) == (
            'post', 0.1, 0.2, 0.2, True)
        assert layer.cross_attn is None and not layer.attn.causal


def test_layers_build_without_memory_on_the_meta_device(spec):
    with torch.device('meta'):
        decoder = LanguageDETRDecoder(spec, 3, drop_path_rate=0.1)
    assert all(parameter.is_meta for parameter in decoder.parameters())


def test_half_precision_features_join_a_residual_stream_in_float32(spec):
    encoder = LanguageDETREncoder(spec, 2).eval()
    x, pos = torch.randn(1, 7, 32), torch.randn(1, 7, 32)
    with torch.autocast('cpu', torch.bfloat16):
        out = encoder(x.bfloat16(), pos)
    assert out.dtype == torch.float32
    assert_near(out, encoder(x, pos), torch.bfloat16)
