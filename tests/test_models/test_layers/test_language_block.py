import copy

import pytest
import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM

from lbbt_mm.language import FAMILIES, LanguageCheckpoint, open_checkpoint, read_spec
from lbbt_mm.language.initializer import copy_block
from lbbt_mm.models.layers import LanguageAttention, LanguageBlock, LanguageMLP, RotaryEmbedding
from tests.closeness import assert_close, assert_near
from tests.tiny_checkpoints import CONFIGS, build_model, copied_block, hf_blocks

ROTARY = [name for name, family in FAMILIES.items() if family.position_table is None]
ATTENTION = ['causal', 'bidirectional']


@pytest.fixture(params=FAMILIES)
def checkpoint(request, folders) -> LanguageCheckpoint:
    """A tiny checkpoint of every family."""
    return open_checkpoint(folders[request.param])


def hf_block_output(model, index, hidden, attention, positions):
    """Run one Hugging Face block.

    The mask is always explicit: for None, transformers' SDPA falls back to ``module.is_causal``, and GPT-2's eager
    attention is causal whatever the mask says.
    """
    assert model.config._attn_implementation == 'sdpa'
    num_tokens = hidden.shape[1]
    mask = torch.zeros(1, 1, num_tokens, num_tokens)
    if attention == 'causal':
        mask = mask.masked_fill(torch.ones(num_tokens, num_tokens, dtype=bool).triu(1), float('-inf'))
    keywords = dict(attention_mask=mask)
    if model.config.model_type in ROTARY:
        positions = torch.zeros(num_tokens) if positions is None else positions
        keywords['position_embeddings'] = model.model.rotary_emb(hidden, positions[None])
    out = hf_blocks(model)[index](hidden, **keywords)
    return out[0] if isinstance(out, tuple) else out  # which of them depends on the release


@torch.no_grad()
def assert_equals_hf(model, checkpoint, index, attention, with_rotary, num_tokens=9):
    spec = checkpoint.spec.block
    hidden = torch.randn(2, num_tokens, spec.embed_dims)
    positions = torch.arange(num_tokens) if with_rotary else None
    rotary = RotaryEmbedding(spec)(positions) if with_rotary else None
    block = copied_block(checkpoint, index, attention=attention)
    expected = hf_block_output(model, index, hidden, attention, positions)
    assert_close(block(hidden, rotary=rotary), expected, terms=spec.ffn_dims)


# --------------------------------------------------------------------------- equal to Hugging Face's block
@pytest.mark.parametrize('attention', ATTENTION)
@pytest.mark.parametrize('index', [0, 3])
@pytest.mark.parametrize('model_type, with_rotary', [(name, on) for name in FAMILIES
                                                     for on in (False, True) if name in ROTARY or not on])
def test_block_equals_transformers_block(model_type, with_rotary, index, attention, folders):
    model = AutoModelForCausalLM.from_pretrained(folders[model_type], attn_implementation='sdpa')
    assert_equals_hf(model, open_checkpoint(folders[model_type]), index, attention, with_rotary)


@pytest.mark.parametrize('model_type, fields', [
    ('gpt2', dict(n_inner=48, activation_function='relu')),
    ('gpt2', dict(activation_function='gelu')),
    ('llama', dict(attention_bias=True, mlp_bias=True)),
    ('llama', dict(head_dim=16, num_key_value_heads=4)),
    ('llama', dict(rope_scaling=dict(rope_type='llama3', factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                                     original_max_position_embeddings=16))),
    ('mistral', dict(hidden_act='gelu_pytorch_tanh')),
    ('qwen3', dict(attention_bias=True)),
    # as large as this, it shows whether every norm has the model's own
    ('gpt2', dict(layer_norm_epsilon=0.1)),
    ('llama', dict(rms_norm_eps=0.1)),
    ('qwen3', dict(rms_norm_eps=0.1)),
    # OPT-350M's kind: norms after each residual sum
    ('opt', dict(do_layer_norm_before=False, word_embed_proj_dim=16)),
    ('opt', dict(activation_function='gelu', enable_bias=False)),
])
def test_variants_of_a_family_equal_transformers_block(model_type, fields, tmp_path):
    model = build_model(model_type, **fields)
    model.save_pretrained(tmp_path)
    with_rotary = model_type in ROTARY
    for attention in ATTENTION:
        assert_equals_hf(model, open_checkpoint(tmp_path), 1, attention, with_rotary, num_tokens=40)


