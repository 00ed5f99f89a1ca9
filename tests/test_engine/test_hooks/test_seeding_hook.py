"""SeedingHook: what a run draws is a function of (seed, epoch, sample) and (seed, iteration, rank), of nothing else."""
import pickle
import random
from typing import Any, Dict, List
from unittest.mock import MagicMock

import numpy as np
import pytest
import torch
from mmengine.model import BaseModel
from mmengine.runner import IterBasedTrainLoop, Runner
from torch import nn
from torch.utils.data import BatchSampler, DataLoader, Dataset, Sampler, SequentialSampler

from lbbt_mm.engine.hooks.seeding_hook import SeedingHook, _SeededDataset

NUM_SAMPLES = 6


class DrawingDataset(Dataset):
    """Samples that show what was drawn for them, by each of the three generators."""
    metainfo = dict(classes=('one', ))

    def __getitem__(self, index: int) -> Dict[str, Any]:
        return dict(index=index, draws=torch.tensor([random.random(), np.random.rand(), float(torch.rand(1))]))

    def __len__(self) -> int:
        return NUM_SAMPLES


class DrawingModel(BaseModel):
    """A model that records the samples it gets and what it draws itself, as dropout would."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.samples: List[tuple] = []
        self.draws: List[float] = []

    def forward(self, index, draws, mode='loss'):
        self.samples += [(int(i), tuple(row.tolist())) for i, row in zip(index, draws)]
        self.draws.append(float(torch.rand(1)))
        return dict(loss=self.weight.sum())


def run(work_dir, num_workers: int = 0, sampler: str = 'DefaultSampler', loop: dict = None, seed: int = 3,
        hook: Any = None, resume: bool = False, batch_size: int = 2, **kwargs: Any) -> DrawingModel:
    """Train in a runner of mmengine's and return the model with its records."""
    run.count += 1
    runner = Runner(
        model=DrawingModel(),
        work_dir=str(work_dir),
        train_dataloader=dict(
            dataset=DrawingDataset(), sampler=dict(type=sampler, shuffle=True), batch_size=batch_size,
            num_workers=num_workers, persistent_workers=num_workers > 0),
        train_cfg=loop or dict(by_epoch=True, max_epochs=3),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        custom_hooks=[hook or SeedingHook()],
        randomness=dict(seed=seed),
        resume=resume,
        log_level='ERROR',
        **kwargs,
        experiment_name=f'seeding{run.count}')
    runner.train()
    if num_workers:  # left to the garbage collector, each worker would take five seconds
        runner.train_dataloader._iterator._shutdown_workers()
    return runner.model


run.count = 0


def test_a_run_does_not_depend_on_the_number_of_workers(tmp_path):
    alone, one, two = (run(tmp_path / str(workers), workers) for workers in (0, 1, 2))
    assert alone.samples == one.samples == two.samples
    assert alone.draws == one.draws == two.draws


def test_a_resumed_run_draws_what_the_other_would_have_drawn(tmp_path):
    whole = run(tmp_path / 'whole')
    started = run(tmp_path / 'resumed', loop=dict(by_epoch=True, max_epochs=1))
    resumed = run(tmp_path / 'resumed', num_workers=2, resume=True)
    assert started.samples + resumed.samples == whole.samples
    assert started.draws + resumed.draws == whole.draws


def test_every_epoch_and_every_sample_draws_anew(tmp_path):
    samples = run(tmp_path).samples
    assert len({draws for _, draws in samples}) == len(samples) == 3 * NUM_SAMPLES
    assert len({value for _, draws in samples for value in draws}) == 9 * NUM_SAMPLES


def test_a_sample_draws_the_same_wherever_in_the_epoch_it_comes(tmp_path):
    """So the number of ranks and the size of the batch do not matter either."""
    pairs, triples = (run(tmp_path / str(size), batch_size=size) for size in (2, 3))
    assert set(pairs.samples) == set(triples.samples)


