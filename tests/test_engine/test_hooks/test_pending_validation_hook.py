"""PendingValidationHook: what a run lacks that ended while it validated, its resumption makes up for, once."""
import time

import pytest
import torch
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.registry import METRICS
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import Dataset

from lbbt_mm.engine.hooks import PendingValidationHook
from lbbt_mm.files.run_records import read_records
from tests.small_net import changed, loader, train, weights


class Points(Dataset):
    metainfo = dict(classes=('one', ))

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return dict(inputs=torch.full((2, ), float(index)))


class Model(BaseModel):

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 1)

    def forward(self, inputs, mode='loss'):
        out = self.linear(inputs).squeeze(1)
        return dict(loss=out.square().mean()) if mode == 'loss' else list(out.abs())


class Size(BaseMetric):
    """The mean output; the validations whose numbers are in ``cut`` do not come to their end."""

    def __init__(self, cut=()):
        super().__init__()
        self.cut, self.count = cut, 0

    def process(self, data_batch, data_samples):
        self.results += [float(sample) for sample in data_samples]

    def compute_metrics(self, results):
        self.count += 1
        if self.count in self.cut:
            raise KeyboardInterrupt
        return dict(size=sum(results) / len(results))


#: The training loop, and when it validates: at multiples of the interval, and at its end whatever that is
LOOPS = {
    'epoch': (dict(by_epoch=True, max_epochs=3, val_interval=1), [1, 2, 3]),
    'iteration': (dict(by_epoch=False, max_iters=6, val_interval=2), [2, 4, 6]),
    'epoch, the last no multiple': (dict(by_epoch=True, max_epochs=5, val_interval=3), [3, 5]),
    'iteration, the last no multiple': (dict(by_epoch=False, max_iters=6, val_interval=4), [4, 6]),
}


def run(work_dir, kind, cut=(), resume=False, hooks=(PendingValidationHook, ), **options):
    run.count += 1
    by_epoch = LOOPS[kind][0]['by_epoch']
    loader = dict(batch_size=2, num_workers=0, dataset=Points(), collate_fn=dict(type='default_collate'))
    sampler = dict(type='DefaultSampler' if by_epoch else 'InfiniteSampler', shuffle=False)
    metric = Size(cut)
    torch.manual_seed(1)
    Runner(
        model=Model(), work_dir=str(work_dir), train_dataloader=dict(loader, sampler=sampler),
        val_dataloader=dict(loader, sampler=dict(type='DefaultSampler', shuffle=False)), val_evaluator=Evaluator(metric),
        train_cfg={**LOOPS[kind][0], **options}, val_cfg=dict(), optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        default_hooks=dict(
            logger=dict(type='LoggerHook', interval=1, log_metric_by_epoch=by_epoch),
            checkpoint=dict(type='CheckpointHook', interval=1 if by_epoch else 2, by_epoch=by_epoch, save_best='size',
                            rule='less')),
        log_processor=dict(by_epoch=by_epoch), custom_hooks=[hook() for hook in hooks], randomness=dict(seed=1),
        resume=resume, experiment_name=f'{work_dir.name}{run.count}').train()
    return metric.count


run.count = 0


def validations(work_dir):
    return [(record['step'], record['size']) for record in read_records(work_dir)['val']]


@pytest.mark.parametrize('kind', LOOPS)
@pytest.mark.parametrize('which', ('first', 'last'))
def test_the_validation_that_was_cut_off_is_done_when_the_run_goes_on(tmp_path, kind, which):
    run(tmp_path / 'whole', kind)
    steps = LOOPS[kind][1]
    cut = 1 if which == 'first' else len(steps)
    assert [step for step, _ in validations(tmp_path / 'whole')] == steps
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / 'cut', kind, cut=[cut])
    assert [step for step, _ in validations(tmp_path / 'cut')] == steps[:cut - 1]
    assert run(tmp_path / 'cut', kind, resume=True) == len(steps) - cut + 1
    assert validations(tmp_path / 'cut') == validations(tmp_path / 'whole')
    best = [sorted(path.name for path in (tmp_path / name).glob('best_*')) for name in ('cut', 'whole')]
    assert best[0] == best[1] and best[0]


def test_without_it_mmengine_leaves_the_last_metrics_out(tmp_path):
    """Why the hook is there; if this fails, it is no longer needed."""
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, 'epoch', cut=[3])
    assert run(tmp_path, 'epoch', resume=True, hooks=()) == 0
    assert [step for step, _ in validations(tmp_path)] == [1, 2]


def test_what_has_been_done_or_is_not_due_is_not_done(tmp_path):
    assert run(tmp_path, 'epoch') == 3, 'a run from its beginning validates as ever'
    assert run(tmp_path, 'epoch', resume=True) == 0
    for path in tmp_path.glob('*/vis_data/scalars.json'):
        path.unlink()
    assert run(tmp_path, 'epoch', resume=True, max_epochs=4, val_interval=4) == 1, 'that of epoch 4 alone'