@torch.no_grad()
def test_unscaled_gpt2_equals_transformers_eager_block(tmp_path):
    model = build_model('gpt2', scale_attn_weights=False)
    model.save_pretrained(tmp_path)
    model.set_attn_implementation('eager')  # its SDPA path scales whatever the config says
    x = torch.randn(2, 9, 32)
    expected = model.transformer.h[0](x)
    expected = expected[0] if isinstance(expected, tuple) else expected
    block = copied_block(open_checkpoint(tmp_path), 0, attention='causal')
    assert_close(block(x), expected)


@pytest.mark.parametrize('attention', ATTENTION)
def test_pretrained_gpt2_equals_transformers(gpt2_mini, attention):
    model = AutoModelForCausalLM.from_pretrained(gpt2_mini, torch_dtype=torch.float32, attn_implementation='sdpa')
    for index in (0, 11):
        assert_equals_hf(model, open_checkpoint(gpt2_mini), index, attention, with_rotary=False, num_tokens=20)


@pytest.mark.parametrize('with_rotary', [False, True])
@pytest.mark.parametrize('attention', ATTENTION)
def test_smollm2_from_gguf_equals_transformers_dequantised_model(smollm2, smollm2_head, attention, with_rotary):
    for index in (0, 1):
        assert_equals_hf(smollm2_head, open_checkpoint(smollm2), index, attention, with_rotary, num_tokens=20)


@torch.no_grad()
@pytest.mark.parametrize('model_type', FAMILIES)
def test_the_references_are_causal_and_bidirectional_as_they_say(model_type):
    model = build_model(model_type)
    hidden, positions = torch.randn(1, 5, 32), torch.arange(5)
    changed = hidden.clone()
    changed[:, -1] += 1
    for attention in ATTENTION:
        before, after = (hf_block_output(model, 0, x, attention, positions) for x in (hidden, changed))
        assert torch.equal(before[:, 0], after[:, 0]) == (attention == 'causal')


@torch.no_grad()
@pytest.mark.parametrize('attention', ATTENTION)
def test_whole_language_model_equals_transformers(attention, folders):
    model = AutoModelForCausalLM.from_pretrained(folders['qwen3'])
    checkpoint = open_checkpoint(folders['qwen3'])
    tokens = torch.randint(0, 50, (2, 12))
    x = expected = model.model.embed_tokens(tokens)
    rotary = RotaryEmbedding(checkpoint.spec.block)(torch.arange(12))
    for index in range(4):
        x = copied_block(checkpoint, index, attention=attention)(x, rotary=rotary)
        expected = hf_block_output(model, index, expected, attention, torch.arange(12))
    assert_close(x, expected, depth=4)
    if attention == 'causal':
        assert_close(model.lm_head(model.model.norm(x)), model(tokens).logits, depth=5)


# --------------------------------------------------------------- what it computes, written out step by step
def attend(attention, queries_from, keys_from, values_from):
    """Attention of one layer, as the papers write it."""
    weights, bias = attention.qkv.weight.split(attention._splits), attention.qkv.bias
    biases = (None, ) * 3 if bias is None else bias.split(attention._splits)
    q, k, v = (F.linear(x, w, b).unflatten(-1, (-1, attention.head_dims)).transpose(1, 2)
               for x, w, b in zip((queries_from, keys_from, values_from), weights, biases))
    q, k = (norm(x.transpose(1, 2)).transpose(1, 2) for norm, x in ((attention.q_norm, q), (attention.k_norm, k)))
    k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], dim=1) for x in (k, v))
    weights = (q @ k.transpose(-1, -2) * attention.head_dims**-0.5).softmax(-1)
    return attention.proj((weights @ v).transpose(1, 2).flatten(2))


def inputs(width, num_queries=5, num_memory=7):
    return dict(x=torch.randn(2, num_queries, width), pos=torch.randn(1, num_queries, width),
                memory=torch.randn(2, num_memory, width), memory_pos=torch.randn(2, num_memory, width))


