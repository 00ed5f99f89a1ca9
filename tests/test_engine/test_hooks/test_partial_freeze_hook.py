"""PartialFreezeHook: frozen means no gradient, no optimizer state, no decay, no dropout and no new statistics."""
from unittest.mock import MagicMock

import pytest
import torch
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.registry import HOOKS, DefaultScope
from mmengine.runner import FlexibleRunner, IterBasedTrainLoop
from torch import nn

from lbbt_mm.engine.hooks import PartialFreezeHook
from tests.small_net import (CLASSES, WIDTH, SmallNet, below, changed, freeze, mock_runner, state_of, train, trainable,
                             weights)
from tests.tiny_checkpoints import CONFIGS

# ------------------------------------------------------------- what trains


def test_it_is_found_by_its_scoped_name():
    assert HOOKS.get('lbbt_mm.PartialFreezeHook') is PartialFreezeHook


@pytest.mark.parametrize('choice, blocks', [('first:1', '0'), ('first:3', '012'), ('last:2', '23'), ('first:4', '0123'),
                                            ('all', '0123')])
def test_the_chosen_blocks_train_and_nothing_else(choice, blocks):
    model = freeze(SmallNet(), trainable=choice)
    assert trainable(model) == below(model, *(f'backbone.blocks.{index}.' for index in blocks))


@pytest.mark.parametrize('also, prefixes', [
    ('head', ['head.']),
    (['head', 'backbone.patch_embed'], ['head.', 'backbone.patch_embed.']),
    (['backbone.pos_embed'], ['backbone.pos_embed']),
    (['head.bias'], ['head.bias']),
    (['*.norm'], [f'backbone.blocks.{index}.norm' for index in range(4)]),
    (['backbone.blocks.[12]'], ['backbone.blocks.1', 'backbone.blocks.2']),
    (['*.bias'], ['head.bias', 'backbone.bn.bias', 'backbone.patch_embed.bias'] +
     [f'backbone.blocks.{index}.{part}.bias' for index in range(4) for part in ('norm', 'fc')]),
])
def test_names_and_patterns_add_to_the_blocks(also, prefixes):
    model = freeze(SmallNet(), trainable='none', also=also)
    assert trainable(model) == below(model, *prefixes)


@pytest.mark.parametrize('choice, blocks', [('first:1', '0'), ('last:2', '23'), ('none', ''), ('all', '0123')])
def test_by_default_the_other_blocks_alone_freeze(choice, blocks):
    model = freeze(SmallNet(), trainable=choice, also=None)
    others = {name for name in trainable(SmallNet()) if not name.startswith('backbone.blocks.')}
    assert trainable(model) == others | below(model, *(f'backbone.blocks.{index}.' for index in blocks or 'x'))
    assert model.drop.training and model.backbone.training and model.head.training
    for index, block in enumerate(model.backbone.blocks):
        assert block.training == (str(index) in blocks)


def test_by_default_a_detector_s_other_parts_train():
    from tests.tiny_detection import build_detector
    model = freeze(build_detector(), module='encoder.layers', trainable='last:1', also=None)
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    assert frozen == below(model, 'encoder.layers.0.') | {
        name for name, parameter in build_detector().named_parameters() if not parameter.requires_grad}


def test_a_name_ends_at_a_dot():
    model = freeze(SmallNet(num_blocks=11), trainable='none', also=['backbone.blocks.1'])
    assert trainable(model) == below(model, 'backbone.blocks.1.')


@pytest.mark.parametrize('pattern', ['head.weight', 'extra.0', 'extra'])
def test_a_shared_part_goes_by_any_of_its_names(pattern):
    model = SmallNet()
    model.head.weight = model.backbone.blocks[3].fc.weight
    model.extra = nn.ModuleList([model.head])  # as DETR's layers share a branch
    assert freeze(model, trainable='none', also=[pattern]).head.weight.requires_grad
    assert model.head.bias.requires_grad == (pattern != 'head.weight')


@pytest.mark.parametrize('module, also', [('backbone.layers', ()), ('backbone', ()), ('backbone', ['head'])])
def test_a_vision_transformer_of_mmpretrain_s(module, also):
    model = freeze(vision_transformer(), module=module, trainable='first:1', also=also)
    assert trainable(model) == below(model, 'backbone.layers.0.', *also)


