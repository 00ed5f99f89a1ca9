"""LanguageSegmenterHead: Segmenter's function, the language model's blocks, mmseg's pipeline."""
import logging
from copy import deepcopy
from types import SimpleNamespace

import pytest
import torch
from mmengine.model import ExponentialMovingAverage
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope
from mmseg.models.decode_heads import SegmenterMaskTransformerHead
from torch import nn

from lbbt_mm.engine.hooks import PartialFreezeHook
from lbbt_mm.language import FAMILIES, open_checkpoint
from lbbt_mm.models.decode_heads import LanguageSegmenterHead
from lbbt_mm.models.layers import LanguageBlock
from tests.closeness import assert_close, assert_near
from tests.tiny_checkpoints import CONFIGS, copied_block
from tests.tiny_segmentation import CLASSES, batch_of, build_segmentor

WIDTH = 32  # of the tiny language models
# Two blocks; the norm over the classes divides by a spread of about a quarter, and magnifies rounding as much
DEPTH = 2 * 4


@pytest.fixture(autouse=True)
def _mmseg_scope():
    init_default_scope('mmseg')


def head(model_type='gpt2', language=None, in_channels=24, **options) -> LanguageSegmenterHead:
    language = {**dict(config=deepcopy(CONFIGS[model_type]), blocks='1:3', arm='random', seed=0), **(language or {})}
    return LanguageSegmenterHead(in_channels=in_channels, language=language, **{**dict(num_classes=5), **options})


def features(batch=2, channels=24, height=4, width=6):
    return (torch.randn(batch, channels, height, width), )


# ------------------------------------------------------------------------------------------------ the function
_MMSEG_NAMES = {'norm1': 'ln1', 'norm2': 'ln2', 'attn.qkv.': 'attn.attn.in_proj_', 'attn.proj': 'attn.attn.out_proj',
                'mlp.fc1': 'ffn.layers.0.0', 'mlp.fc2': 'ffn.layers.1'}


def mmseg_name(name):
    """What mmseg's head calls a parameter of ours."""
    for ours, theirs in _MMSEG_NAMES.items():
        name = name.replace(ours, theirs) if name.startswith('layers.') else name
    return name


def both_heads(**options):
    """mmseg's head and ours with equal weights that are no fresh ones; GPT-2 with the exact GELU is mmseg's architecture."""
    config = dict(CONFIGS['gpt2'], activation_function='gelu')
    ours = head(language=dict(config=config), proj_drop=0., **options)
    theirs = SegmenterMaskTransformerHead(
        24, num_layers=2, num_heads=4, embed_dims=WIDTH, channels=WIDTH, num_classes=5, drop_path_rate=0., dropout_ratio=0.)
    state = {name: torch.randn_like(tensor) * 0.3 for name, tensor in ours.state_dict().items()}
    ours.load_state_dict(state)
    theirs.load_state_dict({mmseg_name(name): tensor for name, tensor in state.items()})
    return ours, theirs


@pytest.mark.parametrize('training', [False, True])
def test_it_is_mmseg_s_head_where_the_architectures_coincide(training):
    ours, theirs = (module.train(training) for module in both_heads())
    inputs = features()
    expected, found = theirs(inputs), ours(inputs)
    assert found.shape == expected.shape == (2, 5, 4, 6)
    assert_close(found, expected, depth=DEPTH)


def test_gradients_are_mmseg_s_too():
    ours, theirs = both_heads()
    inputs = features()
    for module in (ours, theirs):
        (module(inputs)**2).mean().backward()
    expected = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        assert_close(parameter.grad, expected[mmseg_name(name)].grad, depth=2 * DEPTH, msg=name)


@pytest.mark.parametrize('model_type', FAMILIES)
def test_every_family_makes_a_head_of_its_width(model_type):
    module = head(model_type)
    assert module.embed_dims == module.channels == module.dec_proj.out_features == WIDTH
    assert len(module.layers) == 2 and module(features()).shape == (2, 5, 4, 6)


def test_classes_and_patches_see_each_other_in_both_directions():
    module = head().eval()
    inputs = features()
    changed = (inputs[0].clone(), )
    changed[0][:, :, -1, -1] += 1.
    tokens = []
    module.layers[-1].register_forward_hook(lambda layer, args, output: tokens.append(output))
    module(inputs), module(changed)
    assert not torch.allclose(tokens[0][:, 0], tokens[1][:, 0]), 'the first patch sees the last'
    assert not torch.allclose(tokens[0][:, -1], tokens[1][:, -1]), 'and so does the last class'
    with torch.no_grad():
        module.cls_emb[:, -1] += torch.randn(WIDTH)
    module(inputs)
    assert not torch.allclose(tokens[0][:, 0], tokens[2][:, 0]), 'patches see the classes'


