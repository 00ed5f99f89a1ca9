"""LLMBackbone: what is copied, mmpretrain's conventions, and that its blocks compute what the language model computes."""
from copy import deepcopy

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.model import ExponentialMovingAverage
from mmengine.runner import load_checkpoint, save_checkpoint
from safetensors.torch import load_file
from torch.utils.checkpoint import checkpoint
from transformers import AutoModelForCausalLM

from lbbt_mm.language import FAMILIES, open_checkpoint
from lbbt_mm.models.backbones import LLMBackbone
from lbbt_mm.registry import MODELS
from tests.closeness import assert_close, is_close
from tests.tiny_checkpoints import CONFIGS, NUM_BLOCKS, copied_block

WIDTH = 32


def backbone_of(model_type='gpt2', folder=None, language=None, **options):
    """A backbone of a tiny language model for images of 16 pixels in patches of 4: a grid of 4 x 4."""
    source = dict(checkpoint=str(folder)) if folder else dict(config=deepcopy(CONFIGS[model_type]))
    options = {**dict(img_size=16, patch_size=4), **options}
    return LLMBackbone(language={**source, **(language or {})}, **options)


def initialised(*args, **options):
    backbone = backbone_of(*args, **options)
    backbone.init_weights()
    return backbone


def images(side=16, count=2, seed=0):
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(seed))


# ------------------------------------------------------------------------------------------ what is copied
@pytest.mark.parametrize('model_type', FAMILIES)
def test_blocks_hold_the_language_models_weights(model_type, folders):
    backbone = initialised(model_type, folders[model_type], dict(blocks=[3, '0:2']))
    checkpoint = open_checkpoint(folders[model_type])
    assert backbone.num_layers == 3
    for block, index in zip(backbone.blocks, (3, 0, 1)):
        expected = copied_block(checkpoint, index).state_dict()
        assert all(torch.equal(tensor, expected[name]) for name, tensor in block.state_dict().items())


@pytest.mark.parametrize('model_type', ('gpt2', 'llama', 'qwen3', 'opt'))
def test_causal_blocks_compute_what_the_language_model_computes(model_type, folders):
    """With the model's own positions and final norm, patch tokens go through the whole language model."""
    position = 'language' if FAMILIES[model_type].position_table else 'rotary'
    backbone = initialised(model_type, folders[model_type], attention='causal', position=position, final_norm='language',
                           out_type='raw').eval()
    model = AutoModelForCausalLM.from_pretrained(folders[model_type]).eval()
    with torch.no_grad():
        tokens = backbone.patch_embed(images())[0]
        expected = model.base_model(inputs_embeds=tokens).last_hidden_state
        assert_close(backbone(images())[0], expected, depth=NUM_BLOCKS)


def test_bidirectional_is_the_default_and_causal_is_not_the_same(folders):
    outputs = {}
    for attention in ('bidirectional', 'causal'):
        backbone = initialised(folder=folders['gpt2'], attention=attention, out_type='raw').eval()
        changed = images().clone()
        changed[..., 12:, 12:] += 1.  # the last patch
        outputs[attention] = (backbone(images())[0] - backbone(changed)[0]).abs().amax(dim=(0, 2))
    assert backbone_of().attention == 'bidirectional'
    assert outputs['causal'][:-1].max() == 0 and outputs['causal'][-1] > 0
    assert outputs['bidirectional'].min() > 0


def test_language_positions_and_final_norm_are_the_models_own(folders):
    tensors = load_file(folders['gpt2'] / 'model.safetensors')
    backbone = initialised(folder=folders['gpt2'], position='language', final_norm='language')
    assert torch.equal(backbone.pos_embed[0], tensors['transformer.wpe.weight'][:16])
    assert torch.equal(backbone.norm.weight, tensors['transformer.ln_f.weight'])
    assert torch.equal(backbone.norm.bias, tensors['transformer.ln_f.bias'])
    fresh = initialised(folder=folders['gpt2'])
    assert not torch.equal(fresh.pos_embed[0], tensors['transformer.wpe.weight'][:16])
    assert torch.equal(fresh.norm.weight, torch.ones(WIDTH)) and torch.equal(fresh.norm.bias, torch.zeros(WIDTH))


