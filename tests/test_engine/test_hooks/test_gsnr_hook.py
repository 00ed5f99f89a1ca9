"""GSNRHook: the ratio of the training's own gradients is in table and records, and training is as it was without it."""
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.runner import Runner

from lbbt_mm.errors import UserError
from lbbt_mm.files.gsnr_table import read_gsnr, write_gsnr
from lbbt_mm.files.run_records import read_records
from tests.image_folders import write_image_folder
from tests.small_net import SmallNet, loader, train, weights
from tests.tiny_rectified import VIT, run_config
from tests.tool_processes import run_ranks, run_tool

HOOK = dict(type='lbbt_mm.GSNRHook', num_batches=2, module='backbone.blocks')
STILL = dict(optimizer=dict(type='SGD', lr=0.))


class BatchRecorder(Hook):
    """Keeps the batches of a training."""

    def __init__(self):
        self.batches = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.batches.append(data_batch)


def net(drop=0., **options):
    torch.manual_seed(0)
    return SmallNet(drop=drop, batch_norm=False, **options)


@pytest.fixture
def warned(monkeypatch):
    """What runs warn of."""
    messages = []
    monkeypatch.setattr(MMLogger, 'warning', lambda self, message, *args: messages.append(message))
    return messages


def table(work_dir):
    return read_gsnr(work_dir / 'gsnr.csv')


def by_equations(model, batches, block):
    """Eqs. 2 and 3 of a block, from a loop over the samples."""
    parameters, terms = list(model.backbone.blocks[block].parameters()), []
    for batch in batches:
        grads = [torch.autograd.grad(model(batch['x'][i:i + 1], batch['y'][i:i + 1], mode='loss')['loss'], parameters)
                 for i in range(len(batch['x']))]
        samples = torch.stack([torch.cat([grad.flatten() for grad in one]) for one in grads]).double()
        mean = samples.mean(0)
        terms.append((mean.square() / (samples.square().mean(0) - mean.square())).mean().item())
    return sum(terms) / len(terms)


@pytest.mark.parametrize('num_batches, measured', ((2, (0, 1)), (1, (0, ))))
def test_the_table_has_what_the_equations_give_for_the_batches_of_the_training(num_batches, measured, tmp_path):
    recorder, model = BatchRecorder(), net()
    train(tmp_path, dict(HOOK, num_batches=num_batches), model, epochs=2, optim_wrapper=STILL, hooks=[recorder])
    rows = table(tmp_path)
    assert [(row.epoch, row.block) for row in rows] == [(epoch, block) for epoch in (1, 2) for block in range(4)]
    for row in rows:
        batches = [recorder.batches[2 * (row.epoch - 1) + place] for place in measured]
        assert row.gsnr == pytest.approx(by_equations(model, batches, row.block), rel=1e-3)
        assert row[3:] == (1., pytest.approx(row.gsnr - 1), pytest.approx(4 * row.gsnr), 12 + 42, 0., 4, num_batches)


@pytest.mark.parametrize('drop', (0., 0.5))
def test_training_ends_with_the_same_weights_bit_for_bit(drop, tmp_path, monkeypatch):
    """Also without seeds for each step, and where each sample gets a pass of its own."""
    ends = {}
    for name, hook in (('without', None), ('with', HOOK), ('others', HOOK)):
        if name == 'others':
            monkeypatch.setattr('lbbt_mm.engine.hooks.gsnr_hook.check', lambda gradients, *args: [
                owner.methods.clear() for owner in gradients.owners])
        monkeypatch.setattr('lbbt_mm.engine.hooks.SeedingHook.before_train_iter', lambda *args, **kwargs: None)
        ends[name] = train(tmp_path / name, hook, net(drop)).model
    for name in ('with', 'others'):
        for key, value in weights(ends['without']).items():
            assert torch.equal(value, weights(ends[name])[key]), (name, key)
    rows, others = table(tmp_path / 'with'), table(tmp_path / 'others')
    assert len(rows) == len(others) == 8
    if not drop:
        assert [row.gsnr for row in others] == pytest.approx([row.gsnr for row in rows], rel=1e-3)
    assert not any(module._forward_hooks for module in ends['with'].modules())


def test_buffers_that_a_forward_pass_changes_are_those_of_the_training(tmp_path):
    model = net()
    model.register_buffer('passes', torch.zeros(1))
    model.register_forward_pre_hook(lambda module, args: [module.passes.add_(1)] * 0 or None)
    train(tmp_path, HOOK, model)
    assert model.passes == 4, 'one a training step, not those of the check'


