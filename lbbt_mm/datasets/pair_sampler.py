"""How pairs of features become batches: which ones, and how they are put together."""
from itertools import count
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sized, Union

import torch
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from lbbt_mm.random_state import derive_seed
from lbbt_mm.registry import DATA_SAMPLERS, FUNCTIONS


@DATA_SAMPLERS.register_module()
class PairSampler(Sampler):
    """Endless samples for a loop over iterations, with the epoch in each index: ``epoch * len(dataset) + sample``.

    Every epoch has an order of its own, a function of (seed, epoch). With ``batch_size`` no batch has samples of two
    epochs: an image that is in a contrastive batch twice would count as its own wrong partner. What is left over in
    an epoch, less than a batch, is left out of it.

    Args:
        dataset: The data set.
        batch_size: The loader's, of one rank. Defaults to None: batches may reach over the end of an epoch.
        shuffle: Whether epochs are shuffled. Defaults to True.
        seed: The seed. Defaults to None, one that ranks agree on.

    Raises:
        ValueError: If one batch of all ranks has more samples than there are.
    """

    def __init__(self, dataset: Sized, batch_size: Optional[int] = None, shuffle: bool = True,
                 seed: Optional[int] = None) -> None:
        self.rank, self.world_size = get_dist_info()
        self.dataset, self.shuffle, self.size = dataset, shuffle, len(dataset)
        self.seed = sync_random_seed() if seed is None else seed
        step = (batch_size or 1) * self.world_size
        if step > self.size:
            ranks = f' on {self.world_size} ranks' if self.world_size > 1 else ''
            raise ValueError(f'PairSampler: batch_size={batch_size}{ranks} for {self.size} pairs; expected no more than '
                             'there are, or an image would be in a batch twice. Lower train_dataloader.batch_size and its '
                             "sampler's.")
        self._of_rank = self.size // step * step // self.world_size
        self._start = 0

    def __iter__(self) -> Iterator[int]:
        """This rank's samples from the place where the sampler was put; without an end."""
        first, offset = divmod(self._start, self._of_rank)
        for epoch in count(first):
            order = self._order(epoch)[self.rank:self._of_rank * self.world_size:self.world_size]
            yield from (order[offset if epoch == first else 0:] + epoch * self.size).tolist()

    def _order(self, epoch: int) -> torch.Tensor:
        if not self.shuffle:
            return torch.arange(self.size)
        generator = torch.Generator()
        generator.manual_seed(derive_seed(repr(('PairSampler', self.seed, epoch)), bits=63))
        return torch.randperm(self.size, generator=generator)

    def skip(self, num_samples: int) -> None:
        """Go to a place in the run, counted in samples of this rank from its start; mmengine does so when it resumes."""
        self._start = num_samples

    def set_epoch(self, epoch: int) -> None:
        """Nothing: epochs are in the indices."""

    def __len__(self) -> int:
        """Samples of this rank in an epoch."""
        return self._of_rank


@FUNCTIONS.register_module()
def collate_pairs(batch: Union[Mapping[str, Any], List[Mapping[str, Any]]]) -> Dict[str, Any]:
    """Pass on a batch that a data set has put together itself; put single samples together.

    Args:
        batch: What :class:`lbbt_mm.FeaturePairs` gives for several indices, or a list of what it gives for one.

    Returns:
        dict: ``inputs``, a dict of tensors ``(N, C)``, and ``data_samples``, a list, where there are any.
    """
    if isinstance(batch, Mapping):
        return dict(batch)
    inputs = {name: torch.stack([sample['inputs'][name] for sample in batch]) for name in batch[0]['inputs']}
    samples = [sample['data_samples'] for sample in batch if 'data_samples' in sample]
    return {'inputs': inputs, **({'data_samples': samples} if samples else {})}
