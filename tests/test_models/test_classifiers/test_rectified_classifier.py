"""RectifiedClassifier: Eqs. 6, 8 and 10 on mmpretrain's ViTs, whose code and weights stay their own."""
from copy import deepcopy

import pytest
import torch
import torch.nn.functional as F
from mmengine.analysis import get_model_complexity_info
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS

from lbbt_mm.models.rectifiers.insertion import UnfitBackbone
from tests.closeness import assert_close
from tests.tiny_rectified import CLASSES, DEPTH, HEAD, VIT, WIDTH, build, images, samples

STYLES = {
    'vit': VIT,
    'deit': dict(VIT, type='DistilledVisionTransformer'),
    'mae': dict(VIT, out_type='avg_featmap', final_norm=False),
    'dinov2': dict(VIT, layer_scale_init_value=0.1, layer_cfgs=dict(ffn_type='swiglu_fused')),
    'beit': dict(type='BEiTViT', arch=VIT['arch'], img_size=16, patch_size=4),
}
HEADS = {'deit': dict(type='DeiTClsHead', num_classes=CLASSES, in_channels=WIDTH, topk=(1, ), cal_acc=True)}


def by_hand(model, inputs, through=None, place=DEPTH - 1):
    """A ViT's class scores in plain steps, past all hooks, with a function of the tokens behind a block."""
    vit = model.backbone
    x = vit.patch_embed(inputs)[0]
    x = torch.cat((vit.cls_token.expand(len(x), -1, -1), x), 1) + vit.pos_embed
    for index in range(-1, DEPTH):
        x = vit.layers[index].forward(x) if index >= 0 else x
        x = through(x) if through and index == place else x
    return model.head.fc(vit.ln1(x)[:, 0])


@pytest.mark.parametrize(('place', 'index'), [('embedding', -1), ('first', 0), ('middle', 1), ('last', 2)])
def test_both_losses_are_those_of_two_separate_forward_passes(folders, place, index):
    """Eqs. 8 and 10; the ViT in front of the block runs once, and gradients are the same."""
    model = build(folders['llama'], insert_after=place, aux_weight=0.3)
    total, logged = model.parse_losses(model.loss(images(), samples()))
    labels = torch.cat([sample.gt_label for sample in samples()])
    main = F.cross_entropy(by_hand(model, images()), labels)

    scores = by_hand(model, images(), model.rectifier, index)
    auxiliary = F.cross_entropy(scores, labels)
    assert float(logged['main_unweighted']) == pytest.approx(float(main), rel=1e-5)
    assert float(logged['aux_unweighted']) == pytest.approx(float(auxiliary), rel=1e-5)
    expected = 0.7 * main + 0.3 * auxiliary
    assert float(total) == pytest.approx(float(expected), rel=1e-5)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for ours, theirs in zip(torch.autograd.grad(total, parameters), torch.autograd.grad(expected, parameters)):
        assert_close(ours, theirs, depth=8)


def test_in_evaluation_mode_the_loss_is_the_main_paths(folders):
    model = build(folders['gpt2'])
    training = model.loss(images(), samples())
    found = model.eval().loss(images(), samples())
    assert float(found['loss']) == pytest.approx(float(training['main_unweighted'])) and 'loss_aux' not in found


def test_a_compiled_step_is_not_compiled_anew_for_each_weight(folders):
    model = build(folders['gpt2'])
    seen = []

    def count(graph, inputs):
        seen.append(graph)
        return graph.forward

    def loss():
        return model.weighted(dict(loss=torch.ones(())), dict(loss=torch.ones(())))['loss_aux']

    step = torch.compile(loss, backend=count)
    values = []
    for weight in (0.1, 0.2, 0.3, 0.4):
        model.set_aux_weight(weight)
        values.append(float(step()))
    assert values == pytest.approx([0.1, 0.2, 0.3, 0.4]) and len(seen) == 1


def test_the_shared_blocks_run_once_a_step(folders):
    model = build(folders['gpt2'], insert_after='middle')
    rows = [[] for _ in range(DEPTH)]
    for seen, layer in zip(rows, model.backbone.layers):
        layer.register_forward_pre_hook(lambda module, inputs, seen=seen: seen.append(len(inputs[0])))
    model.loss(images(4), samples(4))
    assert rows == [[4], [4], [8]]