@pytest.mark.parametrize('model_type', ('gpt2', 'llama'))
def test_gguf_gives_the_same_backbone(model_type, folders, gguf_files):
    options = dict(final_norm='language', position='language' if model_type == 'gpt2' else 'learned')
    torch.manual_seed(0)
    one = initialised(model_type, folders[model_type], **options)
    torch.manual_seed(0)
    other = initialised(model_type, gguf_files[model_type], **options)
    for (name, tensor), expected in zip(other.state_dict().items(), one.state_dict().values()):
        assert torch.equal(tensor, expected), name


@pytest.mark.parametrize('arm', ('shuffled', 'moment_matched', 'random'))
def test_arms_treat_positions_and_norm_as_they_treat_blocks(arm, folders):
    tensors = load_file(folders['gpt2'] / 'model.safetensors')
    backbone = initialised(folder=folders['gpt2'], language=dict(arm=arm), position='language', final_norm='language')
    gain, source = backbone.norm.weight.detach(), tensors['transformer.ln_f.weight']
    assert not torch.equal(gain, source)
    if arm == 'shuffled':
        assert torch.equal(gain.sort().values, source.sort().values)
    elif arm == 'random':
        assert torch.equal(gain, torch.ones(WIDTH))
    again = initialised(folder=folders['gpt2'], language=dict(arm=arm), position='language', final_norm='language')
    assert torch.equal(again.pos_embed, backbone.pos_embed) and torch.equal(again.norm.weight, gain)
    other = initialised(folder=folders['gpt2'], language=dict(arm=arm, seed=1), position='language', final_norm='language')
    assert not torch.equal(other.pos_embed, backbone.pos_embed), 'the seed of the arm decides'
    assert arm == 'random' or not torch.equal(other.norm.weight, gain)


def test_host_arm_is_a_vits_own_start_and_needs_no_checkpoint():
    backbone = initialised(language=dict(arm='host'), position='language', final_norm='language')
    weights = torch.cat([block.mlp.fc1.weight.flatten() for block in backbone.blocks])
    assert 0.018 < weights.std() < 0.022 and weights.abs().max() < 2.
    assert all(block.attn.qkv.bias.eq(0).all() and block.norm1.weight.eq(1).all() for block in backbone.blocks)
    assert 0.01 < backbone.pos_embed.std() < 0.03


@pytest.mark.parametrize('arm', ('host', 'language'))
def test_patches_are_embedded_by_a_linear_layer_s_initialisation_in_every_arm(arm, folders):
    """Xavier-uniform over the pixels of a patch, as in MAE; a convolution's own would be half as wide."""
    projection = initialised(folder=folders['gpt2'], language=dict(arm=arm)).patch_embed.projection
    bound = (6 / (3 * 4 * 4 + WIDTH))**0.5
    assert 0.97 * bound < projection.weight.abs().max() <= bound
    assert projection.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.05)
    assert projection.bias.eq(0).all()


def test_report_names_positions_and_norm(folders, log):
    initialised(folder=folders['gpt2'], position='language', final_norm='language')
    table = next(message for message in log if 'LanguageInit: arm' in message)
    assert 'position table' in table and 'pos_embed' in table and 'final norm' in table and 'blocks.3' in table


def test_a_model_builds_without_weights_or_a_network(monkeypatch):
    monkeypatch.setattr('lbbt_mm.language.source.open_checkpoint', None)
    backbone = backbone_of(language=dict(checkpoint='nobody/nothing'))
    assert len(backbone.blocks) == NUM_BLOCKS and backbone.embed_dims == WIDTH


@pytest.mark.parametrize('step', (dict(type='Pretrained', checkpoint='own.pth'),
                                  [dict(type='lbbt_mm.BridgeInit', checkpoint='own.pth')]))
def test_weights_of_its_own_make_the_language_model_unnecessary(step):
    steps = backbone_of(language=dict(checkpoint='nobody/nothing'), init_cfg=step).init_cfg
    assert [item['type'] for item in steps] in (['Pretrained'], ['lbbt_mm.BridgeInit'])


