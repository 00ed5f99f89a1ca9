"""Layers and kinds are found in the names that libraries give to tensors."""
import pytest

from lbbt_mm.analysis.tensor_kinds import OTHER, find_places, is_buffer, unmatched
from lbbt_mm.language import FAMILIES, block_tensors, read_spec
from tests.tiny_checkpoints import CONFIGS

#: Of a block numbered 3: its name, then kind -> names behind it.
BLOCKS = {
    'GPT-2, Hugging Face': ('transformer.h.3', {
        'norm': ['ln_1.weight', 'ln_2.bias'], 'bias': ['attn.c_attn.bias', 'mlp.c_proj.bias'],
        'attention qkv': ['attn.c_attn.weight'], 'attention out': ['attn.c_proj.weight'], 'MLP in': ['mlp.c_fc.weight'],
        'MLP out': ['mlp.c_proj.weight']}),
    'Llama and Qwen3, Hugging Face': ('model.layers.3', {
        'norm': ['input_layernorm.weight', 'post_attention_layernorm.weight', 'self_attn.q_norm.weight'],
        'attention qkv': ['self_attn.q_proj.weight', 'self_attn.k_proj.weight', 'self_attn.v_proj.weight'],
        'bias': ['self_attn.q_proj.bias'], 'attention out': ['self_attn.o_proj.weight'],
        'MLP in': ['mlp.gate_proj.weight', 'mlp.up_proj.weight', 'mlp.experts.12.up_proj.weight'],
        'MLP out': ['mlp.down_proj.weight'], OTHER: ['mlp.gate.weight']}),
    'GPT-NeoX': ('gpt_neox.layers.3', {
        'attention qkv': ['attention.query_key_value.weight'], 'attention out': ['attention.dense.weight'],
        'MLP in': ['mlp.dense_h_to_4h.weight'], 'MLP out': ['mlp.dense_4h_to_h.weight']}),
    'llama.cpp': ('blk.3', {
        'norm': ['attn_norm.weight', 'ffn_norm.weight', 'attn_q_norm.weight'],
        'attention qkv': ['attn_q.weight', 'attn_k.weight', 'attn_v.weight', 'attn_qkv.weight'],
        'attention out': ['attn_output.weight'], 'MLP in': ['ffn_gate.weight', 'ffn_up.weight'],
        'MLP out': ['ffn_down.weight'], 'bias': ['attn_q.bias']}),
    'BERT and ViT, Hugging Face': ('vit.encoder.layer.3', {
        'norm': ['layernorm_before.weight', 'attention.output.LayerNorm.bias'],
        'attention qkv': ['attention.attention.query.weight', 'attention.self.key.weight', 'attention.self.value.weight'],
        'attention out': ['attention.output.dense.weight'], 'MLP in': ['intermediate.dense.weight'],
        'MLP out': ['output.dense.weight'], 'bias': ['output.dense.bias', 'attention.attention.query.bias']}),
    'CLIP and DINOv2, Hugging Face': ('vision_model.encoder.layers.3', {
        'norm': ['layer_norm1.weight', 'layer_scale1.lambda1'], 'attention qkv': ['self_attn.q_proj.weight'],
        'attention out': ['self_attn.out_proj.weight'], 'MLP in': ['mlp.fc1.weight'], 'MLP out': ['mlp.fc2.weight']}),
    'T5': ('encoder.block.3', {
        'norm': ['layer.0.layer_norm.weight'], 'attention qkv': ['layer.0.SelfAttention.q.weight'],
        'attention out': ['layer.0.SelfAttention.o.weight'], 'MLP in': ['layer.1.DenseReluDense.wi_0.weight'],
        'MLP out': ['layer.1.DenseReluDense.wo.weight'],
        'embedding': ['layer.0.SelfAttention.relative_attention_bias.weight']}),
    'ViT of mmpretrain': ('backbone.layers.3', {
        'norm': ['ln1.weight', 'ln2.bias'], 'attention qkv': ['attn.qkv.weight'], 'attention out': ['attn.proj.weight'],
        'MLP in': ['ffn.layers.0.0.weight'], 'MLP out': ['ffn.layers.1.weight'], 'bias': ['ffn.layers.0.0.bias']}),
    'transformer of mmdet': ('decoder.layers.3', {
        'norm': ['norms.0.weight'], 'attention qkv': ['self_attn.attn.in_proj_weight', 'cross_attn.value_proj.weight'],
        'attention out': ['self_attn.attn.out_proj.weight'], 'bias': ['self_attn.attn.in_proj_bias']}),
    'ViT of timm': ('blocks.3', {
        'norm': ['norm1.weight', 'ls1.gamma'], 'attention qkv': ['attn.qkv.weight'], 'attention out': ['attn.proj.weight'],
        'MLP in': ['mlp.fc1.weight'], 'MLP out': ['mlp.fc2.weight']}),
    'ViT of torchvision': ('encoder.layers.encoder_layer_3', {
        'norm': ['ln_1.weight'], 'attention qkv': ['self_attention.in_proj_weight'],
        'attention out': ['self_attention.out_proj.weight'], 'MLP in': ['mlp.0.weight'], 'MLP out': ['mlp.3.weight'],
        'bias': ['self_attention.in_proj_bias', 'mlp.3.bias']}),
    'open_clip': ('visual.transformer.resblocks.3', {
        'norm': ['ln_1.weight'], 'attention qkv': ['attn.in_proj_weight'], 'attention out': ['attn.out_proj.weight'],
        'MLP in': ['mlp.c_fc.weight'], 'MLP out': ['mlp.c_proj.weight']}),
    'LLMBackbone': ('backbone.blocks.3', {
        'norm': ['norm1.weight', 'attn.q_norm.weight'], 'attention qkv': ['attn.qkv.weight'],
        'attention out': ['attn.proj.weight'], 'MLP in': ['mlp.fc1.weight'], 'MLP out': ['mlp.fc2.weight'],
        'bias': ['mlp.fc2.bias']}),
    'efficientnet_pytorch': ('_blocks.3', {
        'norm': ['_bn0.weight', '_bn2.bias'], 'convolution': ['_expand_conv.weight', '_depthwise_conv.weight'],
        'bias': ['_se_reduce.bias']}),
}
OUTSIDE = {
    'embedding': ['transformer.wte.weight', 'wpe.weight', 'model.embed_tokens.weight', 'token_embd.weight', 'shared.weight',
                  'position_embd.weight', 'backbone.pos_embed', 'cls_token', 'class_token', 'encoder.pos_embedding',
                  'vit.embeddings.cls_token', 'vision_model.embeddings.class_embedding', 'query_embedding.weight'],
    'patch embedding': ['backbone.patch_embed.projection.weight', 'backbone.patch_embed.projection.bias',
                        'patch_embed.proj.weight', 'vit.embeddings.patch_embeddings.projection.weight', 'conv_proj.weight',
                        'vision_model.embeddings.patch_embedding.weight', 'visual.conv1.weight'],
    'norm': ['transformer.ln_f.weight', 'model.norm.weight', 'output_norm.weight', 'backbone.ln1.bias', 'bn1.weight',
             'vit.layernorm.weight', 'backbone.norm.weight'],
    'head': ['lm_head.weight', 'output.weight', 'head.fc.weight', 'heads.head.weight', 'classifier.weight', 'fc.weight',
             'head.layers.head.weight', 'bbox_head.cls_branches.weight', '_fc.weight'],
    'bias': ['head.fc.bias', 'lm_head.bias'], 'convolution': [
        'conv1.weight', 'backbone.stem.0.weight', '_conv_stem.weight', '_conv_head.weight', 'conv_head.weight'],
    OTHER: ['logit_scale', 'text_projection.weight'],
}