def test_values_are_in_the_records_of_the_epoch(tmp_path):
    train(tmp_path, HOOK, net(), default_hooks=dict(logger=dict(type='LoggerHook', interval=1)))
    rows, records = table(tmp_path), read_records(tmp_path)['train']
    for epoch in (1, 2):
        record, = [record for record in records if record['epoch'] == epoch and record['iter'] == 2 * epoch]
        blocks = [row for row in rows if row.epoch == epoch]
        assert [record[f'gsnr/block{row.block}'] for row in blocks] == [pytest.approx(row.gsnr) for row in blocks]
        mean = sum(row.gsnr for row in blocks) / 4
        assert record['gsnr/mean'] == pytest.approx(mean) and record['gsnr/floor'] == 1
        assert record['gsnr/corrected'] == pytest.approx(mean - 1)


def test_every_other_epoch(tmp_path):
    train(tmp_path, dict(HOOK, interval=2), net(), epochs=4)
    assert sorted({row.epoch for row in table(tmp_path)}) == [1, 3]


def test_a_resumed_run_goes_on_with_the_table(tmp_path):
    whole = train(tmp_path / 'whole', HOOK, net(0.5), epochs=3)
    train(tmp_path / 'resumed', HOOK, net(0.5), epochs=3)
    folder = tmp_path / 'resumed'
    (folder / 'last_checkpoint').write_text(str(folder / 'epoch_1.pth'))
    rows = table(folder)
    write_gsnr(folder / 'gsnr.csv', [row if row.epoch == 1 else row._replace(gsnr=7.) for row in rows])
    train(folder, HOOK, net(0.5), epochs=3, resume=True)
    assert table(folder) == table(tmp_path / 'whole') and whole.epoch == 3, 'epochs 2 and 3 were trained again'
    train(folder, HOOK, net(0.5), epochs=1)
    assert {row.epoch for row in table(folder)} == {1}, 'a run that begins anew has its own'


def test_a_table_of_something_else_is_refused_when_a_run_is_resumed(tmp_path):
    train(tmp_path, HOOK, net(), epochs=1)
    (tmp_path / 'gsnr.csv').write_text('a,b\n1,2\n')
    with pytest.raises(ValueError, match="csv: its first line is 'a,b'; expected a table of epoch, block, .* Move the file"):
        train(tmp_path, HOOK, net(), resume=True)


def test_a_smaller_batch_is_left_out(tmp_path, warned):
    train(tmp_path, HOOK, net(), epochs=1, batch_size=5)
    assert [(row.batch_size, row.batches, row.floor) for row in table(tmp_path)] == 4 * [(5, 1, 0.5)]
    assert 'GSNRHook: a batch of 3 is left out, since the others have 5: their floors differ.' in warned


def test_parameters_that_take_no_gradient_are_not_in_it(tmp_path):
    model = net()
    model.backbone.blocks[1].requires_grad_(False)
    model.backbone.blocks[2].fc.requires_grad_(False)
    train(tmp_path, HOOK, model, epochs=1)
    assert [(row.block, row.parameters) for row in table(tmp_path)] == [(0, 54), (2, 12), (3, 54)]


def test_parameters_that_begin_to_train_are_measured_from_then_on(tmp_path):
    freeze = dict(type='lbbt_mm.PartialFreezeHook', trainable='last:1', also=['head'], unfreeze_epoch=1)
    train(tmp_path, HOOK, net(), hooks=[freeze])
    assert [(row.epoch, row.block) for row in table(tmp_path)] == [(1, 3)] + [(2, block) for block in range(4)]


def test_under_autocast_the_gradients_are_those_of_the_training(tmp_path):
    """Of bfloat16's three digits, so near those of float32, and not the same."""
    rows = {}
    for wrapper in ('OptimWrapper', 'lbbt_mm.AutocastOptimWrapper'):
        train(tmp_path / wrapper, HOOK, net(), epochs=1, optim_wrapper=dict(type=wrapper, **STILL))
        rows[wrapper] = [row.gsnr for row in table(tmp_path / wrapper)]
    assert rows['OptimWrapper'] != rows['lbbt_mm.AutocastOptimWrapper']
    assert rows['lbbt_mm.AutocastOptimWrapper'] == pytest.approx(rows['OptimWrapper'], rel=0.3)


def test_parameters_that_need_a_pass_for_each_sample_are_named(tmp_path, warned):
    model = net()
    block = model.backbone.blocks[0]
    block.drop.forward = lambda x: x * block.fc.weight.sum()
    train(tmp_path, HOOK, model, epochs=1)
    message, = [line for line in warned if line.startswith('GSNRHook: ')]
    assert 'backbone.blocks.0.fc.weight and 1 more parameters are not used as one call' in message


def test_a_network_whose_head_starts_at_zero_is_checked_when_it_has_gradients(tmp_path, warned):
    for batch_norm in (False, True):
        model = SmallNet(drop=0., batch_norm=batch_norm)
        torch.nn.init.zeros_(model.head.weight)
        if batch_norm:
            with pytest.raises(ValueError, match='backbone.bn normalises over the batch'):
                train(tmp_path / 'norm', HOOK, model)
            assert model.head.weight.any(), 'the first step has no gradient'
        else:
            block = model.backbone.blocks[0]
            block.drop.forward = lambda x, fc=block.fc: x * fc.weight.sum()
            train(tmp_path, HOOK, model, epochs=2)
            first = table(tmp_path)[0]
            assert first.batches == 2 and first.zero_variance == first.parameters / 2 and first.gsnr > 0
            assert sum(message.startswith('GSNRHook: backbone.blocks.0.fc.weight') for message in warned) == 1


