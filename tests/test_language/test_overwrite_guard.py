import copy

import pytest
import torch
from mmengine.model import ExponentialMovingAverage
from mmengine.runner import load_checkpoint, save_checkpoint
from torch import nn

from lbbt_mm.language.overwrite_guard import OverwriteGuard
from tests.vision_stack import Parent, VisionStack

OVERWRITTEN = (r"'blocks\.\d\.[\w.]+' no longer holds the language weights that LanguageInit copied \(\d+ of 24 "
               r'tensors changed\): a later initialisation step overwrote them. Remove that step')
SAID = 'loads a checkpoint: the blocks start from it, and language.arm has no part in them.'
X = torch.zeros(1, 3, 32)


@pytest.fixture
def language(folders):
    return dict(checkpoint=str(folders['gpt2']), blocks='0:2')


@pytest.fixture
def stack(language):
    model = VisionStack(language)
    model.init_weights()
    return model.train()


def overwrite(model):
    nn.init.xavier_uniform_(model.blocks[1].attn.qkv.weight)


@pytest.mark.parametrize('change', [
    lambda weight: weight.flatten()[torch.randperm(weight.numel())].view_as(weight), lambda weight: weight.flip(0),
    lambda weight: weight.roll(1, 1)])
def test_values_that_change_places_are_a_change(stack, change):
    with torch.no_grad():
        weight = stack.blocks[0].mlp.fc2.weight
        weight.copy_(change(weight))
    with pytest.raises(RuntimeError, match=OVERWRITTEN):
        stack(X)


def test_a_swap_beyond_one_piece_is_noticed():
    tensor = torch.arange(3 << 20, dtype=torch.float32)
    guard = OverwriteGuard(dict(x=tensor))
    tensor[[0, 2 << 20]] = tensor[[2 << 20, 0]]
    assert OverwriteGuard(dict(x=tensor))._prints != guard._prints


def test_untouched_weights_train(stack):
    for _ in range(2):
        stack(X)


def test_parent_that_overwrites_is_caught_at_the_first_training_forward(language):
    model = Parent(VisionStack(language), overwrites=True).train()
    model.init_weights()
    with pytest.raises(RuntimeError, match=OVERWRITTEN):
        model(X)


def test_parent_that_leaves_them_alone_trains(language):
    model = Parent(VisionStack(language)).train()
    model.init_weights()
    model(X)


def test_number_of_changed_tensors_is_given(stack):
    overwrite(stack)
    with pytest.raises(RuntimeError, match=r"'blocks.1.attn.qkv.weight' .*\(1 of 24 tensors changed\)"):
        stack(X)


def test_evaluation_leaves_the_check_pending(stack):
    overwrite(stack)
    with torch.no_grad():
        stack.eval()(X)
    with pytest.raises(RuntimeError, match=OVERWRITTEN):
        stack.train()(X)


def test_check_happens_once(stack):
    stack(X)
    overwrite(stack)  # from now on an optimizer changes them
    stack(X)


def test_training_steps_are_not_taken_for_overwriting(stack):
    optimizer = torch.optim.SGD(stack.parameters(), lr=0.1)
    for _ in range(3):
        stack(torch.randn(1, 3, 32)).square().sum().backward()
        optimizer.step()


def test_load_state_dict_in_between_cancels_the_check(stack):
    state = {name: torch.randn_like(tensor) for name, tensor in stack.state_dict().items()}
    stack.load_state_dict(state)
    stack(X)


def test_loading_a_checkpoint_into_a_parent_cancels_the_check(language, tmp_path):
    trained = Parent(VisionStack(language))
    save_checkpoint(dict(state_dict=trained.state_dict()), str(tmp_path / 'epoch_1.pth'))
    model = Parent(VisionStack(language)).train()
    model.init_weights()
    load_checkpoint(model, str(tmp_path / 'epoch_1.pth'))
    model(X)
    assert torch.equal(model.backbone.blocks[0].attn.qkv.weight, trained.backbone.blocks[0].attn.qkv.weight)


def test_loading_a_checkpoint_into_a_part_of_the_blocks_cancels_the_check(stack):
    block = stack.blocks[0]
    block.load_state_dict({name: torch.randn_like(tensor) for name, tensor in block.state_dict().items()})
    stack(X)


def test_what_was_not_loaded_is_watched_still(stack):
    block = stack.blocks[0]
    block.load_state_dict({name: torch.randn_like(tensor) for name, tensor in block.state_dict().items()})
    overwrite(stack)
    with pytest.raises(RuntimeError, match=r"'blocks\.1\.[\w.]+' no longer holds"):
        stack(X)


def parent_that_loads(language, path, state):
    """A parent whose own step loads a state dict, which comes behind the initialisation of its children."""
    torch.save(state, path)
    model = Parent(VisionStack(language)).train()
    model.init_cfg = dict(type='Pretrained', checkpoint=str(path))
    model.init_weights()
    return model