def test_patches_have_no_order():
    """Segmenter's decoder knows no positions: another order of the patches is another order of the masks."""
    module, (x, ) = head('llama').eval(), features()
    order = torch.randperm(24)
    shuffled = x.flatten(2)[:, :, order].view_as(x)
    assert_close(module((shuffled, )).flatten(2), module((x, )).flatten(2)[:, :, order], depth=DEPTH)


def test_masks_are_float32_under_autocast():
    module = head().eval()
    inputs = features()
    with torch.no_grad(), torch.autocast('cpu', torch.bfloat16):
        masks = module(inputs)
    assert masks.dtype == torch.float32
    assert_near(masks, module(inputs), torch.bfloat16, depth=2)


def test_dropout_is_segmenter_s_by_default_and_off_in_evaluation():
    module, inputs = head().train(), features()
    rates = {layer.p for layer in module.modules() if isinstance(layer, torch.nn.Dropout)}
    assert 0.1 in rates and rates <= {0., 0.1}
    assert not torch.equal(module(inputs), module(inputs))
    assert torch.equal(module.eval()(inputs), module(inputs))


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_it_runs_with_weights_of_half_precision(dtype):
    module = head().eval()
    inputs = features()
    masks = module(inputs)
    found = module.to(dtype)((inputs[0].to(dtype), ))
    assert_near(found, masks, dtype, depth=2)


def test_feature_maps_can_be_concatenated():
    options = dict(in_channels=[24, 8], in_index=(0, 1), input_transform='resize_concat')
    inputs = (torch.randn(2, 24, 4, 6), torch.randn(2, 8, 2, 3))
    assert head(**options)(inputs).shape == (2, 5, 4, 6)
    assert head(**options, language=dict(fit='select')).embed_dims == 32


def test_a_frozen_head_keeps_its_blocks_and_an_average_of_it_is_one_of_its_own(folders):
    segmentor = initialised('gpt2', folders['gpt2']).train()
    average = ExponentialMovingAverage(segmentor)
    runner = SimpleNamespace(model=segmentor, logger=logging.getLogger('test'),
                             optim_wrapper=OptimWrapper(torch.optim.AdamW(segmentor.parameters(), lr=0.1)))
    PartialFreezeHook(module='decode_head.layers', trainable='first:1', also=['backbone']).before_run(runner)
    before = {name: parameter.clone() for name, parameter in segmentor.named_parameters()}
    segmentor.train_step(batch_of(), runner.optim_wrapper)
    average.update_parameters(segmentor)
    for name, parameter in segmentor.named_parameters():
        trains = name.startswith(('decode_head.layers.0.', 'backbone.'))
        assert torch.equal(parameter, before[name]) != trains, name
        assert parameter.requires_grad == trains, name
    averaged = dict(average.module.named_parameters())
    assert not torch.equal(averaged['decode_head.layers.0.mlp.fc1.weight'], before['decode_head.layers.0.mlp.fc1.weight'])
    for parameter in average.module.parameters():
        assert torch.isfinite(parameter).all()


def test_options_reach_every_block_and_have_segmenter_s_defaults():
    given = dict(attn_drop=0.2, proj_drop=0.3, with_cp=True, attention_kernel='math')
    for options, expected in (({}, (0., 0.1, False, 'auto')), (given, tuple(given.values()))):
        for block in head(**options).layers:
            assert (block.attn.attn_drop, block.attn.proj_drop.p, block.with_cp, block.attn.kernel) == expected
            assert block.mlp.drop.p == expected[1] and not block.attn.causal and block.norm == 'pre'
            assert isinstance(block.drop_path, nn.Identity)


def test_drop_path_rises_to_the_last_block():
    blocks = head(language=dict(blocks='0:3'), drop_path_rate=0.2).layers
    assert [getattr(block.drop_path, 'drop_prob', 0.) for block in blocks] == pytest.approx([0., 0.1, 0.2])


def test_recomputed_activations_give_the_same_gradients():
    plain, saving = head(proj_drop=0.), head(proj_drop=0., with_cp=True)
    saving.load_state_dict(plain.state_dict())
    inputs = features()
    for module in (plain, saving):
        module.train()(inputs).square().mean().backward()
    for (name, one), other in zip(plain.named_parameters(), saving.parameters()):
        assert_close(one.grad, other.grad, depth=2 * DEPTH, msg=name)