@pytest.mark.parametrize('family', BLOCKS)
def test_tensors_of_a_block(family):
    block, kinds = BLOCKS[family]
    first = block[:-1] + '0'
    names = [f'{number}.{name}' for number in (first, block) for found in kinds.values() for name in found]
    places = find_places(names)
    for kind, found in kinds.items():
        for name in found:
            assert places[f'{block}.{name}'] == (kind, 1, block, block[:-1].rstrip('._')), name
            assert places[f'{first}.{name}'].layer == 0


@pytest.mark.parametrize('kind', OUTSIDE)
def test_tensors_outside_of_the_blocks(kind):
    for name, place in find_places(OUTSIDE[kind]).items():
        assert place == (kind, -1, '', ''), name


@pytest.mark.parametrize('names', [
    ['backbone.layer1.0.conv1.weight', 'backbone.layer1.1.conv1.weight', 'backbone.layer2.0.conv1.weight'],
    ['stages.0.blocks.0.norm1.weight', 'stages.0.blocks.1.norm1.weight', 'stages.1.blocks.0.norm1.weight'],
    ['layers.0.blocks.0.attn.qkv.weight', 'layers.0.blocks.1.attn.qkv.weight', 'layers.2.blocks.0.attn.qkv.weight'],
    ['features.1.0.block.0.weight', 'features.1.1.block.0.weight', 'features.3.0.block.0.weight'],
    ['blk.2.attn_q.weight', 'blk.9.attn_q.weight', 'blk.10.attn_q.weight']])