@torch.no_grad()
def test_pre_norm_adds_positions_and_memory_with_the_gain_of_the_norm(checkpoint):
    block = copied_block(checkpoint, 0, cross_attention=True)
    given = inputs(32)
    x, gain = given['x'], block.norm1.weight
    y = block.norm1(x)
    x = x + attend(block.attn, y + gain * given['pos'], y + gain * given['pos'], y)
    y = block.cross_norm(x)
    x = x + attend(block.cross_attn, y + gain * given['pos'], gain * given['memory_pos'], gain * given['memory'])
    x = x + block.mlp(block.norm2(x))
    assert_close(block(**given), x)


@torch.no_grad()
def test_post_norm_is_the_order_of_the_original_detr(checkpoint):
    block = copied_block(checkpoint, 0, cross_attention=True, norm='post')
    given = inputs(32)
    x, pos = given['x'], given['pos']
    x = block.norm1(x + attend(block.attn, x + pos, x + pos, x))
    x = block.cross_norm(x + attend(block.cross_attn, x + pos, given['memory_pos'], given['memory']))
    x = block.norm2(x + block.mlp(x))
    assert_close(block(**given), x)


@torch.no_grad()
@pytest.mark.parametrize('norm', ['pre', 'post'])
def test_positions_of_the_memory_reach_the_keys_only(checkpoint, norm):
    block = copied_block(checkpoint, 1, cross_attention=True, norm=norm)
    given = inputs(32)
    moved = dict(given, memory_pos=torch.randn_like(given['memory_pos']))
    assert not torch.allclose(block(**given), block(**moved))
    # with a single token to look at, keys decide nothing and the value is all there is
    one = torch.zeros(2, 1, 1, 7, dtype=bool)
    one[..., 3] = True
    assert_close(block(**given, memory_mask=one), block(**moved, memory_mask=one))


@torch.no_grad()
def test_memory_without_positions_gives_keys_from_itself(checkpoint):
    block = copied_block(checkpoint, 0, cross_attention=True)
    given = dict(inputs(32), memory_pos=None)
    assert_close(block(**given), block(**dict(given, memory_pos=given['memory'])))


@torch.no_grad()
def test_causal_attention_is_that_of_the_tokens_to_themselves(checkpoint):
    """A memory has no order that tokens share."""
    causal = copied_block(checkpoint, 0, cross_attention=True, attention='causal')
    given, changed = inputs(32), inputs(32)
    last = dict(given, memory=torch.cat([given['memory'][:, :-1], changed['memory'][:, -1:]], dim=1))
    assert (causal(**given) - causal(**last)).abs().amax(dim=(0, 2)).min() > 1e-6, 'each token sees the last of the memory'
    last = dict(given, x=torch.cat([given['x'][:, :-1], changed['x'][:, -1:]], dim=1))
    assert_close(causal(**given)[:, :-1], causal(**last)[:, :-1])


@torch.no_grad()
def test_bidirectional_attention_does_not_depend_on_the_order_of_tokens(checkpoint):
    block = copied_block(checkpoint, 0)
    x, order = torch.randn(2, 6, 32), torch.randperm(6)
    assert_close(block(x[:, order]), block(x)[:, order])


@torch.no_grad()
def test_causal_attention_sees_nothing_that_comes_later(checkpoint):
    block = copied_block(checkpoint, 0, attention='causal')
    x = torch.randn(2, 6, 32)
    assert_close(block(x)[:, :4], block(x[:, :4]))


@torch.no_grad()
@pytest.mark.parametrize('attn_drop', [0., 0.3])
def test_a_memory_is_seen_whole_by_causal_attention_too(checkpoint, attn_drop):
    """Its tokens come neither before nor after those that ask."""
    x, memory, outputs = torch.randn(2, 6, 32), torch.randn(2, 6, 32), []
    state = LanguageAttention(checkpoint.spec.block).state_dict()
    for causal in (True, False):
        attention = LanguageAttention(checkpoint.spec.block, causal, attn_drop).train()
        attention.load_state_dict(state)
        torch.manual_seed(1)
        outputs.append(attention(x, memory=memory))
    assert_close(*outputs)