# ---------------------------------------------------------------------------------------- what it starts from
def initialised(model_type, folder, **language):
    segmentor = build_segmentor(model_type=model_type, language=dict(checkpoint=str(folder), **language))
    segmentor.init_weights()
    return segmentor


@pytest.mark.parametrize('model_type', ('gpt2', 'qwen3'))
def test_the_selected_weights_survive_the_initialisation_of_the_whole_segmentor(model_type, folders):
    segmentor = build_segmentor(
        model_type=model_type, language=dict(checkpoint=str(folders[model_type]), fit='select'),
        model__decode_head__embed_dims=16, model__decode_head__num_heads=2)
    segmentor.init_weights()
    checkpoint = open_checkpoint(folders[model_type])
    for layer, index in zip(segmentor.decode_head.layers, (1, 2)):
        source = copied_block(checkpoint, index).mlp
        channels, units = (torch.arange(ours) * theirs // ours for ours, theirs in (
            (16, source.fc2.weight.shape[0]), (layer.mlp.fc2.weight.shape[1], source.fc2.weight.shape[1])))
        assert torch.equal(layer.mlp.fc2.weight, source.fc2.weight[channels][:, units])
    segmentor.train()(**segmentor.data_preprocessor(batch_of(), True), mode='loss')  # the guard agrees


def test_weights_of_its_own_make_the_language_model_unnecessary(tmp_path, folders):
    own = head()
    torch.save(dict(state_dict=own.state_dict()), tmp_path / 'own.pth')
    module = head(init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'own.pth')),
                  language=dict(config=CONFIGS['gpt2'], checkpoint='nobody/nothing', arm='language'))
    module.init_weights()
    assert all(torch.equal(tensor, own.state_dict()[name]) for name, tensor in module.state_dict().items())
    module.train()(features())


@pytest.mark.parametrize('model_type', ('gpt2', 'qwen3'))
def test_the_copied_weights_survive_the_initialisation_of_the_whole_segmentor(model_type, folders):
    layers = initialised(model_type, folders[model_type]).decode_head.layers
    checkpoint = open_checkpoint(folders[model_type])
    for layer, index in zip(layers, (1, 2)):
        for (name, ours), theirs in zip(layer.named_parameters(), copied_block(checkpoint, index).parameters()):
            assert torch.equal(ours, theirs), name


def test_a_selected_head_holds_parts_of_the_blocks_and_keeps_its_width(folders, log):
    language = dict(config=None, checkpoint=str(folders['gpt2']), fit='select', arm='language')
    module = head(language=language, num_heads=3)
    module.init_weights()
    source = open_checkpoint(folders['gpt2']).read_block(2)
    assert module.embed_dims == 24, "the encoder's width"
    channels, units = torch.arange(24) * 32 // 24, torch.arange(96) * 128 // 96
    assert torch.equal(module.layers[1].mlp.fc1.weight, source['h.2.mlp.c_fc.weight'].T[units][:, channels])
    assert any('selected 24 channels, 3 of 4 heads of 8, 96 of 128 hidden units' in ' '.join(line.split()) for line in log)
    assert module(features()).shape == (2, 5, 4, 6)


def test_host_is_segmenter_s_own_initialisation():
    torch.manual_seed(0)
    module = head(language=dict(config=dict(CONFIGS['gpt2'], n_embd=128), arm='host'), num_classes=40)
    module.init_weights()
    for name, parameter in module.layers.named_parameters():
        if name.endswith('bias'):
            assert not parameter.any(), name
        elif 'norm' in name:
            assert torch.equal(parameter, torch.ones_like(parameter)), name
        else:
            assert parameter.std().item() == pytest.approx(0.02, rel=0.05), name
    assert module.cls_emb.std().item() == pytest.approx(0.02, rel=0.05)
    for projection in (module.patch_proj, module.classes_proj):
        assert projection.weight.std().item() == pytest.approx(128**-0.5, rel=0.05)
    assert not module.dec_proj.bias.any()


def test_mmseg_s_initialisation_of_the_projections_is_an_option():
    module = head(language=dict(config=dict(CONFIGS['gpt2'], n_embd=128)), projection_init='trunc_normal', init_std=0.05)
    module.init_weights()
    for matrix in (module.patch_proj.weight, module.classes_proj.weight, module.cls_emb):
        assert matrix.std().item() == pytest.approx(0.05, rel=0.05)


def test_the_first_training_forward_notices_overwritten_weights(folders):
    segmentor = initialised('gpt2', folders['gpt2'])
    nn.init.zeros_(segmentor.decode_head.layers[0].mlp.fc1.weight)
    data = segmentor.data_preprocessor(batch_of(), training=True)
    with pytest.raises(RuntimeError, match='no longer holds the language weights'):
        segmentor.train()(**data, mode='loss')