def test_overwriting_copied_positions_is_noticed(folders):
    backbone = initialised(folder=folders['gpt2'], position='language').train()
    with torch.no_grad():
        backbone.pos_embed.zero_()
    with pytest.raises(RuntimeError, match="'pos_embed' no longer holds"):
        backbone(images())


def test_a_frozen_backbone_in_eval_mode_is_checked_too(folders):
    backbone = initialised(folder=folders['gpt2']).eval()
    with torch.no_grad():
        backbone.blocks[0].attn.qkv.weight.zero_()
        backbone(images())  # an evaluation says nothing yet
    with pytest.raises(RuntimeError, match="'blocks.0.attn.qkv.weight' no longer holds"):
        backbone(images())


# ---------------------------------------------------------------------------------- mmpretrain's conventions
@pytest.mark.parametrize('out_type, shape', (('avg_featmap', (2, 32)), ('cls_token', (2, 32)), ('last_token', (2, 32)),
                                             ('featmap', (2, 32, 4, 4)), ('raw', (2, 16, 32))))
def test_out_types(out_type, shape):
    assert initialised(language=dict(arm='random'), out_type=out_type)(images())[0].shape == shape


def test_out_types_are_views_of_the_same_tokens():
    made = {name: initialised(language=dict(arm='random'), out_type=name, final_norm=None) for name in
            ('raw', 'featmap', 'avg_featmap', 'last_token')}
    for backbone in made.values():
        backbone.load_state_dict(made['raw'].state_dict())
    raw, featmap, mean, last = (backbone(images())[0] for backbone in made.values())
    assert_close(featmap.flatten(2).transpose(1, 2), raw, depth=NUM_BLOCKS)
    assert_close(mean, raw.mean(1), depth=NUM_BLOCKS)
    assert_close(last, raw[:, -1], depth=NUM_BLOCKS)


@pytest.mark.parametrize('model_type', ('gpt2', 'llama'))
@pytest.mark.parametrize('out_type', ('avg_featmap', 'cls_token', 'last_token', 'featmap', 'raw'))
def test_the_final_norm_comes_last_behind_the_mean_too(model_type, out_type, folders):
    """The mean of normalised patches is something else, and not of unit length."""
    options = dict(folder=folders[model_type], with_cls_token=True)
    tokens_of = initialised(model_type, **options, out_type='raw', final_norm=None).eval()
    backbone = initialised(model_type, **options, out_type=out_type, final_norm='language').eval()
    backbone.load_state_dict({**backbone.state_dict(), **tokens_of.state_dict()})
    with torch.no_grad():
        tokens, norm = tokens_of(images())[0], backbone.norm
        patches = tokens[:, 1:]
        expected = dict(avg_featmap=norm(patches.mean(1)), cls_token=norm(tokens[:, 0]), last_token=norm(tokens[:, -1]),
                        featmap=norm(patches).transpose(1, 2).unflatten(2, (4, 4)), raw=norm(tokens))[out_type]
        assert_close(backbone(images())[0], expected, depth=NUM_BLOCKS)
        assert not torch.allclose(norm(patches).mean(1), norm(patches.mean(1)), rtol=0.1)


def test_class_token_stands_in_front_of_all_out_types():
    backbone = initialised(language=dict(arm='random'), with_cls_token=True, out_type='raw')
    assert backbone(images())[0].shape == (2, 17, 32)
    assert initialised(language=dict(arm='random'), with_cls_token=True, out_type='featmap')(images())[0].shape[2:] == (4, 4)


def test_out_indices_give_the_blocks_in_the_order_asked_for_and_leave_the_callers_list_alone():
    asked = [-1, 0]
    backbone = initialised(language=dict(arm='random'), out_indices=asked, out_type='raw').eval()
    last, first = backbone(images())
    assert asked == [-1, 0] and backbone.out_indices == (NUM_BLOCKS - 1, 0)
    x = backbone.patch_embed(images())[0] + backbone.pos_embed
    assert_close(first, backbone.blocks[0](x))
    assert_close(last.mean(-1), torch.zeros(2, 16), size=1.)  # the final norm, on the last only
    assert first.mean(-1).abs().max() > 1e-3