# ------------------------------------------------------------------------------------ what else follows a validation
@METRICS.register_module()
class ScoreOfEachValidation(BaseMetric):
    """Gives the scores it is told to, in turn."""

    def __init__(self, scores):
        super().__init__()
        self.scores = list(scores)

    def process(self, data_batch, data_samples):
        self.results.append(None)

    def compute_metrics(self, results):
        return dict(score=self.scores.pop(0))


class EndsBefore(Hook):
    """Ends the run when an epoch begins, when the validation before it is done with."""

    def __init__(self, epoch):
        self.epoch = epoch

    def before_train_epoch(self, runner):
        if runner.epoch == self.epoch:
            raise KeyboardInterrupt


SCORES = (3, 2, 1, 4, 3)
EARLY_STOPPING = dict(type='EarlyStoppingHook', monitor='score', rule='greater', patience=2, min_delta=0)
PLATEAU = dict(type='ReduceOnPlateauLR', monitor='score', rule='greater', patience=0, factor=0.1)


def train_net(work_dir, scores=SCORES, epochs=5, hooks=(), resume=False, **options):
    checkpoints = dict(type='lbbt_mm.WholeCheckpointHook', interval=1, max_keep_ckpts=1, save_best='score', rule='greater')
    return train(work_dir, hooks=[dict(type='lbbt_mm.PendingValidationHook'), *hooks], resume=resume,
                 train_cfg=dict(by_epoch=True, max_epochs=epochs, val_interval=1), val_dataloader=loader(), val_cfg=dict(),
                 val_evaluator=dict(type='ScoreOfEachValidation', scores=scores),
                 default_hooks=dict(checkpoint=checkpoints), **options)


@pytest.mark.parametrize('ended, seen', [(1, 1), (2, 1), (3, 2), (4, 4)])
def test_a_schedule_that_follows_the_score_has_seen_each_validation_once(tmp_path, ended, seen):
    """A checkpoint that held the best score was written again after its validation, the others were not."""
    whole = train_net(tmp_path / 'whole', param_scheduler=PLATEAU)
    with pytest.raises(KeyboardInterrupt):
        train_net(tmp_path / 'run', hooks=[EndsBefore(ended)], param_scheduler=PLATEAU)
    resumed = train_net(tmp_path / 'run', SCORES[seen:], resume=True, param_scheduler=PLATEAU)
    assert not changed(weights(whole.model), weights(resumed.model))


@pytest.mark.parametrize('ended', (1, 2))
def test_a_run_stops_as_early_as_it_would_have(tmp_path, ended):
    assert train_net(tmp_path / 'whole', hooks=[EARLY_STOPPING]).epoch == 3
    with pytest.raises(KeyboardInterrupt):
        train_net(tmp_path / 'run', hooks=[EARLY_STOPPING, EndsBefore(ended)])
    assert train_net(tmp_path / 'run', SCORES[ended:], hooks=[EARLY_STOPPING], resume=True).epoch == 3


def test_and_one_that_has_stopped_early_stays_as_it_is(tmp_path):
    train_net(tmp_path, hooks=[EARLY_STOPPING])
    assert train_net(tmp_path, (), hooks=[EARLY_STOPPING], resume=True).epoch == 3


def test_a_run_that_goes_on_in_another_folder_has_the_best_checkpoint_there(tmp_path):
    train_net(tmp_path / 'first', epochs=1)
    train_net(tmp_path / 'other', epochs=2, resume=True, load_from=str(tmp_path / 'first' / 'epoch_1.pth'))
    assert {path.name for path in (tmp_path / 'other').glob('*.pth')} == {'epoch_2.pth', 'best_score_epoch_1.pth'}
    assert (tmp_path / 'first' / 'best_score_epoch_1.pth').exists()


def test_an_earlier_run_s_validation_in_the_same_folder_is_not_this_one_s(tmp_path):
    train_net(tmp_path, epochs=3)
    time.sleep(1.1)  # mmengine names the folder of a run's logs by the second
    with pytest.raises(KeyboardInterrupt):
        train_net(tmp_path, hooks=[EndsInValidation(3)], epochs=3)
    train_net(tmp_path, (7, ), epochs=3, resume=True)
    assert read_records(tmp_path)['val'][-1]['score'] == 7, 'it was made up for'


class EndsInValidation(Hook):
    """Ends the run in the validation after an epoch."""

    def __init__(self, epoch):
        self.epoch = epoch

    def before_val_epoch(self, runner):
        if runner.epoch == self.epoch:
            raise KeyboardInterrupt