def test_a_detector_of_this_package():
    from tests.tiny_detection import build_detector
    model = freeze(build_detector(), module='encoder.layers', trainable='last:1', also=['decoder', 'bbox_head'])
    last = len(model.encoder.layers) - 1
    assert trainable(model) == below(model, f'encoder.layers.{last}.', 'decoder.', 'bbox_head.')
    assert model.training and model.decoder.training and not model.backbone.training


def llm_classifier() -> nn.Module:
    import mmpretrain.models  # noqa: F401
    from mmpretrain.registry import MODELS
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return MODELS.build(dict(
            type='lbbt_mm.LanguageClassifier',
            backbone=dict(type='lbbt_mm.LLMBackbone', language=dict(config=CONFIGS['gpt2'], arm='random'), img_size=8,
                          patch_size=4, attn_drop=0.3, proj_drop=0.3, drop_path_rate=0.3),
            head=dict(type='LinearClsHead', num_classes=2, in_channels=None)))


def vision_transformer() -> nn.Module:
    import mmpretrain.models  # noqa: F401
    from mmpretrain.registry import MODELS
    arch = dict(embed_dims=8, num_layers=3, num_heads=2, feedforward_channels=16)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return MODELS.build(dict(
            type='ImageClassifier',
            backbone=dict(type='VisionTransformer', arch=arch, img_size=8, patch_size=4, out_type='avg_featmap',
                          drop_rate=0.3, drop_path_rate=0.3),
            head=dict(type='LinearClsHead', num_classes=3, in_channels=8)))


# ------------------------------------------------------------- frozen means frozen


@pytest.mark.parametrize('optimizer', [
    dict(type='AdamW', lr=1e-2, weight_decay=0.5),
    dict(type='AdamW', lr=1e-2, weight_decay=0.5, foreach=True),
    dict(type='AdamW', lr=1e-2, weight_decay=0.5, fused=True),
    dict(type='SGD', lr=1e-2, weight_decay=0.5, momentum=0.9),
])
def test_training_leaves_frozen_tensors_without_state_decay_or_change(optimizer, tmp_path):
    model = SmallNet()
    before = weights(model)
    runner = train(tmp_path, PartialFreezeHook(trainable='first:2', also=['head']), model,
                   optim_wrapper=dict(optimizer=optimizer, clip_grad=dict(max_norm=1.)))
    expected = below(model, 'backbone.blocks.0.', 'backbone.blocks.1.', 'head.')
    assert changed(before, weights(model)) == expected
    assert state_of(runner) == expected
    assert all(parameter.grad is None for parameter in model.parameters() if not parameter.requires_grad)


def test_parameters_with_rates_of_their_own_are_frozen_and_unfrozen_too(tmp_path):
    """With paramwise_cfg mmengine leaves out what is frozen when it builds the optimizer; the hook comes later."""
    model = SmallNet()
    before = weights(model)
    wrapper = dict(optimizer=dict(type='AdamW', lr=1e-2, weight_decay=0.1), paramwise_cfg=dict(norm_decay_mult=0.))
    runner = train(tmp_path, PartialFreezeHook(trainable='last:1', also=(), unfreeze_epoch=1), model, optim_wrapper=wrapper)
    assert changed(before, weights(model)) >= below(model, '')
    assert state_of(runner) == below(model, '')


def test_gradients_and_state_from_before_are_let_go():
    model = SmallNet()
    runner = mock_runner(model)
    model(torch.randn(4, 4), torch.zeros(4, dtype=torch.long), mode='loss')['loss'].backward()
    runner.optim_wrapper.step()
    PartialFreezeHook(trainable='first:1', also=()).before_run(runner)
    kept = set(runner.optim_wrapper.optimizer.state)
    for name, parameter in model.named_parameters():
        trains = name.startswith('backbone.blocks.0.')
        assert (parameter.grad is not None) == trains and (parameter in kept) == trains


def test_every_optimizer_of_several_lets_go_of_its_state():
    model = SmallNet()
    parts = {name: OptimWrapper(torch.optim.SGD(getattr(model, name).parameters(), lr=0.1, momentum=0.9))
             for name in ('backbone', 'head')}
    model(torch.randn(4, 4), torch.zeros(4, dtype=torch.long), mode='loss')['loss'].backward()
    for part in parts.values():
        part.step()
    runner = mock_runner(model)
    runner.optim_wrapper = OptimWrapperDict(**parts)
    PartialFreezeHook(trainable='all', also=()).before_run(runner)
    assert parts['backbone'].optimizer.state and not parts['head'].optimizer.state


