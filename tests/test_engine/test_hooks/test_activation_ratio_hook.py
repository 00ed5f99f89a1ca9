"""ActivationRatioHook: the ratio of training batches is in the records, and a resumed run goes on with it."""
from collections import defaultdict

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import Dataset

from lbbt_mm.analysis.activation import ActivationRatio
from lbbt_mm.files.run_records import read_records
from lbbt_mm.language import LanguageOptions
from lbbt_mm.models.blocks import measured_blocks
from lbbt_mm.models.layers import LanguageBlock
from lbbt_mm.models.layers.block_watch import BlockWatch
from tests.small_net import SmallNet, weights
from tests.small_net import train as train_small_net
from tests.tiny_checkpoints import CONFIGS
from tests.tiny_rectified import VIT

#: Iterations of an epoch
STEPS = 3


class Points(Dataset):
    metainfo = dict(classes=('one', ))

    def __len__(self):
        return 2 * STEPS

    def __getitem__(self, index):
        return dict(inputs=torch.randn(4, 32, generator=torch.Generator().manual_seed(index)))


class Net(BaseModel):
    """Two language blocks."""

    def __init__(self, with_cp=False):
        super().__init__()
        spec = LanguageOptions.from_dict(dict(config=CONFIGS['gpt2'])).spec.block
        self.blocks = nn.ModuleList(LanguageBlock(spec, with_cp=with_cp) for _ in range(2))

    def forward(self, inputs, mode='loss'):
        for block in self.blocks:
            inputs = block(inputs)
        return dict(loss=inputs.square().mean())


class Vit(BaseModel):
    """A vision transformer of mmpretrain's."""

    def __init__(self, with_cp=False):
        super().__init__()
        init_default_scope('mmpretrain')
        self.backbone = MODELS.build(VIT)

    def forward(self, inputs, mode='loss'):
        return dict(loss=self.backbone(inputs.repeat(1, 6, 1).view(-1, 3, 16, 16))[-1].square().mean())


def run(work_dir, hook, by_epoch=True, epochs=4, resume=False, with_cp=False, kind=Net):
    run.count += 1
    torch.manual_seed(0)
    model = kind(with_cp)
    runner = Runner(
        model=model, work_dir=str(work_dir),
        train_dataloader=dict(batch_size=2, num_workers=0, dataset=Points(), collate_fn=dict(type='default_collate'),
                              sampler=dict(type='DefaultSampler' if by_epoch else 'InfiniteSampler', shuffle=False)),
        train_cfg=dict(by_epoch=True, max_epochs=epochs) if by_epoch else dict(by_epoch=False, max_iters=epochs * STEPS),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.5)),
        default_hooks=dict(logger=dict(type='LoggerHook', interval=1),
                           checkpoint=dict(type='CheckpointHook', interval=1, by_epoch=by_epoch)),
        log_processor=dict(by_epoch=by_epoch), custom_hooks=[dict(type='lbbt_mm.ActivationRatioHook', **hook)],
        randomness=dict(seed=0), resume=resume, log_level='ERROR', experiment_name=f'activation_ratio{run.count}')
    runner.train()
    return runner


run.count = 0
FIRST, MEAN = 'activation_ratio/blocks.0', 'activation_ratio/mean'


def values(work_dir, name=FIRST):
    return [record.get(name) for record in read_records(work_dir)['train']]


def expected(first_batch=(0, 1)):
    """The ratio of each block of the model as it starts, on the first batch."""
    torch.manual_seed(0)
    model, ratios = Net(), defaultdict(ActivationRatio)
    with BlockWatch(measured_blocks(model), lambda name, units, tokens: ratios[name].add(units)):
        model(torch.stack([Points()[index]['inputs'] for index in first_batch]))
    return [ratio.summary()['ratio'] for ratio in ratios.values()]