def test_blocks_behind_the_last_index_are_not_run():
    backbone = initialised(language=dict(arm='random'), out_indices=1)
    backbone.blocks[2].forward = None
    backbone.train()(images())[0].pow(3).sum().backward()
    # nor does DDP wait for them
    assert {name for name, parameter in backbone.named_parameters() if parameter.requires_grad} == {
        name for name, parameter in backbone.named_parameters() if parameter.grad is not None}
    assert not any(parameter.requires_grad for parameter in backbone.blocks[2:].parameters())
    assert [block.training for block in backbone.blocks] == [True, True, False, False]


def test_other_image_sizes_resize_the_positions():
    backbone = initialised(language=dict(arm='random'), out_type='featmap')
    assert backbone(torch.randn(1, 3, 24, 32))[0].shape == (1, WIDTH, 6, 8)


def test_a_checkpoint_of_another_image_size_is_resized(tmp_path, log):
    small, large = initialised(language=dict(arm='random')), initialised(language=dict(arm='random'), img_size=32)
    save_checkpoint(dict(state_dict=small.state_dict()), str(tmp_path / 'small.pth'))
    load_checkpoint(large, str(tmp_path / 'small.pth'), strict=True)
    small_table = small.pos_embed.transpose(1, 2).unflatten(2, (4, 4))
    expected = torch.nn.functional.interpolate(small_table, size=(8, 8), mode='bicubic')
    assert_close(large.pos_embed, expected.flatten(2).transpose(1, 2), terms=16)
    assert any('from 4x4 to 8x8' in message for message in log)


def test_a_class_token_keeps_its_position_at_another_image_size(tmp_path):
    small = initialised(language=dict(arm='random'), out_type='cls_token').eval()
    assert small(torch.randn(1, 3, 24, 32))[0].shape == (1, WIDTH)
    large = initialised(language=dict(arm='random'), out_type='cls_token', img_size=32)
    save_checkpoint(dict(state_dict=small.state_dict()), str(tmp_path / 'small.pth'))
    load_checkpoint(large, str(tmp_path / 'small.pth'), strict=True)
    assert large.pos_embed.shape == (1, 1 + 8 * 8, WIDTH)
    assert torch.equal(large.pos_embed[:, 0], small.pos_embed[:, 0])
    table = small.pos_embed[:, 1:].transpose(1, 2).unflatten(2, (4, 4))
    expected = torch.nn.functional.interpolate(table, size=(8, 8), mode='bicubic').flatten(2).transpose(1, 2)
    assert_close(large.pos_embed[:, 1:], expected, terms=16)


def test_a_checkpoint_of_another_grid_with_as_many_patches_is_resized_too(tmp_path, log):
    flat, square = initialised(language=dict(arm='random'), img_size=(8, 32)), initialised(language=dict(arm='random'))
    save_checkpoint(dict(state_dict=flat.state_dict()), str(tmp_path / 'flat.pth'))
    load_checkpoint(square, str(tmp_path / 'flat.pth'), strict=True)
    assert any('from 2x8 to 4x4' in message for message in log)
    assert not torch.equal(square.pos_embed, flat.pos_embed)
    same = initialised(language=dict(arm='random'), img_size=(8, 32))
    load_checkpoint(same, str(tmp_path / 'flat.pth'), strict=True)
    assert torch.equal(same.pos_embed, flat.pos_embed)


def test_rotary_positions_tell_patches_apart_without_a_table(folders):
    rotary, learned = (initialised('llama', folders['llama'], position=position, out_type='raw').eval()
                       for position in ('rotary', 'learned'))
    assert rotary.pos_embed is None and not any('pos_embed' in name for name in rotary.state_dict())
    torch.nn.init.zeros_(learned.pos_embed)
    # whole patches change places, each as it is
    moved = images().unflatten(3, (4, 4)).flip(3).flatten(3)
    for backbone, told_apart in ((rotary, True), (learned, False)):
        back = backbone(moved)[0].unflatten(1, (4, 4)).flip(2).flatten(1, 2)
        assert is_close(backbone(images())[0], back, depth=NUM_BLOCKS) != told_apart


