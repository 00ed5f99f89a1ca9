"""What frozen means, whoever freezes: no gradient, no dropout, and no new statistics."""
import copy
import pickle

import pytest
import torch
from torch import nn

from lbbt_mm.files.checkpoint_fit import is_below
from lbbt_mm.models.backbones import LLMBackbone
from lbbt_mm.models.freezing import freeze
from tests.small_net import WIDTH, SmallNet, below, trainable
from tests.tiny_checkpoints import CONFIGS


def all_but(model, *parts):
    """The model in train mode with all but these parts frozen."""
    freeze(model, lambda name: is_below(name, parts))
    return model.train()


def test_no_backward_work_before_the_first_trainable_parameter():
    model = all_but(SmallNet(), 'backbone.blocks.2', 'backbone.blocks.3', 'head')
    needs_gradient = {}
    for name, module in model.named_modules():
        module.register_forward_hook(
            lambda module, args, output, name=name: needs_gradient.update({name: output.grad_fn is not None}))
    model(torch.randn(4, 4))
    frozen = ['backbone.patch_embed', 'backbone.drop_after_pos', 'backbone.blocks.0', 'backbone.blocks.1']
    assert not any(needs_gradient[name] for name in frozen)
    assert all(needs_gradient[name] for name in ('backbone.blocks.2', 'backbone.blocks.3', 'backbone.bn', 'head'))


def test_whoever_calls_train_frozen_modules_stay_in_eval_mode():
    model = all_but(SmallNet(), 'backbone.blocks.0', 'backbone.blocks.1', 'head')
    model.eval()
    model.train()
    for module in model.modules():
        module.train()
    modes = {name: module.training for name, module in model.named_modules()}
    for name in ('backbone.patch_embed', 'backbone.blocks.2', 'backbone.blocks.2.drop', 'backbone.blocks.3.fc',
                 'backbone.bn', 'backbone.drop_after_pos', 'drop'):
        assert not modes[name], name
    for name in ('', 'backbone', 'backbone.blocks', 'backbone.blocks.0', 'backbone.blocks.1.drop', 'head'):
        assert modes[name], name
    model.eval()
    assert not any(module.training for module in model.modules())


def test_trained_blocks_have_their_dropout_and_frozen_ones_have_none():
    model = all_but(SmallNet(), 'backbone.blocks.0', 'backbone.blocks.1', 'head')
    x = torch.randn(5, WIDTH)
    same = [torch.equal(block(x), block(x)) for block in model.backbone.blocks]
    assert same == [False, False, True, True]


@pytest.mark.parametrize('also, runs', [([], False), (['backbone.patch_embed'], False), (['backbone.pos_embed'], True),
                                        (['backbone.drop_after_pos'], True)])
def test_dropout_between_parts_runs_if_named_or_beside_a_parameter_that_trains(also, runs):
    model = all_but(SmallNet(), 'backbone.blocks.0', 'backbone.blocks.1', *also)
    assert model.backbone.drop_after_pos.training == runs


def test_norms_that_train_alone_bring_no_dropout_with_them():
    model = all_but(SmallNet(), *(f'backbone.blocks.{index}.norm' for index in range(4)))
    block, x = model.backbone.blocks[0], torch.randn(5, WIDTH)
    assert block.norm.training and not block.drop.training and not block.fc.training
    assert torch.equal(block.drop(x), x)


def test_a_norm_without_parameters_keeps_its_statistics_too():
    model = SmallNet()
    model.backbone.bn = nn.BatchNorm1d(WIDTH, affine=False)
    all_but(model, 'backbone.blocks.3', 'head')(torch.randn(4, 4))
    assert not model.backbone.bn.running_mean.any()


def test_the_data_preprocessor_is_no_part_of_the_network():
    assert all_but(SmallNet(), 'backbone.blocks.0').data_preprocessor.training


def test_copies_stay_frozen_on_their_own():
    model = all_but(SmallNet(), 'backbone.blocks.0')
    twin = copy.deepcopy(model).train()
    assert [module.training for module in twin.modules()] == [module.training for module in model.modules()]
    assert twin.head.train() is twin.head
    restored = pickle.loads(pickle.dumps(model))
    assert trainable(restored) == trainable(model)
    restored.train()


def test_a_compiled_model_does_not_leave_eval_mode():
    model = all_but(SmallNet(num_blocks=2), 'backbone.blocks.0', 'head')
    compiled = torch.compile(model, backend='aot_eager')
    compiled.train()
    assert compiled.backbone.blocks[0].training and not compiled.backbone.blocks[1].training
    compiled(torch.randn(4, 4)).sum().backward()
    assert {name for name, parameter in model.named_parameters() if parameter.grad is not None} == trainable(model)


def test_a_parameter_that_two_parts_share_trains_if_either_does():
    model = SmallNet()
    model.head.weight = nn.Parameter(torch.randn(WIDTH, WIDTH))
    model.backbone.blocks[3].fc.weight = model.head.weight
    assert all_but(model, 'backbone.blocks.3').head.weight.requires_grad
    assert not model.head.bias.requires_grad


def test_undone_everything_is_as_it_was():
    model = SmallNet()
    model.head.bias.requires_grad_(False)
    before = trainable(model)
    frozen = freeze(model, lambda name: is_below(name, ['backbone.blocks.1']))
    assert trainable(model) == below(model, 'backbone.blocks.1.')
    frozen.undo()
    assert trainable(model) == before and all(module.training for module in model.modules())


def test_what_a_model_froze_in_itself_stays_frozen_when_others_undo_theirs():
    model = nn.ModuleDict(dict(
        backbone=LLMBackbone(dict(config=CONFIGS['gpt2'], arm='random'), img_size=8, patch_size=4, frozen_stages=1,
                             out_indices=2), head=nn.Linear(2, 2)))
    before = trainable(model)
    freeze(model, lambda name: is_below(name, ['head'])).undo()
    assert trainable(model) == before
    assert [block.training for block in model.backbone.blocks] == [False, True, True, False], 'frozen, and not used'