@pytest.mark.parametrize('style', STYLES)
@pytest.mark.parametrize('path', ('auxiliary', 'inserted'))
def test_it_trains_every_parameter_in_vits_of_several_styles(folders, style, path):
    init_default_scope('mmpretrain')
    model = build(folders['gpt2'], backbone=STYLES[style], path=path)
    if style in HEADS:
        model.head = MODELS.build(HEADS[style])
    total, _ = model.parse_losses(model.loss(images(), samples()))
    total.backward()
    without = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert not without
    out = model.eval()(images(), mode='tensor')
    assert (out[0] if isinstance(out, tuple) else out).shape == (4, CLASSES)


@pytest.mark.parametrize('arm', ('language', 'mappers', 'none', 'plain'))
def test_inference_of_auxiliary_training_is_the_plain_vit(folders, arm):
    """The same output to the bit, and the same operations."""
    model = build(folders['gpt2'], arm=arm).eval()
    plain = MODELS.build(dict(type='ImageClassifier', backbone=VIT, head=HEAD)).eval()
    loaded = plain.load_state_dict(model.state_dict(), strict=False)
    assert not loaded.missing_keys and {name.split('.')[0] for name in loaded.unexpected_keys} <= {'rectifier', 'aux_head'}
    with torch.no_grad():
        assert torch.equal(model(images(), mode='tensor'), plain(images(), mode='tensor'))
    ours, theirs = (get_model_complexity_info(one, (3, 16, 16), show_table=False, show_arch=False)['flops']
                    for one in (model, plain))
    assert ours == theirs > 0


def test_an_inserted_rectifier_is_in_inference_too_and_none_of_it_is_the_plain_vit(folders):
    inserted = build(folders['gpt2'], path='inserted').eval()
    assert_close(inserted(images(), mode='tensor'), by_hand(inserted, images(), inserted.rectifier), depth=8)
    nothing = build(folders['gpt2'], arm='none', path='inserted')
    assert nothing.rectifier is None and nothing.aux_head is None
    assert_close(nothing(images(), mode='tensor'), by_hand(nothing, images()), depth=8)


def test_without_a_rectifier_the_auxiliary_path_is_a_head_of_its_own_on_the_same_features(folders):
    model = build(folders['gpt2'], arm='none', aux_weight=0.4)
    losses = model.loss(images(), samples())
    labels = torch.cat([sample.gt_label for sample in samples()])
    features = model.extract_feat(images())[-1]
    first, last = model.aux_head.layers[0], model.aux_head.layers[2]
    scores = model.aux_head.head.fc(F.gelu(features @ first.weight.T) @ last.weight.T)
    assert float(losses['loss_aux'].detach()) == pytest.approx(0.4 * float(F.cross_entropy(scores, labels)), rel=1e-5)
    assert first.weight.shape == build(folders['gpt2']).rectifier.input.weight.shape


def test_the_plain_arm_trains_as_the_plain_classifier_does(folders):
    """The same loss and gradients to the bit, on an auxiliary path too."""
    model = build(folders['gpt2'], arm='plain')
    torch.manual_seed(0)
    plain = MODELS.build(dict(type='ImageClassifier', backbone=VIT, head=HEAD))
    plain.init_weights()
    losses = [one.loss(images(), samples()) for one in (model, plain)]
    assert losses[0].keys() == losses[1].keys() and torch.equal(losses[0]['loss'], losses[1]['loss'])
    for one in losses:
        one['loss'].backward()
    for ours, theirs in zip(model.parameters(), plain.parameters(), strict=True):
        assert torch.equal(ours.grad, theirs.grad)


def test_all_arms_start_from_the_same_vit_head_and_mappers(folders):
    """Also the plain classifier of the host library, by the same seed."""
    arms = {arm: build(folders['gpt2'], arm=arm).state_dict()
            for arm in ('language', 'random', 'shuffled', 'moment_matched', 'mappers', 'none', 'plain')}
    torch.manual_seed(0)
    plain = MODELS.build(dict(type='ImageClassifier', backbone=VIT, head=HEAD))
    plain.init_weights()
    for arm, state in arms.items():
        for name, tensor in plain.state_dict().items():
            assert torch.equal(state[name], tensor), (arm, name)
        for name in ('rectifier.input.weight', 'rectifier.output.weight') if arm not in ('none', 'plain') else ():
            assert torch.equal(state[name], arms['language'][name]), (arm, name)
    block = 'rectifier.blocks.0.attn.qkv.weight'
    assert not torch.equal(arms['language'][block], arms['random'][block])