def test_options_reach_every_block():
    backbone = backbone_of(attn_drop=0.1, proj_drop=0.2, with_cp=True, attention='causal', attention_kernel='math')
    assert {(block.attn.attn_drop, block.attn.proj_drop.p, block.mlp.drop.p, block.with_cp, block.attn.causal, block.norm,
             block.attn.kernel) for block in backbone.blocks} == {(0.1, 0.2, 0.2, True, True, 'pre', 'math')}
    plain = backbone_of().blocks
    assert {(block.attn.attn_drop, block.attn.proj_drop.p, block.mlp.drop.p, block.with_cp, block.attn.causal)
            for block in plain} == {(0., 0., 0., False, False)}


def test_dropout_as_gpt2_has_it():
    """On attention weights, residual branches and embeddings, and none on hidden units."""
    backbone = initialised(language=dict(arm='random'), attn_drop=0.1, proj_drop=0.1, hidden_drop=0., embed_drop=0.5)
    assert {(block.mlp.drop.p, block.mlp.hidden_drop.p) for block in backbone.blocks} == {(0.1, 0.)}
    plain, dropped = (backbone.train(mode).embed(images(count=32))[0] for mode in (False, True))
    kept = dropped != 0
    assert (~kept).float().mean().item() == pytest.approx(0.5, abs=0.03)
    assert_close(dropped[kept], 2 * plain[kept])
    with pytest.raises(ValueError, match='embed_drop=1.5'):
        backbone_of(embed_drop=1.5)


@pytest.mark.parametrize('fresh', ['blocks', 'position_table', 'final_norm'])
def test_a_part_that_is_drawn_anew_leaves_the_others_to_the_arm(fresh, folders):
    """And is what the arm ``random`` draws."""
    options = dict(folder=folders['gpt2'], position='language', final_norm='language')
    language, random = (initialised(language=dict(arm=arm), **options).state_dict() for arm in ('language', 'random'))
    mixed = initialised(language=dict(arm='language', fresh=[fresh]), **options).state_dict()
    prefix = dict(blocks='blocks.', position_table='pos_embed', final_norm='norm.')[fresh]
    for name, tensor in mixed.items():
        if not name.startswith('patch_embed'):
            assert torch.equal(tensor, (random if name.startswith(prefix) else language)[name]), name
    assert any(not torch.equal(language[name], random[name]) for name in mixed if name.startswith(prefix))
    assert mixed._metadata['']['lbbt_mm_backbone']['fresh'] == [fresh], 'what a probe of it is told'


@pytest.mark.parametrize('language, options, message', [
    (dict(arm='host', fresh=['blocks']), {}, "fresh=\\['blocks'\\] beside arm='host'"),
    (dict(arm='random_tuned', init_std=0.3, fresh=['blocks']), {}, "beside arm='random_tuned'"),
    (dict(arm='language', fresh=['final_norm']), {}, 'final_norm does not come from the language model here'),
])
def test_parts_that_cannot_be_drawn_anew(language, options, message, folders):
    with pytest.raises(ValueError, match=message):
        initialised(folder=folders['gpt2'], language=language, **options)


def test_stochastic_depth_grows_linearly():
    backbone = backbone_of(drop_path_rate=0.3)
    rates = [getattr(block.drop_path, 'drop_prob', 0.) for block in backbone.blocks]
    assert rates == pytest.approx([0., 0.1, 0.2, 0.3])


