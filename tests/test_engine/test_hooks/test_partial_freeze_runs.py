"""PartialFreezeHook in whole runs: EMA, mixed precision, compilation, unfreezing, resuming, two ranks."""
import json
from functools import partial
from unittest.mock import MagicMock

import pytest
import torch
from mmengine.config import Config
from mmengine.optim.optimizer import amp_optimizer_wrapper
from mmengine.runner import Runner

from lbbt_mm.engine.hooks import PartialFreezeHook
from lbbt_mm.files.checkpoint_schemes import SafeLoaders
from lbbt_mm.files.safe_checkpoints import load_checkpoint_safely
from tests.closeness import assert_close, size_of
from tests.small_net import SmallNet, below, changed, loader, state_of, train, trainable, weights
from tests.tool_processes import run_ranks, run_tool

SGD = dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=0.1))


def test_ema_averages_what_trains_and_keeps_the_rest(tmp_path):
    model = SmallNet()
    before = weights(model)
    runner = train(tmp_path, PartialFreezeHook(trainable='first:1', also=(), unfreeze_epoch=2), model, epochs=3,
                   hooks=[dict(type='EMAHook', momentum=0.5)])
    ema = torch.load(tmp_path / 'epoch_2.pth', weights_only=False)['state_dict']
    assert {name for name in changed(before, ema) if 'bn' not in name} == below(model, 'backbone.blocks.0.')
    assert runner.model is model and trainable(model) == below(model, '')


@pytest.mark.parametrize('wrapper', ['lbbt_mm.AutocastOptimWrapper', 'AmpOptimWrapper'])
def test_mixed_precision_and_gradient_accumulation(wrapper, tmp_path, monkeypatch):
    if not torch.cuda.is_available():  # mmengine's wrapper refuses CPUs, which torch's scaler does not
        monkeypatch.setattr(amp_optimizer_wrapper, 'is_cuda_available', lambda: True)
        monkeypatch.setattr(amp_optimizer_wrapper, 'GradScaler', partial(torch.amp.GradScaler, device='cpu'))
    model = SmallNet()
    before = weights(model)
    runner = train(tmp_path, PartialFreezeHook(trainable='first:2', also=()), model, epochs=4, batch_size=2,
                   optim_wrapper=dict(type=wrapper, accumulative_counts=2, optimizer=dict(type='AdamW', lr=1e-2)))
    expected = below(model, 'backbone.blocks.0.', 'backbone.blocks.1.')
    assert changed(before, weights(model)) == expected == state_of(runner)


@pytest.mark.slow
def test_a_compiled_train_step_follows_the_unfreezing(tmp_path):
    moved = []
    for compile_ in (None, dict(backend='aot_eager')):
        torch.manual_seed(0)
        model = SmallNet(num_blocks=2, drop=0.)
        train(tmp_path / str(bool(compile_)), PartialFreezeHook(trainable='first:1', also=(), unfreeze_epoch=1), model,
              optim_wrapper=SGD, cfg=Config(dict(compile=compile_)))
        moved.append(weights(model))
        assert trainable(model) == below(model, '')
    for name, ours in moved[0].items():
        # the gradient of a bias before batch norm is rounding and nothing else
        assert_close(ours, moved[1][name], depth=2, size=size_of(*moved[0].values()), msg=name)


def test_a_run_that_only_tests_is_left_alone(tmp_path):
    model = SmallNet()
    runner = Runner(
        model=model, work_dir=str(tmp_path), custom_hooks=[PartialFreezeHook(trainable='none', also=())], log_level='ERROR',
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)), train_cfg=dict(by_epoch=True, max_epochs=1),
        train_dataloader=loader(), experiment_name='freeze_test', **a_test_loop())
    runner.test()
    assert trainable(model) == below(model, '')


def test_a_test_after_the_training_changes_nothing(tmp_path):
    hook = PartialFreezeHook(trainable='first:1', also=(), unfreeze_epoch=1)
    runner = train(tmp_path, hook, **a_test_loop())
    runner.test()
    assert trainable(runner.model) == below(runner.model, '')


def a_test_loop() -> dict:
    """A test loop, for the hooks that it calls."""
    return dict(test_dataloader=loader(), test_cfg=dict(), test_evaluator=MagicMock(evaluate=lambda size: {}))


# ------------------------------------------------------------- unfreezing and resuming