def test_a_sample_that_comes_twice_in_an_epoch_draws_anew():
    """As where a sampler balances classes, or draws with replacement."""
    loader = DataLoader(DrawingDataset(), batch_sampler=[[0, 0], [1, 0]])
    runner, hook = _mock_runner(loader), SeedingHook(seed=0)
    hook.before_train(runner)
    epochs = []
    for _ in range(2):
        hook.before_train_epoch(runner)
        epochs.append([(int(index), index.seed) for batch in loader.batch_sampler for index in batch])
    assert [index for index, _ in epochs[0]] == [0, 0, 1, 0] and len(set(epochs[0])) == 4
    assert epochs[0] == epochs[1], 'the same epoch, from its beginning'


def test_steps_draw_anew(tmp_path):
    draws = run(tmp_path).draws
    assert len(set(draws)) == len(draws) == 9


def test_another_seed_is_another_run(tmp_path):
    first, second = (run(tmp_path / str(seed), seed=seed) for seed in (3, 4))
    assert {draws for _, draws in first.samples}.isdisjoint(draws for _, draws in second.samples)
    assert set(first.draws).isdisjoint(second.draws)


def test_a_seed_of_the_hook_s_own_leaves_the_order_to_the_runner(tmp_path):
    first, second = (run(tmp_path / str(seed), hook=SeedingHook(seed=seed)) for seed in (3, 4))
    assert [index for index, _ in first.samples] == [index for index, _ in second.samples]
    assert set(first.samples).isdisjoint(second.samples)


def test_samples_do_not_touch_the_random_state_of_the_training_process():
    dataset = _SeededDataset(DrawingDataset())
    loader = _loader()
    hook = SeedingHook(seed=0)
    hook.before_train(_mock_runner(loader))
    index = next(iter(loader.batch_sampler))[0]
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    first, second = dataset[index]['draws'], dataset[index]['draws']
    assert torch.equal(first, second)
    assert (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()) == states


@pytest.mark.parametrize('sampler', ['DefaultSampler', 'InfiniteSampler'])
def test_iteration_based_loops_draw_anew_on_every_pass(tmp_path, monkeypatch, sampler):
    monkeypatch.setattr('mmengine.runner.loops.time.sleep', lambda seconds: None)  # two seconds before every pass
    loop = dict(by_epoch=False, max_iters=9, val_interval=100)
    samples = run(tmp_path / '0', sampler=sampler, loop=loop).samples
    assert len({draws for _, draws in samples}) == len(samples) == 18
    assert run(tmp_path / '2', 2, sampler=sampler, loop=loop).samples == samples


@pytest.mark.parametrize('sampler', ['DefaultSampler', 'InfiniteSampler'])
def test_a_resumed_iteration_based_run_goes_on_with_the_samples_and_draws_of_the_whole(tmp_path, monkeypatch, sampler):
    monkeypatch.setattr('mmengine.runner.loops.time.sleep', lambda seconds: None)
    checkpoint = dict(default_hooks=dict(checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=5)))
    five, nine = (dict(by_epoch=False, max_iters=count, val_interval=100) for count in (5, 9))
    whole = run(tmp_path / 'whole', sampler=sampler, loop=nine)
    started = run(tmp_path / 'resumed', sampler=sampler, loop=five, **checkpoint)
    resumed = run(tmp_path / 'resumed', sampler=sampler, loop=nine, resume=True)
    assert started.samples + resumed.samples == whole.samples
    assert started.draws + resumed.draws == whole.draws