@pytest.mark.parametrize('frozen', (False, True))
def test_recomputed_activations_give_the_same_gradients(frozen, monkeypatch):
    """Frozen blocks that a gradient goes through are in eval mode, and recomputed too."""
    calls = []
    monkeypatch.setattr('lbbt_mm.models.layers.language_block.checkpoint',
                        lambda *args, **options: calls.append(1) or checkpoint(*args, **options))
    plain, recomputed = (initialised(language=dict(arm='random'), with_cp=with_cp) for with_cp in (False, True))
    recomputed.load_state_dict(plain.state_dict())
    for backbone in (plain, recomputed):
        backbone.train()
        if frozen:
            backbone.blocks.eval().requires_grad_(False)
        backbone(images())[0].pow(3).sum().backward()
    assert len(calls) == NUM_BLOCKS
    recomputed, plain = ([p for p in backbone.parameters() if p.requires_grad] for backbone in (recomputed, plain))
    assert len(plain) >= 5
    for one, other in zip(plain, recomputed):
        assert_close(one.grad, other.grad, depth=2 * NUM_BLOCKS)


@pytest.mark.parametrize('frozen_stages, frozen', ((-1, ()), (0, ('patch_embed', 'pos_embed')),
                                                   (2, ('patch_embed', 'pos_embed', 'blocks.0', 'blocks.1')),
                                                   (4, ('patch_embed', 'pos_embed', 'blocks', 'norm'))))
@pytest.mark.parametrize('as_built', (False, True))
def test_frozen_stages(frozen_stages, frozen, as_built):
    backbone = initialised(language=dict(arm='random'), frozen_stages=frozen_stages, proj_drop=0.5)
    if not as_built:
        backbone.eval().train()
    for name, parameter in backbone.named_parameters():
        assert parameter.requires_grad == (not name.startswith(frozen)), name
    modes = [block.training for block in backbone.blocks]
    assert modes == [frozen_stages <= index for index in range(NUM_BLOCKS)] if frozen_stages > 0 else all(modes)
    if frozen_stages == 4:
        assert torch.equal(backbone(images())[0], backbone(images())[0])


def test_layer_depths_count_from_the_patch_embedding_to_the_head():
    backbone = backbone_of()
    depth = {name: backbone.get_layer_depth('backbone.' + name, 'backbone.') for name, _ in backbone.named_parameters()}
    assert {pair[1] for pair in depth.values()} == {NUM_BLOCKS + 2}
    assert depth['pos_embed'][0] == depth['patch_embed.projection.weight'][0] == 0
    assert [depth[f'blocks.{i}.attn.qkv.weight'][0] for i in range(NUM_BLOCKS)] == [1, 2, 3, 4]
    assert depth['norm.weight'][0] == backbone.get_layer_depth('head.fc.weight', 'backbone.')[0] == NUM_BLOCKS + 1


def test_every_parameter_gets_a_gradient():
    for options in (dict(), dict(out_type='cls_token'), dict(model_type='qwen3', position='rotary')):
        backbone = initialised(language=dict(arm='random'), **options)
        backbone.train()(images())[0].pow(3).sum().backward()
        assert all(parameter.grad is not None for parameter in backbone.parameters()), options


def test_autocast_keeps_the_residual_stream_in_float32():
    backbone = initialised(language=dict(arm='random'), out_type='raw', final_norm=None)
    with torch.autocast('cpu', torch.bfloat16):
        assert backbone(images())[0].dtype == torch.float32


def test_moving_average_and_copy_follow(folders):
    backbone = initialised(folder=folders['gpt2'])
    average = ExponentialMovingAverage(backbone, momentum=0.5)
    average.update_parameters(backbone)
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter.add_(1.)
    average.update_parameters(backbone)
    assert_close(average.module.norm.weight, torch.full((WIDTH, ), 1.5), terms=1)
    average.module.train()(images())  # its copy has no guard that fires


@pytest.mark.slow
def test_torch_compile_gives_the_same_features(folders):
    backbone = initialised(folder=folders['gpt2']).eval()
    with torch.no_grad():
        assert_close(torch.compile(backbone)(images())[0], backbone(images())[0], depth=NUM_BLOCKS)


