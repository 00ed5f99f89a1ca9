"""Real runs of a small net: which checkpoints they go on from."""
from unittest.mock import MagicMock, patch

import pytest
import torch
from mmengine.runner import BaseLoop

from lbbt_mm.engine.hooks import checkpoint_fit_hook
from lbbt_mm.files.checkpoint_fit import CheckpointMisfit, left_out_in
from lbbt_mm.files.safe_checkpoints import load_checkpoint_safely
from tests.small_net import SmallNet, train, weights


def hook(**options):
    return dict(type='lbbt_mm.CheckpointFitHook', **options)


@pytest.fixture
def first(tmp_path):
    """A run of two epochs."""
    train(tmp_path / 'first', hook())
    return tmp_path / 'first' / 'epoch_2.pth'


def load(path):
    return load_checkpoint_safely(path)


def save(content, path):
    torch.save(content, path)
    return str(path)


def start_from(checkpoint, tmp_path, resume=False, fit=None, **options):
    return train(tmp_path / 'second', fit or hook(), epochs=3, resume=resume, load_from=str(checkpoint), **options)


def test_a_checkpoint_of_the_same_model_is_resumed_and_loaded(first, tmp_path):
    assert start_from(first, tmp_path, resume=True).epoch == 3
    start_from(first, tmp_path)


@pytest.mark.parametrize('resume', [True, False])
@pytest.mark.parametrize('model, message', [
    (SmallNet(num_blocks=5), r'it lacks backbone.blocks.4.norm.weight \(4 such tensors\)'),
    (SmallNet(num_blocks=3), r'this model has no backbone.blocks.3.norm.weight \(4 such tensors\)')])
def test_another_depth_is_refused_before_the_first_step(first, tmp_path, resume, model, message):
    with pytest.raises(CheckpointMisfit, match=f'{first}: does not fit this config: {message}'):
        start_from(first, tmp_path, resume, model=model)
    assert not list((tmp_path / 'second').glob('*.pth'))


@pytest.mark.parametrize('form', ['state_dict alone', 'from DistributedDataParallel', 'with _metadata'])
def test_forms_that_mmengine_loads_are_taken(first, tmp_path, form):
    state = load(first)['state_dict']
    content = {'state_dict alone': dict(state), 'from DistributedDataParallel': dict(
        state_dict={f'module.{name}': tensor for name, tensor in state.items()}), 'with _metadata': state}[form]
    seen = {}

    class Recorder(checkpoint_fit_hook.Hook):
        priority = 'LOWEST'

        def before_train(self, runner):
            seen.update(weights(runner.model))

    start_from(save(content, tmp_path / 'form.pth'), tmp_path, hooks=[Recorder()])
    assert all(torch.equal(seen[name], tensor) for name, tensor in state.items())


@pytest.mark.parametrize('content, message', [
    (dict(model=dict(a=torch.ones(1))), 'model is a dict; expected a tensor'),
    (dict(state_dict=[1]), 'its state_dict is a list; expected named tensors'),
    (dict(state_dict={}), 'it lacks backbone.pos_embed'), (dict(a=torch.ones(1)), 'it lacks backbone.pos_embed')])
def test_what_holds_no_weights_of_the_model(tmp_path, content, message):
    with pytest.raises(CheckpointMisfit, match=message):
        start_from(save(content, tmp_path / 'odd.pth'), tmp_path)


def test_parts_that_are_left_out_start_anew(first, tmp_path):
    state = load(first)
    state['state_dict']['head.weight'] = torch.ones(9, 6)
    path = save(state, tmp_path / 'nine.pth')
    with pytest.raises(CheckpointMisfit, match=r'head.weight has shape \(9, 6\) there and \(3, 6\) in this model. Give a '
                                               r'checkpoint of this model, or say .*: --leave-out head\.'):
        start_from(path, tmp_path)
    start_from(path, tmp_path, fit=hook(leave_out=['head']))
    start_from(path, tmp_path, fit=hook(leave_out='head'))
    for name in ('hea', 'head.weigh', 'weight'):
        with pytest.raises(CheckpointMisfit, match=f'--leave-out {name}: neither the checkpoint nor the model has a part'):
            start_from(path, tmp_path, fit=hook(leave_out=[name]))
    with pytest.raises(CheckpointMisfit, match='a resumed run takes all of its checkpoint, and head is to be left out'):
        start_from(first, tmp_path, resume=True, fit=hook(leave_out=['head']))