@pytest.mark.parametrize('with_cp', (False, True))
def test_the_ratio_of_the_first_batch_of_each_epoch_is_in_the_records(tmp_path, with_cp):
    run(tmp_path, {}, with_cp=with_cp)
    found = values(tmp_path)
    assert found[0] == pytest.approx(expected()[0]), 'the first batch meets the model as it starts'
    assert values(tmp_path, MEAN)[0] == pytest.approx(sum(expected()) / 2)
    epochs = [found[start:start + STEPS] for start in range(0, len(found), STEPS)]
    assert all(len(set(epoch)) == 1 for epoch in epochs) and len({epoch[0] for epoch in epochs}) > 1


@pytest.mark.parametrize('by_epoch, hook, looks', [
    (True, dict(interval=2), [0, 6]), (False, dict(interval=5, by_epoch=False), [0, 5, 10]),
    (True, dict(interval=5, by_epoch=False), [0, 5, 10])])
def test_other_iterations_are_not_looked_at(tmp_path, monkeypatch, by_epoch, hook, looks):
    from lbbt_mm.engine.hooks import activation_ratio_hook
    watched, hooked = [], []

    class Noting(BlockWatch):

        def __init__(self, *args, **kwargs):
            watched.append(len(hooked))
            super().__init__(*args, **kwargs)

    forward = Net.forward

    def noting_forward(self, *args, **kwargs):
        hooked.append(bool(self.blocks[0].mlp.fc1._forward_hooks))
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(activation_ratio_hook, 'BlockWatch', Noting)
    monkeypatch.setattr(Net, 'forward', noting_forward)
    run(tmp_path, hook, by_epoch)
    assert watched == looks
    assert [number for number, has_hook in enumerate(hooked) if has_hook] == looks, 'and no hook is left in between'


def test_training_is_the_same_with_it(tmp_path):
    with_it, without = run(tmp_path / 'with', {}), run(tmp_path / 'without', dict(interval=1000))
    ours, theirs = weights(with_it.model), weights(without.model)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_resumed_run_has_the_records_of_one_that_was_not_interrupted(tmp_path):
    run(tmp_path / 'whole', dict(interval=2))
    run(tmp_path / 'resumed', dict(interval=2), epochs=1)
    resumed = run(tmp_path / 'resumed', dict(interval=2), resume=True)
    assert values(tmp_path / 'resumed') == values(tmp_path / 'whole')
    history, _ = resumed.message_hub.get_scalar(f'train/{FIRST}').data
    assert len(history) == 2, 'of epochs 0 and 2, the first from the checkpoint'


def test_some_blocks_are_chosen_by_name(tmp_path):
    run(tmp_path, dict(module='*.1'), epochs=1)
    assert set(values(tmp_path)) == {None}
    assert values(tmp_path, 'activation_ratio/blocks.1')[0] == pytest.approx(expected()[1])


@pytest.mark.parametrize('options, message', [
    (dict(interval=0), 'interval=0; expected a whole number, 1 or more'),
    (dict(interval=True), 'interval=True; expected a whole number'),
    (dict(units='attention'), "units='attention'; expected one of 'gate', 'product'"),
    (dict(module='neck.*'), 'has blocks.0 to blocks.1; expected blocks that are called neck')])
def test_settings_that_are_not_possible(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        run(tmp_path, options)
    assert not list(tmp_path.glob('*.pth'))


def test_epochs_are_not_counted_where_the_loop_counts_iterations(tmp_path):
    with pytest.raises(ValueError, match='by_epoch=True, and IterBasedTrainLoop counts iterations; expected'):
        run(tmp_path, {}, by_epoch=False)


def test_of_a_vit_without_language_blocks_it_measures_what_figures_do(tmp_path):
    run(tmp_path, {}, epochs=1, kind=Vit)
    blocks = [*measured_blocks(Vit())]
    assert blocks == [f'backbone.layers.{number}' for number in range(3)]
    assert all(0 < values(tmp_path, f'activation_ratio/{name}')[0] < 1 for name in blocks)


def test_a_model_without_blocks_is_refused(tmp_path):
    with pytest.raises(ValueError, match='SmallNet has no LanguageBlock'):
        train_small_net(tmp_path, dict(type='lbbt_mm.ActivationRatioHook'), SmallNet())
