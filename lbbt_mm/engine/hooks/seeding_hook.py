"""Makes a run a function of its seed: resumed at a checkpoint, or with other worker counts, it is the same run."""
from collections import Counter
from itertools import count
from typing import Any, Iterator, List, Optional

from mmengine.hooks import Hook
from mmengine.runner import IterBasedTrainLoop, Runner
from torch.utils.data import Dataset

from lbbt_mm.mmengine_internals import start_loader_again
from lbbt_mm.random_state import derive_seed, random_state_kept, seed_all
from lbbt_mm.registry import HOOKS


@HOOKS.register_module()
class SeedingHook(Hook):
    """Seed every training step by (seed, iteration, rank) and every sample by (seed, epoch, index, occurrence), or,
    where the loop counts iterations, by (seed, place in the run, index).

    mmengine's runner keeps no random state, and the seeds of data workers depend on their number and on the rank. With
    this hook dropout continues where a stopped run left off, and the images that a model sees depend neither on the number
    of workers nor on that of ranks. Samples of a data set that says ``draws_by_index`` are functions of their index already;
    they are loaded as they are, a batch at a time where the data set can.

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
        loader, loop = runner.train_dataloader, runner.train_loop
        if getattr(loader.dataset, 'draws_by_index', False):
            return
        kind = _PlaceBatchSampler if isinstance(loop, IterBasedTrainLoop) else _SeedingBatchSampler
        self._sampler = kind(loader.batch_sampler, self.seed)
        # DataLoader forbids assigning these once it is built
        object.__setattr__(loader, 'batch_sampler', self._sampler)
        object.__setattr__(loader, 'dataset', _SeededDataset(loader.dataset))
        start_loader_again(loop, loader)

    def before_train_epoch(self, runner: Runner) -> None:
        """Tell the sampler where the run is."""
        if self._sampler is not None:
            self._sampler.start(runner)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Seed what the model draws in this step."""
        seed_all(_derive(self.seed, 'step', runner.iter, runner.rank))


class _SeededIndex(int):
    """A dataset index that carries the seed of the sample's augmentation to the worker that loads it."""
    seed: int


class _SeedingBatchSampler:
    """A batch sampler whose indices carry seeds; everything else is the wrapped sampler's."""

    def __init__(self, batch_sampler: Any, seed: int) -> None:
        self._batch_sampler = batch_sampler
        self._seed = seed
        self._epoch = 0
        self._seen: Counter = Counter()

    def start(self, runner: Runner) -> None:
        """Begin an epoch of the training loop."""
        self._epoch = runner.epoch
        self._seen = Counter()  # a sampler may hand out an index more than once an epoch

    def __iter__(self) -> Iterator[List[_SeededIndex]]:
        for batch in self._batch_sampler:
            indices = [_SeededIndex(index) for index in batch]
            for index in indices:
                index.seed = self._seed_of(int(index))
            yield indices

    def _seed_of(self, index: int) -> int:
        self._seen[index] += 1
        return _derive(self._seed, self._epoch, index, self._seen[index] - 1)

    def __len__(self) -> int:
        return len(self._batch_sampler)

    def __getattr__(self, name: str) -> Any:
        if name == '_batch_sampler':  # not there yet while a copy is being unpickled
            raise AttributeError(name)
        return getattr(self._batch_sampler, name)


class _PlaceBatchSampler(_SeedingBatchSampler):
    """For loops that count iterations: a sample's seed is its place among all samples of the run, over all ranks.

    A resumed run knows its place from its iteration.
    """

    def start(self, runner: Runner) -> None:
        """Go to where the run is; from the beginning, if mmengine cannot let the sampler skip what was handed out before."""
        size = getattr(self._batch_sampler, 'batch_size', None)
        first = runner.iter * size if size and hasattr(runner.train_dataloader.sampler, 'skip') else 0
        # mmengine's samplers deal indices to the ranks in turn
        self._places = count(first * runner.world_size + runner.rank, runner.world_size)

    def _seed_of(self, index: int) -> int:
        return _derive(self._seed, 'place', next(self._places), index)


class _SeededDataset(Dataset):
    """A dataset that draws its augmentation from the index's seed; everything else is the wrapped dataset's."""

    def __init__(self, dataset: Any) -> None:
        object.__setattr__(self, '_dataset', dataset)

    def __getitem__(self, index: int) -> Any:
        if not isinstance(index, _SeededIndex):
            return self._dataset[index]
        with random_state_kept(accelerators=False):  # without workers, samples are loaded in the training process
            seed_all(index.seed)
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
    return derive_seed(repr(parts), bits=32)