def test_from_the_unfreeze_epoch_on_everything_trains_in_the_optimizer_too(tmp_path):
    model = SmallNet()
    before = weights(model)
    runner = train(tmp_path, PartialFreezeHook(trainable='first:1', also=(), unfreeze_epoch=2), model, epochs=3)
    epochs = [load_checkpoint_safely(tmp_path / f'epoch_{epoch}.pth') for epoch in (1, 2, 3)]
    blocks = below(model, 'backbone.blocks.0.')
    assert [len(epoch['optimizer']['state']) for epoch in epochs] == [4, 4, len(below(model, ''))]
    assert changed(before, epochs[1]['state_dict']) == blocks, 'epochs 0 and 1 are partial'
    assert changed(epochs[1]['state_dict'], weights(model)) >= below(model, '')
    assert state_of(runner) == trainable(model) == below(model, '')
    assert all(module.training for module in model.modules()) and model.backbone.bn.num_batches_tracked == 2


@pytest.mark.parametrize('stopped_after', [1, 2, 3])
def test_a_resumed_run_ends_as_the_one_that_was_not_stopped(stopped_after, tmp_path):
    """Stopped in the partial epochs, just before unfreezing, and after it."""
    hook = dict(type='lbbt_mm.PartialFreezeHook', trainable='last:1', also=['head'], unfreeze_epoch=2)
    whole = train(tmp_path / 'whole', hook, epochs=4)
    folder = tmp_path / 'whole'
    for epoch in range(stopped_after + 1, 5):
        (folder / f'epoch_{epoch}.pth').unlink()
    (folder / 'last_checkpoint').write_text(str(folder / f'epoch_{stopped_after}.pth'))
    SafeLoaders(trust=False).register()
    resumed = train(folder, hook, model=SmallNet(), epochs=4, resume=True)
    assert resumed.epoch == 4
    assert not changed(weights(whole.model), weights(resumed.model))
    assert state_of(resumed) == below(resumed.model, '')


def test_a_run_resumed_from_one_that_was_not_partial_drops_the_state_of_what_is_frozen(tmp_path):
    train(tmp_path, None, epochs=1)
    SafeLoaders(trust=False).register()
    resumed = train(tmp_path, PartialFreezeHook(trainable='first:1', also=()), epochs=2, resume=True)
    assert resumed.epoch == 2 and state_of(resumed) == below(resumed.model, 'backbone.blocks.0.')


# ------------------------------------------------------------- two ranks


@pytest.fixture(scope='module')
def write_config(tmp_path_factory):
    """Writes a config of three epochs that unfreezes after two, for a number of ranks whose batches make four samples."""

    def write(ranks: int, **options):
        path = tmp_path_factory.mktemp('ranks') / 'run.py'
        freeze = dict(type='lbbt_mm.PartialFreezeHook', trainable='last:1', also=['head'], unfreeze_epoch=2)
        Config(dict(
            custom_imports=dict(imports=['tests.small_net']),
            model=dict(type='SmallNet', drop=0., batch_norm=False),  # what else would tell two ranks from one
            train_dataloader=loader(4 // ranks),
            train_cfg=dict(by_epoch=True, max_epochs=3),
            optim_wrapper=SGD,
            custom_hooks=[freeze, dict(type='ExchangeRecordingHook')],
            randomness=dict(seed=0),
            **options)).dump(path)
        return path

    return write


@pytest.fixture(scope='module')
def one(write_config):
    """Work directory of the run in one process."""
    path = write_config(1)
    returncode, output = run_tool('train.py', path, '--work-dir', path.parent / 'work')
    assert returncode == 0, output
    return path.parent / 'work'


@pytest.fixture(scope='module', params=['plain', pytest.param('compiled', marks=pytest.mark.slow)])
def two(request, write_config):
    """Work directory of the run on two gloo ranks."""
    path = write_config(2, **(dict(compile=dict(backend='eager')) if request.param == 'compiled' else {}))
    returncode, output = run_ranks('train.py', 2, path, '--work-dir', path.parent / 'work')
    assert returncode == 0, output
    return path.parent / 'work'


def test_two_ranks_train_as_one_does_and_exchange_only_what_trains(one, two):
    """Without find_unused_parameters: the wrapper would wait for gradients that never come."""
    first, ours, theirs = (load_checkpoint_safely(path)['state_dict']
                           for path in (one / 'epoch_1.pth', one / 'epoch_3.pth', two / 'epoch_3.pth'))
    for name, tensor in ours.items():
        assert_close(tensor, theirs[name], depth=4, size=size_of(*ours.values()), msg=name)
    assert changed(first, ours) == set(ours), 'all of it trained in the end'
    records = [json.loads((two / f'rank{rank}.json').read_text()) for rank in range(2)]
    assert records[0] == records[1], 'ranks have the same weights'
    model = SmallNet(batch_norm=False)
    count = {name: parameter.numel() for name, parameter in model.named_parameters()}
    partial = sum(count[name] for name in below(model, 'backbone.blocks.3.', 'head.'))
    assert records[0]['exchanged'] == [partial] * 4 + [sum(count.values())] * 2