@pytest.mark.parametrize('mixup', (False, True))
def test_auxiliary_training_with_drop_path_and_mixup_is_the_same_with_it(mixup, folders, tmp_path, warned):
    """A classifier of mmpretrain's, whose second path is more rows of the same samples, and whose batches are mixed."""
    write_image_folder(tmp_path / 'data' / 'train', dict(a=4, b=4, c=4), size=16)
    ends = {}
    for name, hooks in (('without', []), ('with', [dict(HOOK, module='backbone.layers')])):
        backbone = dict(VIT, drop_path_rate=0.5, layer_scale_init_value=1.)
        cfg = run_config(tmp_path / 'data', folders['gpt2'], backbone=backbone, insert_after='first')
        cfg.update({f'{phase}_{part}': None for phase in ('val', 'test') for part in ('dataloader', 'cfg', 'evaluator')})
        cfg.train_cfg.max_epochs = 1
        if mixup:
            cfg.model.data_preprocessor.update(num_classes=3)
            cfg.model.train_cfg = dict(augments=dict(type='Mixup', alpha=1.))
            cfg.model.head.update(cal_acc=False)
        cfg.update(work_dir=str(tmp_path / name), experiment_name=f'{name}{mixup}', log_level='ERROR')
        cfg.custom_hooks += hooks
        runner = Runner.from_cfg(cfg)
        runner.train()
        ends[name] = weights(runner.model)
    for key, value in ends['without'].items():
        assert torch.equal(value, ends['with'][key]), key
    rows = table(tmp_path / 'with')
    assert [row.block for row in rows] == [0, 1, 2] and all(row.batches == 2 and row.gsnr > 0 for row in rows)
    assert not any(message.startswith('GSNRHook') for message in warned)


@pytest.mark.parametrize('options, changes, message', (
    (dict(interval=0), {}, 'interval=0; expected a whole number, 1 or more'),
    (dict(num_batches=True), {}, 'num_batches=True; expected a whole number'),
    (dict(num_batches=3), {}, 'num_batches=3, and an epoch has 2; expected no more than that. Set num_batches.'),
    (dict(module='backbone.layers'), {}, r"backbone \(Backbone\) has no part 'layers'; it has .*blocks"),
    (dict(), dict(batch_size=3), 'over 3 samples: .*; expected 4 samples or more in a batch. Take a larger batch.'),
    (dict(), dict(train_cfg=dict(by_epoch=False, max_iters=4), sampler='InfiniteSampler'),
     'IterBasedTrainLoop counts iterations; expected a loop of epochs'),
    (dict(), dict(cfg=Config(dict(compile=dict(backend='eager')))), 'compile is set; expected a training step that is not')))
def test_settings_that_are_not_possible_end_before_the_training(options, changes, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        train(tmp_path, dict(HOOK, **options), net(), **changes)
    assert not list(tmp_path.glob('*.pth'))


def test_blocks_that_do_not_train_are_refused(tmp_path):
    model = net()
    model.backbone.blocks.requires_grad_(False)
    with pytest.raises(ValueError, match='no parameter of backbone.blocks takes gradients; expected some that train'):
        train(tmp_path, HOOK, model)


def test_samples_that_change_each_other_are_refused_before_the_first_step(tmp_path):
    model = SmallNet(drop=0.)
    before = weights(model)
    with pytest.raises(UserError, match='SmallNet: the gradient of an image changes by .* backbone.bn normalises over the'):
        train(tmp_path, HOOK, model)
    assert all(torch.equal(value, before[name]) for name, value in weights(model).items())


def test_two_ranks_measure_what_one_does(tmp_path):
    """Three epochs, whose batches make four samples together."""
    tables = {}
    for ranks, run in ((1, run_tool), (2, run_ranks)):
        path = tmp_path / f'{ranks}' / 'run.py'
        path.parent.mkdir()
        Config(dict(
            custom_imports=dict(imports=['tests.small_net']), model=dict(type='SmallNet', drop=0., batch_norm=False),
            train_dataloader=loader(4 // ranks), train_cfg=dict(by_epoch=True, max_epochs=3),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)), custom_hooks=[HOOK],
            randomness=dict(seed=0))).dump(path)
        arguments = ('train.py', *([] if ranks == 1 else [ranks]), path, '--work-dir', path.parent / 'work')
        returncode, output = run(*arguments)
        assert returncode == 0, output
        tables[ranks] = table(path.parent / 'work')
    assert len(tables[1]) == len(tables[2]) == 12
    for one, two in zip(tables[1], tables[2]):
        assert two == tuple(pytest.approx(value, rel=1e-3) for value in one)
        assert two.batch_size == 4