@torch.no_grad()
def test_causal_attention_with_a_padding_mask_is_both(checkpoint):
    block = copied_block(checkpoint, 0, attention='causal')
    x = torch.randn(1, 6, 32)
    mask = torch.ones(1, 1, 1, 6, dtype=bool)
    mask[..., 1] = False
    kept = [0, 2, 3, 4, 5]
    assert_close(block(x, mask=mask)[:, kept], block(x[:, kept]))


# --------------------------------------------------------------------------------- batches, masks, training
@torch.no_grad()
def test_a_batch_of_two_equals_two_singles(checkpoint):
    block = copied_block(checkpoint, 0, cross_attention=True)
    given = inputs(32)
    mask = torch.rand(2, 1, 1, 7) > 0.4
    mask[..., 0] = True
    both = block(**given, memory_mask=mask)
    for i in range(2):
        single = {name: tensor if name == 'pos' else tensor[i:i + 1] for name, tensor in given.items()}
        assert_close(both[i:i + 1], block(**single, memory_mask=mask[i:i + 1]))


@torch.no_grad()
@pytest.mark.parametrize('attn_drop', [0., 0.3])
def test_padded_tokens_do_not_influence_the_others(checkpoint, attn_drop):
    block = copied_block(checkpoint, 0, cross_attention=True, attn_drop=attn_drop).train()
    given = inputs(32)
    mask = torch.tensor([[True, True, True, False, False], [True] * 5])[:, None, None]
    memory_mask = torch.tensor([[True] * 7, [True, True] + [False] * 5])[:, None, None]
    moved = {name: tensor.clone() for name, tensor in given.items()}
    moved['x'][0, 3:] = 50.
    moved['memory'][1, 2:] = 50.
    moved['memory_pos'][1, 2:] = -50.
    outputs = []
    for x in (given, moved):
        torch.manual_seed(1)
        outputs.append(block(**x, mask=mask, memory_mask=memory_mask))
    assert_close(outputs[0][0, :3], outputs[1][0, :3])
    assert_close(outputs[0][1], outputs[1][1])


@torch.no_grad()
@pytest.mark.parametrize('attn_drop', [0., 0.3])
def test_a_mask_that_hides_nothing_changes_nothing(checkpoint, attn_drop):
    block = copied_block(checkpoint, 0, attn_drop=attn_drop).train()
    x = torch.randn(2, 5, 32)
    outputs = []
    for mask in (None, torch.ones(2, 1, 1, 5, dtype=bool), torch.ones(1, 1, 5, 5, dtype=bool)):
        torch.manual_seed(1)
        outputs.append(block(x, mask=mask))
    assert_close(outputs[0], outputs[1])
    assert_close(outputs[0], outputs[2])


@pytest.mark.parametrize('norm', ['pre', 'post'])
@pytest.mark.parametrize('drop', [0., 0.1])
def test_every_parameter_gets_a_gradient(checkpoint, norm, drop):
    block = copied_block(
        checkpoint, 0, cross_attention=True, norm=norm, attn_drop=drop, proj_drop=drop, drop_path_rate=drop).train()
    given = {name: tensor.requires_grad_() for name, tensor in inputs(32).items()}
    weights = torch.randn(2, 5, 32)  # a plain sum after a LayerNorm has no gradient
    (block(**given) * weights).sum().backward()
    for name, tensor in [*block.named_parameters(), *given.items()]:
        assert tensor.grad is not None and torch.isfinite(tensor.grad).all() and tensor.grad.abs().sum() > 0, name


def test_gradients_equal_transformers(folders):
    model = AutoModelForCausalLM.from_pretrained(folders['qwen2'])
    block = copied_block(open_checkpoint(folders['qwen2']), 2)
    x = torch.randn(2, 6, 32)
    hf_block_output(model, 2, x, 'bidirectional', None).square().sum().backward()
    block(x).square().sum().backward()
    attention, theirs = hf_blocks(model)[2].self_attn, hf_blocks(model)[2]
    for ours, expected in ((block.attn.qkv.weight, [getattr(attention, f'{part}_proj').weight for part in 'qkv']),
                           (block.attn.qkv.bias, [getattr(attention, f'{part}_proj').bias for part in 'qkv']),
                           (block.mlp.fc1.weight, [theirs.mlp.gate_proj.weight, theirs.mlp.up_proj.weight]),
                           (block.mlp.fc2.weight, [theirs.mlp.down_proj.weight]),
                           (block.norm1.weight, [theirs.input_layernorm.weight])):
        expected = torch.cat([parameter.grad for parameter in expected])
        assert_close(ours.grad, expected, depth=2)  # there and back