def test_the_classifiers_own_init_cfg_leaves_the_blocks_alone(folders):
    written = build(folders['gpt2'], init_cfg=[dict(type='Constant', layer='Linear', val=0.5)])
    ours, theirs = (model.rectifier.blocks[0].attn.qkv.weight for model in (written, build(folders['gpt2'])))
    assert torch.equal(ours, theirs)


def test_a_frozen_block_is_in_no_optimizer_and_bit_equal_after_training(folders):
    model = build(folders['gpt2'])
    before = deepcopy(dict(model.rectifier.blocks.named_buffers()))
    wrapper = build_optim_wrapper(model, dict(optimizer=dict(type='AdamW', lr=1e-2, weight_decay=0.5)))
    held = {id(tensor) for tensor in before.values()} | {id(tensor) for tensor in model.rectifier.blocks.buffers()}
    assert not held & {id(one) for group in wrapper.optimizer.param_groups for one in group['params']}
    start = deepcopy(model.backbone.state_dict())
    for _ in range(3):
        wrapper.update_params(model.parse_losses(model.loss(images(), samples()))[0])
    for name, tensor in model.rectifier.blocks.named_buffers():
        assert torch.equal(tensor, before[name])
    assert not torch.equal(start['ln1.weight'], model.backbone.ln1.weight)


def test_a_copy_runs_its_own_rectifier(folders):
    """An average of weights (EMA) is made of a copy."""
    model = build(folders['gpt2'], path='inserted')
    copied = deepcopy(model)
    with torch.no_grad():
        copied.rectifier.output.weight.zero_()
    assert_close(model(images(), mode='tensor'), by_hand(model, images(), model.rectifier), depth=8)
    assert not torch.allclose(copied(images(), mode='tensor'), model(images(), mode='tensor'))


@pytest.mark.parametrize(('options', 'message'), [
    (dict(insert_after=7), "insert_after=7: expected 'embedding', .* or the index of one of 3 blocks"),
    (dict(path='both'), "path='both'; expected one of 'auxiliary', 'inserted'"),
    (dict(aux_weight=1.5), 'aux_weight=1.5; expected a number from 0 to 1'),
    (dict(aux_weight=True), 'aux_weight=True; expected a number from 0 to 1'),
    (dict(neck=dict(type='ClsBatchNormNeck', input_features=WIDTH)), 'neck.bn is a BatchNorm1d, which would take')])
def test_what_does_not_fit_is_refused(folders, options, message):
    with pytest.raises(Exception, match=message):
        build(folders['gpt2'], **options)


@pytest.mark.parametrize(('backbone', 'message'), [
    (dict(type='ResNet', depth=18), 'ResNet is not a backbone of tokens with one width'),
    (dict(type='EfficientFormer', arch='l1'), 'EfficientFormer is not a backbone of tokens with one width'),
    (dict(VIT, type='RevVisionTransformer'), 'gives a tuple; expected tokens')])
def test_a_backbone_without_tokens_is_refused_when_it_is_built(folders, backbone, message):
    """Also where the head is to get its width from it."""
    init_default_scope('mmpretrain')
    language = dict(checkpoint=str(folders['gpt2']), blocks=-1)
    with pytest.raises(UnfitBackbone, match=message):
        MODELS.build(dict(type='lbbt_mm.RectifiedClassifier', backbone=backbone, head=dict(HEAD, in_channels=None),
                          rectifier=dict(type='lbbt_mm.LanguageRectifier', language=language)))


@pytest.mark.parametrize('arm', ('mappers', 'none', 'plain'))
def test_only_a_rectifier_can_do_without_blocks(folders, arm):
    init_default_scope('mmpretrain')
    with pytest.raises(Exception, match=f'language.arm={arm!r} leaves the language blocks out, which only a rectifier can'):
        MODELS.build(dict(type='lbbt_mm.LLMBackbone', language=dict(checkpoint=str(folders['gpt2']), arm=arm)))