@pytest.mark.slow
@pytest.mark.parametrize('backend', ['aot_eager', 'inductor'])
def test_torch_compile_gives_the_same_gradients(folders, backend):
    plain, compiled = (initialised(folder=folders['gpt2']).train() for _ in range(2))
    with torch.no_grad():
        for parameter, other in zip(compiled.parameters(), plain.parameters()):
            parameter.copy_(other)
    for forward in (plain, torch.compile(compiled, backend=backend)):
        for _ in range(2):  # the first forward pass of a model that was initialised has a check of its own
            forward(images())[0].pow(3).sum().backward()  # a norm's output has one mean square whatever goes in
    for (name, parameter), other in zip(compiled.named_parameters(), plain.parameters()):
        assert_close(parameter.grad, other.grad, depth=2 * NUM_BLOCKS, msg=name)


def test_is_built_from_any_registry_by_its_scoped_name():
    from mmdet.registry import MODELS as MMDET_MODELS
    from mmengine.registry import MODELS as ROOT
    from mmseg.registry import MODELS as MMSEG_MODELS
    config = ConfigDict(type='lbbt_mm.LLMBackbone', img_size=32, language=dict(config=deepcopy(CONFIGS['gpt2'])),
                        out_type='featmap')
    for registry in (ROOT, MODELS, MMDET_MODELS, MMSEG_MODELS):
        assert registry.build(config)(torch.randn(1, 3, 32, 32))[0].shape == (1, WIDTH, 2, 2)


def test_a_detector_of_mmdet_trains_on_its_feature_maps():
    import mmdet.models  # noqa: F401
    from mmdet.registry import MODELS as MMDET_MODELS
    from mmdet.structures import DetDataSample
    from mmengine.registry import DefaultScope
    from mmengine.structures import InstanceData
    with DefaultScope.overwrite_default_scope('mmdet'):
        detector = MMDET_MODELS.build(ConfigDict(
            type='FCOS', data_preprocessor=dict(type='DetDataPreprocessor', pad_size_divisor=4),
            backbone=dict(type='lbbt_mm.LLMBackbone', img_size=32, patch_size=4, out_type='featmap', out_indices=(1, 3),
                          language=dict(config=deepcopy(CONFIGS['gpt2']), arm='random')),
            neck=dict(type='FPN', in_channels=[WIDTH, WIDTH], out_channels=8, num_outs=2),
            bbox_head=dict(type='FCOSHead', num_classes=3, in_channels=8, feat_channels=8, stacked_convs=1, strides=[4, 8],
                           norm_cfg=None, regress_ranges=((-1, 16), (16, 1e8)))))
        detector.init_weights()
        sample = DetDataSample(metainfo=dict(img_shape=(30, 29), batch_input_shape=(32, 32)))
        sample.gt_instances = InstanceData(bboxes=torch.tensor([[4., 4., 20., 16.]]), labels=torch.tensor([2]))
        data = detector.data_preprocessor(dict(inputs=[torch.randint(0, 255, (3, 30, 29))], data_samples=[sample]), True)
        losses = detector(**data, mode='loss')
    sum(losses.values()).backward()
    assert all(loss.isfinite() for loss in losses.values())
    assert detector.backbone.patch_embed.projection.weight.grad.abs().sum() > 0


@pytest.mark.parametrize('options, message', (
    (dict(attention_kernel='flash'), r"attention_kernel='flash'; expected one of 'auto', 'fused'"),
    (dict(num_layers=6), r"num_layers=6, but language.blocks=None gives 4 blocks"),
    (dict(language=dict(fit='select')), r'language.fit is not an option here'),
    (dict(language=dict(encoder_blocks='0:2')), r'language.encoder_blocks is not an option here'),
    (dict(position='rotary'), 'no rotary positions'),
))
def test_what_its_parts_refuse(options, message):
    with pytest.raises(ValueError, match=message):
        backbone_of(**options)


def test_a_table_shorter_than_the_config_said_is_refused(tmp_path):
    from tests.tiny_checkpoints import build_model
    build_model('gpt2', n_positions=8).save_pretrained(tmp_path)
    backbone = backbone_of(language=dict(checkpoint=str(tmp_path)), position='language')
    with pytest.raises(ValueError, match="'wpe.weight' of shape .8, 32. cannot fill 'pos_embed'"):
        backbone.init_weights()