def test_a_part_that_fits_starts_anew_too_if_it_is_left_out(first, tmp_path):
    """The head of random labels fits one of as many true classes."""
    found = []

    class Recorder(checkpoint_fit_hook.Hook):

        def before_train(self, runner):
            found.append(runner.model.head.weight.detach().clone())

    start_from(first, tmp_path, fit=hook(leave_out=['head']), hooks=[Recorder()])
    start_from(first, tmp_path, hooks=[Recorder()])
    trained_head = load(first)['state_dict']['head.weight']
    assert not torch.equal(found[0], trained_head) and torch.equal(found[1], trained_head)


def test_a_checkpoint_says_what_its_training_left_out(first, tmp_path):
    """After a resumption too, and of two hooks, one of the config and the tool's own."""
    def said(run):
        return left_out_in(load(tmp_path / run / 'epoch_3.pth'))

    assert left_out_in(load(first)) == []
    start_from(first, tmp_path, fit=hook(leave_out=['head']), hooks=[hook(leave_out=['head', 'backbone.pos_embed'])])
    assert said('second') == ['head', 'backbone.pos_embed']
    train(tmp_path / 'third', hook(), epochs=4, resume=True, load_from=str(tmp_path / 'second' / 'epoch_3.pth'))
    assert left_out_in(load(tmp_path / 'third' / 'epoch_4.pth')) == ['head', 'backbone.pos_embed']
    start_from(first, tmp_path)
    assert said('second') == []


@pytest.mark.parametrize('meta', [None, 3, dict(lbbt_mm_left_out='head'), dict(lbbt_mm_left_out=[3])])
def test_a_checkpoint_from_elsewhere_says_nothing_of_it(meta):
    assert left_out_in(dict(meta=meta)) == left_out_in({}) == []


def test_weights_of_an_ema_model(tmp_path):
    ema = dict(type='EMAHook')
    train(tmp_path / 'first', hook(), hooks=[ema])
    start_from(tmp_path / 'first' / 'epoch_2.pth', tmp_path, resume=True, hooks=[ema])
    start_from(tmp_path / 'first' / 'epoch_2.pth', tmp_path, hooks=[ema])


def test_a_frozen_part_has_no_optimizer_state_and_fits(tmp_path):
    freeze = dict(type='lbbt_mm.PartialFreezeHook', trainable='first:1', also=['head'])
    train(tmp_path / 'first', hook(), hooks=[freeze])
    start_from(tmp_path / 'first' / 'epoch_2.pth', tmp_path, resume=True, hooks=[freeze])


def test_state_that_starts_anew_is_said(first, tmp_path):
    state = load(first)
    del state['optimizer']['state'][0]
    with patch('logging.Logger.warning') as said:
        start_from(save(state, tmp_path / 'without.pth'), tmp_path, resume=True)
    assert any('holds no optimizer state of ' in str(call.args[0]) for call in said.call_args_list)


@pytest.mark.parametrize('missing', ['optimizer', 'message_hub'])
def test_a_checkpoint_without_training_state_is_no_run(first, tmp_path, missing):
    state = load(first)
    del state[missing]
    with pytest.raises(CheckpointMisfit, match=f'holds no {missing}, so no run can be resumed from it'):
        start_from(save(state, tmp_path / 'part.pth'), tmp_path, resume=True)


def test_another_number_of_ranks_is_another_batch(first, tmp_path):
    state = load(first)
    assert state['meta'][checkpoint_fit_hook.WORLD_SIZE_KEY] == 1
    state['meta'][checkpoint_fit_hook.WORLD_SIZE_KEY] = 8
    path = save(state, tmp_path / 'eight.pth')
    with pytest.raises(CheckpointMisfit, match='was trained on 8 ranks, and this run has 1'):
        start_from(path, tmp_path, resume=True)
    start_from(path, tmp_path, resume=True, fit=hook(allow_change=['world_size']))


@pytest.mark.parametrize('saved', [None, [], 3])
def test_a_checkpoint_without_its_schedules_would_start_them_over(tmp_path, saved):
    schedule = dict(param_scheduler=dict(type='MultiStepLR', milestones=[1], gamma=0.1))
    train(tmp_path / 'first', hook(), **schedule)
    state = load(tmp_path / 'first' / 'epoch_2.pth')
    start_from(tmp_path / 'first' / 'epoch_2.pth', tmp_path, resume=True, **schedule)
    state['param_schedulers'] = saved
    with pytest.raises(CheckpointMisfit, match='holds the state of 0 schedules, and this run has 1, so learning'):
        start_from(save(state, tmp_path / 'none.pth'), tmp_path, resume=True, **schedule)