def test_recomputing_activations_changes_neither_outputs_nor_gradients(checkpoint):
    options = dict(cross_attention=True, attn_drop=0.2, proj_drop=0.2, drop_path_rate=0.2)
    plain = copied_block(checkpoint, 0, **options).train()
    recomputed = copied_block(checkpoint, 0, with_cp=True, **options).train()
    given = inputs(32)
    outputs = []
    for block in (plain, recomputed):
        torch.manual_seed(1)
        x = given['x'].clone().requires_grad_()
        out = block(**dict(given, x=x))
        out.square().sum().backward()
        outputs.append((out, x.grad))
    assert torch.equal(outputs[0][0], outputs[1][0]) and torch.equal(outputs[0][1], outputs[1][1])
    for (name, one), other in zip(plain.named_parameters(), recomputed.parameters()):
        assert torch.equal(one.grad, other.grad), name


def test_recomputing_keeps_fewer_activations(folders):
    saved = {}
    for with_cp in (False, True):
        block = copied_block(open_checkpoint(folders['llama']), 0, with_cp=with_cp).train()
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(
                lambda tensor, sizes=sizes: sizes.append(tensor.numel()) or tensor, lambda tensor: tensor):
            block(torch.randn(1, 64, 32, requires_grad=True))
        saved[with_cp] = sum(sizes)
    assert saved[True] < saved[False] / 4


@pytest.mark.parametrize('attn_drop', [0., 0.1])
def test_bfloat16_autocast_trains_and_stays_near_float32(checkpoint, attn_drop):
    block = copied_block(checkpoint, 0, cross_attention=True, attn_drop=attn_drop).train()
    given = inputs(32)
    rotary = None
    if checkpoint.spec.block.rotary is not None:
        rotary = RotaryEmbedding(checkpoint.spec.block)(torch.arange(5))
    torch.manual_seed(1)
    expected = block(**given, rotary=rotary)
    torch.manual_seed(1)
    with torch.autocast('cpu', torch.bfloat16):
        out = block(**given, rotary=rotary)
    out.float().square().mean().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in block.parameters())
    assert all(parameter.grad.dtype == torch.float32 for parameter in block.parameters())
    assert_near(out, expected, torch.bfloat16)


def test_block_in_bfloat16_runs(checkpoint):
    block = copied_block(checkpoint, 0, cross_attention=True, attn_drop=0.1, proj_drop=0.1).train().to(torch.bfloat16)
    given = {name: tensor.bfloat16() for name, tensor in inputs(32).items()}
    out = block(**given)
    out.sum().backward()
    assert out.dtype == torch.bfloat16 and torch.isfinite(out).all()


# ------------------------------------------------------------------------------------------------- dropout
def test_dropout_and_drop_path_act_in_training_only(checkpoint):
    noisy = copied_block(checkpoint, 0, attn_drop=0.5, proj_drop=0.5, drop_path_rate=0.5)
    plain = copied_block(checkpoint, 0)
    x = torch.randn(2, 5, 32)
    assert torch.equal(noisy(x), plain(x))
    assert not torch.allclose(noisy.train()(x), plain.train()(x))


def share_of_zeros(tensor):
    return (tensor == 0).float().mean().item()


@torch.no_grad()
@pytest.mark.parametrize('option, parts, zeros', [('attn_drop', ('attn', 'cross_attn'), 0.),
                                                  ('proj_drop', ('attn', 'cross_attn', 'mlp'), 0.4)])
def test_each_rate_acts_on_its_own_parts(checkpoint, option, parts, zeros):
    """What a part drops is its weights of attention, which leaves no zeros behind, or entries of its output."""
    noisy = copied_block(checkpoint, 0, cross_attention=True, **{option: 0.4}).train()
    x, memory = torch.randn(50, 20, 32), torch.randn(50, 30, 32)
    for part, arguments in (('attn', (x, )), ('cross_attn', (x, None, memory)), ('mlp', (x, ))):
        module = noisy.get_submodule(part)
        plain = module.eval()(*arguments)
        dropped = module.train()(*arguments)
        assert torch.equal(plain, dropped) != (part in parts), part
        assert share_of_zeros(dropped) == pytest.approx(zeros if part in parts else 0., abs=0.02), part