@pytest.mark.parametrize('sampler', ['DefaultSampler', 'InfiniteSampler'])
@pytest.mark.parametrize('workers', [0, 2])
def test_a_loop_that_starts_its_loader_before_any_hook_sees_the_same_samples(tmp_path, monkeypatch, workers, sampler):
    """As mmengine's did before 0.10.12: by then workers have taken indices that carry no seeds."""
    monkeypatch.setattr('mmengine.runner.loops.time.sleep', lambda seconds: None)
    options = dict(sampler=sampler, loop=dict(by_epoch=False, max_iters=5, val_interval=100))
    expected = run(tmp_path / 'late', **options)
    build = IterBasedTrainLoop.__init__

    def build_early(self, *args, **kwargs):
        build(self, *args, **kwargs)
        self.dataloader_iterator._iterator = iter(self.dataloader)

    monkeypatch.setattr(IterBasedTrainLoop, '__init__', build_early)
    early = run(tmp_path / 'early', workers, **options)
    assert early.samples == expected.samples and early.draws == expected.draws


def test_iteration_based_ranks_draw_what_one_rank_draws_for_the_same_samples():
    def deal(rank, world_size, batch_size):
        loader = DataLoader(DrawingDataset(), sampler=_Dealt(rank, world_size), batch_size=batch_size)
        runner = _mock_runner(loader, rank=rank, world_size=world_size, train_loop=MagicMock(spec=IterBasedTrainLoop))
        hook = SeedingHook()
        hook.before_train(runner)
        hook.before_train_epoch(runner)
        return [(int(index), index.seed) for batch in loader.batch_sampler for index in batch]

    assert sorted(deal(0, 2, 1) + deal(1, 2, 1)) == sorted(deal(0, 1, 2))


def test_ranks_draw_their_own_dropout():
    draws = []
    for rank in (0, 1, 0):
        hook = SeedingHook(seed=0)
        runner = _mock_runner(_loader(), rank=rank)
        hook.before_train(runner)
        hook.before_train_iter(runner, 0)
        draws.append((random.random(), np.random.rand(), float(torch.rand(1))))
    assert draws[0] == draws[2]
    assert all(ours != theirs for ours, theirs in zip(draws[0], draws[1]))


def test_loader_and_dataset_look_as_before():
    loader = _loader()
    sampler = loader.batch_sampler
    SeedingHook(seed=0).before_train(_mock_runner(loader))
    assert loader.dataset.metainfo == DrawingDataset.metainfo and len(loader.dataset) == NUM_SAMPLES
    assert loader.batch_sampler.sampler is sampler.sampler and loader.batch_sampler.batch_size == 2
    assert len(loader) == 3
    assert [list(map(int, batch)) for batch in loader.batch_sampler] == [[0, 1], [2, 3], [4, 5]]
    assert not hasattr(loader.dataset, 'no_such_thing')


def test_a_hook_that_switches_the_pipeline_reaches_the_data_set():
    """As mmdet's PipelineSwitchHook does."""
    loader = _loader()
    dataset = loader.dataset
    SeedingHook(seed=0).before_train(_mock_runner(loader))
    loader.dataset.pipeline = 'another'
    assert dataset.pipeline == 'another'


def test_indices_and_dataset_survive_the_way_to_a_worker():
    """Workers that are spawned, not forked, get both pickled."""
    loader = _loader()
    SeedingHook(seed=0).before_train(_mock_runner(loader))
    index = next(iter(loader.batch_sampler))[1]
    dataset, same = pickle.loads(pickle.dumps((loader.dataset, index)))
    assert int(same) == 1 and same.seed == index.seed
    assert torch.equal(dataset[same]['draws'], loader.dataset[index]['draws'])


def _loader() -> DataLoader:
    dataset = DrawingDataset()
    return DataLoader(dataset, batch_sampler=BatchSampler(SequentialSampler(dataset), 2, False))


class _Dealt(Sampler):
    """Deals indices to ranks in turn, as mmengine's samplers do."""

    def __init__(self, rank: int, world_size: int) -> None:
        self._indices = range(NUM_SAMPLES)[rank::world_size]

    def __iter__(self):
        return iter(self._indices)

    def __len__(self) -> int:
        return len(self._indices)


def _mock_runner(loader: DataLoader, rank: int = 0, **attributes: Any) -> MagicMock:
    return MagicMock(train_dataloader=loader, seed=7, epoch=0, iter=0, rank=rank, **attributes)