# ------------------------------------------------------------------------------------------- mmseg's pipeline
def test_a_segmentor_trains_and_every_parameter_gets_a_gradient():
    segmentor = build_segmentor(language=dict(arm='random')).train()
    segmentor.init_weights()
    losses = segmentor(**segmentor.data_preprocessor(batch_of(), training=True), mode='loss')
    assert set(losses) == {'decode.loss_ce', 'decode.acc_seg'}
    losses['decode.loss_ce'].backward()
    assert not [name for name, parameter in segmentor.named_parameters() if parameter.grad is None]


def test_sliding_windows_cover_the_image():
    test_cfg = dict(mode='slide', crop_size=(32, 32), stride=(16, 16))
    segmentor = build_segmentor(model__test_cfg=test_cfg, language=dict(arm='random')).eval()
    image = torch.randn(1, 3, 48, 64)
    meta = [dict(ori_shape=(48, 64), img_shape=(48, 64), pad_shape=(48, 64), padding_size=[0] * 4)]
    with torch.no_grad():
        logits = segmentor.inference(image, meta)
        corner = segmentor.encode_decode(image[:, :, :32, :32], [dict(meta[0], img_shape=torch.Size((32, 32)))])
    assert logits.shape == (1, len(CLASSES), 48, 64)
    assert_close(logits[:, :, :16, :16], corner[:, :, :16, :16], depth=DEPTH)


def test_an_auxiliary_head_looks_at_an_earlier_block():
    auxiliary = dict(type='FCNHead', in_channels=24, channels=8, in_index=0, num_convs=1, num_classes=len(CLASSES),
                     norm_cfg=dict(type='BN'), loss_decode=dict(type='CrossEntropyLoss', loss_weight=0.4))
    segmentor = build_segmentor(model__backbone__out_indices=(0, 1), model__decode_head__in_index=1,
                                model__auxiliary_head=auxiliary, language=dict(arm='random')).train()
    losses = segmentor(**segmentor.data_preprocessor(batch_of(), training=True), mode='loss')
    assert {'decode.loss_ce', 'aux.loss_ce'} <= set(losses)


# --------------------------------------------------------------------------------------------------- bad input
@pytest.mark.parametrize('options, message', [
    (dict(embed_dims=48),
     r'embed_dims=48 contradicts the language model gpt2 .language.config., of which only .*select.*; expected 32'),
    (dict(channels=48), r'embed_dims=48 contradicts'),
    (dict(channels=32, embed_dims=48), r'embed_dims=48 and channels=32 name the same width and differ'),
    (dict(num_heads=3), r'num_heads=3 contradicts the language model'),
    (dict(ffn_dims=64), r'ffn_dims=64 contradicts the language model'),
    (dict(num_layers=3), r'num_layers=3, but language.blocks=.1:3. gives 2 blocks'),
    (dict(projection_init='xavier'), r"projection_init='xavier'; expected one of 'scaled_normal', 'trunc_normal'"),
    (dict(language=dict(fit='stretch')), r"language.fit='stretch'; expected one of None, 'project', 'select'"),
    (dict(language=dict(fit='select'), in_channels=48), r'embed_dims=48 from a language model with 32'),
    (dict(language=dict(fit='select'), num_heads=5), r'num_heads=5 from a language model with 4'),
    (dict(proj_drop=1.), r'proj_drop=1.0; expected a number'),
    (dict(num_classes=1), r'num_classes=1; expected at least 2'),
    (dict(num_classes=2, out_channels=1), r'out_channels=1; it gives one channel a class'),
    (dict(in_channels=None), r"in_channels=None; expected the width of the encoder's features. Write it"),
    (dict(in_channels=None, language=dict(fit='select')), r'in_channels=None; expected the width'),
    (dict(input_transform='multiple_select', in_channels=[24, 8], in_index=(0, 1)), r"expected None or 'resize_concat'"),
])
def test_bad_options_are_one_error(options, message):
    with pytest.raises(ValueError, match=message):
        head(**options)


def test_extra_layers_start_at_random(folders):
    module = head(language=dict(config=None, checkpoint=str(folders['gpt2']), arm='language', extra_layers='random'),
                  num_layers=3)
    module.init_weights()
    assert torch.equal(module.layers[2].norm1.weight, torch.ones(WIDTH))
    assert isinstance(module.layers[2], LanguageBlock) and not torch.equal(module.layers[1].norm1.weight, torch.ones(WIDTH))