@torch.no_grad()
@pytest.mark.parametrize('model_type', ['gpt2', 'llama'])
def test_the_mlp_drops_hidden_units_as_well_as_outputs(model_type):
    """A plain network and a gated one: at a quarter, and what is kept grows by a third."""
    mlp, hidden = LanguageMLP(read_spec(CONFIGS[model_type]).block, proj_drop=0.25), []
    mlp.fc2.register_forward_pre_hook(lambda module, args: hidden.append(args[0].clone()))
    x = torch.randn(50, 20, 32)
    mlp.eval()(x)
    out = mlp.train()(x)
    plain, dropped = hidden
    assert share_of_zeros(plain) < 0.01 and share_of_zeros(dropped) == pytest.approx(0.25, abs=0.01)
    assert_close(dropped[dropped != 0], plain[dropped != 0] / 0.75)
    assert share_of_zeros(out) == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize('cross_attention, left', [(False, 0.25), (True, 0.125)])
def test_drop_path_leaves_out_whole_branches_of_a_sample(folders, cross_attention, left):
    checkpoint = open_checkpoint(folders['gpt2'])
    block = copied_block(checkpoint, 0, cross_attention=cross_attention, drop_path_rate=0.5).train()
    x = torch.randn(1, 5, 32).expand(800, 5, 32)
    untouched = (block(x, memory=x if cross_attention else None) == x).flatten(1).all(1).float().mean().item()
    assert untouched == pytest.approx(left, abs=0.06), 'every branch dropped'


def test_same_seed_gives_the_same_dropout(checkpoint):
    block = copied_block(checkpoint, 0, attn_drop=0.3, proj_drop=0.3, drop_path_rate=0.3).train()
    x = torch.randn(2, 5, 32)
    outputs = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        outputs.append(block(x))
    assert torch.equal(outputs[0], outputs[1]) and not torch.equal(outputs[0], outputs[2])


# ---------------------------------------------------------------------------------------------- what it says
@pytest.mark.parametrize('option, value, message', [
    ('attention', 'full', "attention='full'; expected one of 'bidirectional', 'causal'"),
    ('norm', 'sandwich', "norm='sandwich'; expected one of None, 'pre', 'post'"),
    ('attn_drop', 1.0, r'attn_drop=1.0; expected a number, 0 or more and below 1'),
    ('proj_drop', -0.1, 'proj_drop=-0.1; expected a number'),
    ('drop_path_rate', 2, 'drop_path_rate=2; expected a number'),
])
def test_options_out_of_range_are_named(option, value, message):
    with pytest.raises(ValueError, match=message):
        LanguageBlock(read_spec(CONFIGS['gpt2']).block, **{option: value})


def test_parameter_names_are_public():
    spec = read_spec(CONFIGS['qwen3']).block
    assert [name for name, _ in LanguageBlock(spec, cross_attention=True).named_parameters()] == [
        'norm1.weight', 'attn.qkv.weight', 'attn.q_norm.weight', 'attn.k_norm.weight', 'attn.proj.weight',
        'cross_norm.weight', 'cross_attn.qkv.weight', 'cross_attn.q_norm.weight', 'cross_attn.k_norm.weight',
        'cross_attn.proj.weight', 'norm2.weight', 'mlp.fc1.weight', 'mlp.fc2.weight']


def test_block_can_be_copied_and_keeps_its_function(checkpoint):
    block = copied_block(checkpoint, 0)
    x = torch.randn(1, 4, 32)
    assert torch.equal(copy.deepcopy(block)(x), block(x))


def test_block_fills_from_weights_in_half_precision(tmp_path):
    build_model('llama').to(torch.bfloat16).save_pretrained(tmp_path)
    checkpoint = open_checkpoint(tmp_path)
    block = LanguageBlock(checkpoint.spec.block)
    copy_block(block, checkpoint.spec, 0, checkpoint.read_block(0))
    assert block.mlp.fc2.weight.dtype == torch.float32
    assert torch.equal(block.mlp.fc2.weight.bfloat16(), checkpoint.read_block(0)['layers.0.mlp.down_proj.weight'])
