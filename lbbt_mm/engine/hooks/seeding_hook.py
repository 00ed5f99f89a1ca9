"""Makes a run a function of its seed: resumed at an epoch boundary, or with other worker counts, it is the same run."""
import hashlib
import random
from collections import Counter
from contextlib import contextmanager
from typing import Any, Iterator, List, Optional

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.utils.data import Dataset

from lbbt_mm.registry import HOOKS


@HOOKS.register_module()
class SeedingHook(Hook):
    """Seed every training step by (seed, iteration, rank) and every sample by (seed, epoch, index, occurrence).

    mmengine's runner keeps no random state, and the seeds of data workers depend on their number and on the rank. With
    this hook dropout continues where a stopped run left off, and the images that a model sees depend neither on the number
    of workers nor on that of ranks.

    Args:
        seed: The seed. Defaults to None, the runner's (``randomness.seed``).
    """

    priority = 'VERY_HIGH'

    def __init__(self, seed: Optional[int] = None) -> None:
        self.seed = seed
        self._sampler: Optional[_SeedingBatchSampler] = None

    def before_train(self, runner: Runner) -> None:
        """Put seeds beside the indices that the data loader hands out."""
        if self.seed is None:
            self.seed = runner.seed
        loader = runner.train_dataloader
        self._sampler = _SeedingBatchSampler(loader.batch_sampler, self.seed)
        # DataLoader forbids assigning these once it is built; no worker has been started yet.
        object.__setattr__(loader, 'batch_sampler', self._sampler)
        object.__setattr__(loader, 'dataset', _SeededDataset(loader.dataset))

    def before_train_epoch(self, runner: Runner) -> None:
        """Tell the sampler which epoch begins."""
        self._sampler.start_epoch(runner.epoch)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Seed what the model draws in this step."""
        _seed_all(_derive(self.seed, 'step', runner.iter, runner.rank))


class _SeededIndex(int):
    """A dataset index that carries the seed of the sample's augmentation to the worker that loads it."""
    seed: int

    def __new__(cls, index: int, seed: int) -> '_SeededIndex':
        self = super().__new__(cls, index)
        self.seed = seed
        return self

    def __reduce__(self):
        return _SeededIndex, (int(self), self.seed)


class _SeedingBatchSampler:
    """A batch sampler whose indices carry seeds; everything else is the wrapped sampler's."""

    def __init__(self, batch_sampler: Any, seed: int) -> None:
        self._batch_sampler = batch_sampler
        self._seed = seed
        self.start_epoch(0)

    def start_epoch(self, epoch: int) -> None:
        """Begin an epoch of the training loop."""
        self._epoch = epoch
        # An iteration-based loop comes back to an index without a new epoch: count how often.
        self._seen: Counter = Counter()

    def __iter__(self) -> Iterator[List[_SeededIndex]]:
        for batch in self._batch_sampler:
            seeded = []
            for index in batch:
                seeded.append(_SeededIndex(index, _derive(self._seed, self._epoch, int(index), self._seen[index])))
                self._seen[index] += 1
            yield seeded

    def __len__(self) -> int:
        return len(self._batch_sampler)

    def __getattr__(self, name: str) -> Any:
        if name == '_batch_sampler':  # not there yet while a copy is being unpickled
            raise AttributeError(name)
        return getattr(self._batch_sampler, name)


class _SeededDataset(Dataset):
    """A dataset that draws its augmentation from the index's seed; everything else is the wrapped dataset's."""

    def __init__(self, dataset: Any) -> None:
        object.__setattr__(self, '_dataset', dataset)

    def __getitem__(self, index: int) -> Any:
        if not isinstance(index, _SeededIndex):
            return self._dataset[index]
        with _random_state_kept():
            _seed_all(index.seed)
            return self._dataset[int(index)]

    def __len__(self) -> int:
        return len(self._dataset)

    def __getattr__(self, name: str) -> Any:
        # `__getitems__` of the wrapped dataset would bypass the seeding
        if name in ('_dataset', '__getitems__'):
            raise AttributeError(name)
        return getattr(self._dataset, name)

    def __setattr__(self, name: str, value: Any) -> None:
        # mmdet's PipelineSwitchHook gives the data set another pipeline during training
        setattr(self._dataset, name, value)


def _derive(*parts: Any) -> int:
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return int.from_bytes(digest[:4], 'little')  # numpy takes 32 bits


def _seed_all(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


@contextmanager
def _random_state_kept() -> Iterator[None]:
    """Keep the caller's random state: without workers, samples are loaded in the training process."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