@pytest.mark.parametrize('build, size', [('SmallNet', (5, 4)), ('vision_transformer', (5, 3, 8, 8)),
                                         ('llm_classifier', (5, 3, 8, 8))])
def test_a_frozen_model_in_train_mode_gives_the_same_output_twice(build, size):
    model, x = globals()[build](), torch.randn(size)

    def same_twice() -> bool:
        first, second = (model.train()(x) for _ in range(2))
        first, second = ([part] if isinstance(part, torch.Tensor) else part for part in (first, second))
        return all(torch.equal(*pair) for pair in zip(first, second))

    assert not same_twice(), 'dropout, before it is frozen'
    freeze(model, module='backbone', trainable='none', also=['head'])
    before = weights(model)
    assert same_twice()
    assert not changed(before, weights(model))


def test_running_statistics_keep_still_unless_the_norm_trains(tmp_path):
    for also, moves in (([], False), (['backbone.bn'], True)):
        model = SmallNet()
        before = weights(model)
        train(tmp_path / str(moves), PartialFreezeHook(trainable='first:1', also=also), model)
        assert ('backbone.bn.running_mean' in changed(before, weights(model))) == moves
        assert (model.backbone.bn.num_batches_tracked > 0) == moves


def test_what_the_model_froze_itself_stays_frozen_and_in_its_own_mode(tmp_path):
    model = SmallNet()
    model.backbone.blocks[0].requires_grad_(False)
    model.head.bias.requires_grad_(False)
    before = weights(model)
    train(tmp_path, PartialFreezeHook(trainable='first:2', also=['head'], unfreeze_epoch=1), model)
    assert trainable(model) == below(model, '') - below(model, 'backbone.blocks.0.', 'head.bias')
    assert not changed(before, weights(model)) & below(model, 'backbone.blocks.0.', 'head.bias')
    assert model.backbone.blocks[0].training, 'the model has not asked for eval mode'


def test_stages_that_a_resnet_freezes_are_still_in_eval_mode_after_unfreezing():
    from mmpretrain.models import ResNet
    model = nn.ModuleDict(dict(backbone=ResNet(18, frozen_stages=1, base_channels=8, stem_channels=8)))
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    hook, runner = PartialFreezeHook('backbone.layer4', 'last:1', also=(), unfreeze_epoch=1), mock_runner(model)
    hook.before_run(runner)
    assert trainable(model) == below(model, 'backbone.layer4.1.')
    runner.epoch = 1
    hook.before_train_epoch(runner)
    assert trainable(model) == below(model, '') - frozen and frozen
    assert not model.backbone.layer1.training and model.backbone.layer2.training


# ------------------------------------------------------------- the table


def test_it_logs_what_trains_by_part():
    model = SmallNet()
    runner = mock_runner(model)
    PartialFreezeHook(trainable='last:1', also=['head', 'backbone.bn.bias'], unfreeze_epoch=1).before_run(runner)
    text = runner.logger.info.call_args.args[0]
    rows = {cells[0]: cells[1:] for cells in (
        [cell.strip() for cell in line.strip('|').split('|')] for line in text.splitlines() if line.startswith('|'))}
    block = 2 * WIDTH + WIDTH * WIDTH + WIDTH
    total = sum(parameter.numel() for parameter in model.parameters())
    trains = block + WIDTH + WIDTH * CLASSES + CLASSES
    assert rows['backbone.blocks.0 to 2'] == [f'{3 * block}', '0', '0.0', 'no']
    assert rows['backbone.blocks.3'] == [f'{block}', f'{block}', '100.0', 'yes']
    assert rows['backbone.bn'] == [f'{2 * WIDTH}', f'{WIDTH}', '50.0', 'partly']
    assert rows['head'][-1] == 'yes' and rows['backbone.pos_embed'][-1] == rows['backbone.patch_embed'][-1] == 'no'
    assert rows['total'] == [f'{total}', f'{trains}', f'{100 * trains / total:.1f}', '']
    assert 'last:1 of backbone.blocks, also head, backbone.bn.bias, until epoch 1' in text


# ------------------------------------------------------------- what is refused