@pytest.mark.parametrize('of_parent', [True, False])
def test_pretrained_step_that_loads_the_blocks_wins_and_the_log_says_so(of_parent, language, tmp_path, log):
    other, path = Parent(VisionStack(language)), tmp_path / 'other.pth'
    if of_parent:
        stack = parent_that_loads(language, path, other.state_dict()).backbone
    else:
        torch.save(other.backbone.state_dict(), path)
        stack = VisionStack(language, init_cfg=[dict(type='Pretrained', checkpoint=str(path))]).train()
        stack.init_weights()
    stack(X)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(stack.parameters(), other.parameters()))
    assert sum(line.endswith(SAID) for line in log) == 1


@pytest.mark.parametrize('shape', [None, (3, 3)], ids=['another part', 'another shape'])
def test_pretrained_step_that_does_not_load_the_blocks_leaves_the_copy_and_the_check(shape, language, stack, tmp_path, log):
    state = {'head.weight': torch.ones(2)} if shape is None else {'backbone.blocks.1.attn.qkv.weight': torch.ones(shape)}
    model = parent_that_loads(language, tmp_path / 'other.pth', state)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(model.parameters(), stack.parameters()))
    assert not any(line.endswith(SAID) for line in log)
    overwrite(model.backbone)
    with pytest.raises(RuntimeError, match=OVERWRITTEN):
        model(X)


def test_later_step_of_the_same_init_cfg_is_caught(language):
    model = VisionStack(language, init_cfg=[dict(type='Xavier', layer='Linear', distribution='uniform')]).train()
    model.init_weights()
    with pytest.raises(RuntimeError, match=OVERWRITTEN):
        model(X)


def test_step_that_sets_what_is_there_already_is_no_overwriting(language):
    ones_and_zeros = dict(type='Constant', layer='LayerNorm', val=1., bias=0.)
    model = VisionStack(dict(language, arm='random'), init_cfg=[ones_and_zeros])
    model.init_weights()
    model.train()(X)


def test_host_arm_has_nothing_to_guard(language):
    model = VisionStack(dict(language, arm='host')).train()
    model.init_weights()
    overwrite(model)
    model(X)


def test_second_initialisation_replaces_the_first_check(stack, language):
    overwrite(stack)
    fresh = VisionStack(language)
    fresh.init_weights()
    with torch.no_grad():
        for parameter, other in zip(stack.parameters(), fresh.parameters()):
            parameter.copy_(other)
    OverwriteGuard.attach(stack, dict(stack.named_parameters()))
    stack(X)
    assert not stack._forward_pre_hooks


def test_cast_to_another_dtype_is_no_overwriting(stack):
    stack.to(torch.bfloat16)(X.bfloat16())


def test_copies_of_the_module_are_not_watched_and_the_original_stays_so(stack):
    clone = copy.deepcopy(stack)
    overwrite(clone)
    clone(X)
    overwrite(stack)
    with pytest.raises(RuntimeError, match=OVERWRITTEN):
        stack(X)


def test_ema_of_mmengine_works_beside_it(stack):
    average = ExponentialMovingAverage(stack)
    stack(X)
    average.update_parameters(stack)
    assert torch.equal(average.module.blocks[0].attn.qkv.weight, stack.blocks[0].attn.qkv.weight)


def test_watched_model_can_be_saved_whole(stack, tmp_path):
    torch.save(stack, tmp_path / 'model.pth')
    loaded = torch.load(tmp_path / 'model.pth', weights_only=False)
    assert torch.equal(loaded(X), stack(X))


@pytest.mark.parametrize('dtype', [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_one_changed_entry_is_noticed_in_every_dtype(dtype):
    module = nn.Linear(64, 64).to(dtype)
    OverwriteGuard.attach(module, dict(module.named_parameters()))
    with torch.no_grad():
        module.weight[5, 7] = -module.weight[5, 7]
    with pytest.raises(RuntimeError, match="'weight' no longer holds.*1 of 2"):
        module(torch.zeros(1, 64, dtype=dtype))


def test_a_parent_s_checkpoint_of_some_of_the_tensors_is_said_to_be_that(language, tmp_path, log):
    name = 'backbone.blocks.0.attn.qkv.weight'
    state = {name: torch.randn_like(Parent(VisionStack(language)).state_dict()[name])}
    model = parent_that_loads(language, tmp_path / 'part.pth', state)
    assert torch.equal(model.state_dict()[name], state[name])
    assert sum("loads 1 of the 24 tensors that were copied, such as 'blocks.0.attn.qkv.weight'" in line for line in log) == 1
    assert not any(line.endswith(SAID) for line in log)
    overwrite(model.backbone)
    with pytest.raises(RuntimeError, match='no longer holds'):
        model(X)