def test_layers_are_numbered_through_stages_in_the_order_of_their_numbers(names):
    assert [find_places(names[::-1])[name].layer for name in names] == [0, 1, 2]


def test_what_stands_between_the_layers_of_stages_is_outside():
    places = find_places(['layers.0.blocks.0.norm1.weight', 'layers.0.downsample.reduction.weight'])
    assert [place.layer for place in places.values()] == [0, -1]


def test_stacks_follow_one_another():
    places = find_places(['encoder.layers.0.a', 'encoder.layers.1.a', 'decoder.layers.0.a'])
    assert [(place.layer, place.stack) for place in places.values()] == [
        (0, 'encoder.layers'), (1, 'encoder.layers'), (2, 'decoder.layers')]


@pytest.mark.parametrize('name, shape', [
    ('bn1.running_mean', (3, )), ('bn1.running_var', (3, )), ('h.0.attn.bias', (1, 1, 8, 8)), ('h.0.attn.masked_bias', ()),
    ('layers.0.self_attn.rotary_emb.inv_freq', (8, )), ('data_preprocessor.mean', (3, 1, 1)), ('rope_freqs.weight', (8, ))])
def test_buffers_are_no_weights(name, shape):
    assert is_buffer(name, shape)


@pytest.mark.parametrize('name, shape', [('bn1.weight', (3, )), ('h.0.attn.c_attn.bias', (9, )), ('attn.bias', (9, ))])
def test_weights_are_no_buffers(name, shape):
    assert not is_buffer(name, shape)


def places(*names):
    return find_places(names).values()


def test_models_whose_layers_can_be_set_side_by_side():
    vit, gpt2 = places('backbone.layers.0.a', 'head.b'), places('h.0.a', 'h.1.a', 'wte.weight')
    detr = ['encoder.layers.0.a', 'decoder.layers.0.a']
    assert unmatched(dict(vit=vit, gpt2=gpt2)) == unmatched(dict(one=places(*detr), other=places(*detr))) == ''
    assert unmatched(dict(alone=places('fc.weight'))) == unmatched(dict(alone=places(*detr))) == ''


def test_models_whose_layers_cannot():
    vit = places('backbone.layers.0.a')
    assert unmatched(dict(vit=vit, mlp=places('fc.weight'))) == 'mlp has no numbered layers'
    assert unmatched(dict(vit=vit, detr=places('encoder.layers.0.a', 'decoder.layers.0.a'))) == (
        'detr has 2 stacks of layers (encoder.layers, decoder.layers), and vit has backbone.layers')


@pytest.mark.parametrize('family', FAMILIES)
def test_the_blocks_of_every_family_are_known(family):
    places = find_places(block_tensors(read_spec(CONFIGS[family]), 2))
    assert {place.kind for place in places.values()} >= {'norm', 'attention qkv', 'attention out', 'MLP in', 'MLP out'}
    assert {(place.kind == OTHER, place.layer) for place in places.values()} == {(False, 0)}, places