def test_two_tensors_for_one_place(first, tmp_path):
    state = load(first)
    state['state_dict']['module.head.weight'] = state['state_dict']['head.weight'] + 1
    with pytest.raises(CheckpointMisfit, match='holds module.head.weight and head.weight, which would go into one tensor'):
        start_from(save(state, tmp_path / 'two.pth'), tmp_path)


@pytest.mark.parametrize('tested, refused', [('cba', True), ('ab', True), ('xyz', False), ('abc', False)])
def test_a_test_set_whose_classes_are_in_another_order(first, tmp_path, tested, refused, monkeypatch):
    """A label is a place in the list of the training."""
    runner = start_from(first, tmp_path)
    content = load(first)
    assert content['meta']['dataset_meta']['classes'] == tuple('abc')
    dataset = MagicMock(metainfo=dict(classes=tuple(tested)))
    loop = MagicMock(spec=BaseLoop, dataloader=MagicMock(dataset=dataset))
    said = MagicMock()
    tester = MagicMock(_train_loop={}, _test_loop=loop, _val_loop=None, _resume=False, model=runner.model, logger=said,
                       _load_from=str(first))
    if refused:
        with pytest.raises(CheckpointMisfit, match="was trained with the classes 'a', 'b', 'c', and is tested with"):
            checkpoint_fit_hook.CheckpointFitHook().after_load_checkpoint(tester, content)
    else:
        checkpoint_fit_hook.CheckpointFitHook().after_load_checkpoint(tester, content)
        assert said.warning.called == (tested == 'xyz')


@pytest.mark.parametrize('change, message', [
    (dict(epoch=-5), 'of epoch -5, iteration 4, where this run, of 3 epochs, 6 iterations, never is'),
    (dict(epoch=10**6), 'of epoch 1000000'), (dict(epoch=True), 'holds no epoch'), (dict(iter=1.5), 'holds no iter'),
    (dict(iter=-1), 'iteration -1'), (dict(iter=0), 'of epoch 2, iteration 0'), (dict(epoch=0), 'of epoch 0, iteration 4')])
def test_a_place_where_no_run_is(first, tmp_path, change, message):
    state = load(first)
    state['meta'].update(change)
    with pytest.raises(CheckpointMisfit, match=message):
        start_from(save(state, tmp_path / 'odd.pth'), tmp_path, resume=True)


def test_where_data_may_have_changed_epoch_and_iteration_need_not_fit(first, tmp_path):
    fit = hook(allow_change=['train_dataloader'])
    assert start_from(first, tmp_path, resume=True, fit=fit, batch_size=2).epoch == 3


@pytest.mark.parametrize('hub, message', [
    ({}, 'message_hub.log_scalars and no message_hub.runtime_info and no message_hub.resumed_keys'),
    (dict(log_scalars={}, runtime_info=[1], resumed_keys={}), 'holds no message_hub.runtime_info, so'),
    ([], 'holds no message_hub.log_scalars')])
def test_records_of_a_run_that_are_none(first, tmp_path, hub, message):
    with pytest.raises(CheckpointMisfit, match=message):
        start_from(save(dict(load(first), message_hub=hub), tmp_path / 'odd.pth'), tmp_path, resume=True)


@pytest.mark.parametrize('resume', [True, False])
def test_weights_that_are_no_numbers(first, tmp_path, resume):
    state = load(first)
    state['state_dict']['head.weight'][0] = float('nan')
    with pytest.raises(CheckpointMisfit, match='head.weight holds NaN or infinity'):
        start_from(save(state, tmp_path / 'nan.pth'), tmp_path, resume)


def test_averaged_weights_that_are_no_numbers(tmp_path):
    ema = dict(type='EMAHook')
    train(tmp_path / 'first', hook(), hooks=[ema])
    state = load(tmp_path / 'first' / 'epoch_2.pth')
    state['state_dict']['head.weight'][0] = float('nan')  # where EMAHook keeps the averages
    with pytest.raises(CheckpointMisfit, match='head.weight of its averaged weights holds NaN'):
        start_from(save(state, tmp_path / 'nan.pth'), tmp_path, resume=True, hooks=[ema])


def test_another_function_is_refused_unless_it_is_let_through(first, tmp_path, monkeypatch):
    changes = {f'model.a.{i}': f'{i} is odd' for i in range(7)}
    monkeypatch.setattr(checkpoint_fit_hook, 'changed_function', lambda *args: changes)
    with pytest.raises(CheckpointMisfit, match=r'of another function: 0 is odd; .*4 is odd and 2 more\. Give the config '
                                               r'of that run .*--allow-change model.a.0 .* model.a.4\.'):
        start_from(first, tmp_path)
    start_from(first, tmp_path, fit=hook(allow_change=['model.a']))
    start_from(first, tmp_path, resume=True)