@pytest.mark.parametrize('value', ['first:0', 'first', 'first:-1', 'first:x', 'middle:2', 'last:1.5', 'ALL', '', 5, None])
def test_a_malformed_choice(value):
    with pytest.raises(ValueError, match=r"trainable=.*expected 'first:N' or 'last:N'"):
        PartialFreezeHook(trainable=value)


@pytest.mark.parametrize('value', [0, -1, 1.5, True, '2'])
def test_an_unfreeze_epoch_that_is_none(value):
    with pytest.raises(ValueError, match='unfreeze_epoch=.*expected a whole number, 1 or more'):
        PartialFreezeHook(unfreeze_epoch=value)


@pytest.mark.parametrize('value', [5, [5], {'head'}])
def test_also_that_is_no_list_of_names(value):
    with pytest.raises(ValueError, match='also=.*expected a list of names'):
        PartialFreezeHook(also=value)


@pytest.mark.parametrize('options, match', [
    (dict(trainable='first:30'), r"trainable='first:30': 'backbone.blocks' has 4 blocks"),
    (dict(trainable='last:5'), r"'backbone.blocks' has 4 blocks"),
    (dict(trainable='none'), r'all \d+ parameters would be frozen'),
    (dict(also=['backbone.patch']), r"also='backbone.patch' matches no module and no parameter.*backbone.patch_embed"),
    (dict(also=['head', '*.norm9']), r"also='\*.norm9' matches no"),
    (dict(module='backbone.layers'), r"backbone \(Backbone\) has no part 'layers'; it has patch_embed, .*blocks"),
    (dict(module='encoder.layers'), r"the model \(SmallNet\) has no part 'encoder'; it has .*backbone, drop, head"),
    (dict(module='head'), r"module='head' is a Linear with the parts none; expected a ModuleList"),
])
def test_a_choice_that_does_not_fit_the_model(options, match):
    model = SmallNet()
    with pytest.raises(ValueError, match=match):
        freeze(model, **options)
    assert trainable(model) == below(model, ''), 'nothing is half frozen'


def test_a_module_with_two_lists_of_blocks():
    model = SmallNet()
    model.backbone.layers = nn.ModuleList([nn.Linear(1, 1)])
    with pytest.raises(ValueError, match="module='backbone' is a Backbone with the parts .*Give the path of that list"):
        freeze(model, module='backbone')


@pytest.mark.parametrize('unfreeze_epoch', [2, 7])
def test_an_unfreeze_epoch_that_never_comes(unfreeze_epoch, tmp_path):
    with pytest.raises(ValueError, match=f'unfreeze_epoch={unfreeze_epoch} never comes: the run has 2 epochs'):
        train(tmp_path, PartialFreezeHook(trainable='first:1', also=(), unfreeze_epoch=unfreeze_epoch), epochs=2)


def test_unfreezing_in_a_loop_without_epochs():
    runner = mock_runner(SmallNet())
    runner.train_loop = MagicMock(spec=IterBasedTrainLoop)
    with pytest.raises(ValueError, match='unfreeze_epoch=1: found a training loop that counts iterations'):
        PartialFreezeHook(trainable='first:1', also=(), unfreeze_epoch=1).before_run(runner)


def test_a_loop_without_epochs_can_be_partial(tmp_path, monkeypatch):
    monkeypatch.setattr('mmengine.runner.loops.time.sleep', lambda seconds: None)  # two seconds before every pass
    model = SmallNet()
    before = weights(model)
    train(tmp_path, PartialFreezeHook(trainable='first:1', also=()), model, sampler='InfiniteSampler',
          train_cfg=dict(by_epoch=False, max_iters=3))
    assert changed(before, weights(model)) == below(model, 'backbone.blocks.0.')


def test_a_flexible_runner():
    runner = MagicMock(spec=FlexibleRunner, optim_wrapper=mock_runner(SmallNet()).optim_wrapper, model=SmallNet())
    with pytest.raises(ValueError, match='found a FlexibleRunner.*expected a Runner'):
        PartialFreezeHook(trainable='first:1', also=()).before_run(runner)


def test_a_wrapper_that_cannot_be_made_anew():
    runner = mock_runner(SmallNet())
    runner.model = nn.DataParallel(SmallNet())
    with pytest.raises(ValueError, match='found the model in a DataParallel.*expected MMDistributedDataParallel'):
        PartialFreezeHook(trainable='first:1', also=()).before_run(runner)
