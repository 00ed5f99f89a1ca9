"""Datasets around others: one that passes on the interface of another, and the walk over those that are built."""
from typing import Any, Dict, Iterator, List, Optional, Sequence, Union

import numpy as np
from mmengine.dataset import BaseDataset, force_full_init

from lbbt_mm.registry import DATASETS


def nested_datasets(dataset: Any) -> Iterator[Any]:
    """A dataset that is built, and those inside of it, where it wraps (``dataset``) or joins (``datasets``) some.

    Args:
        dataset: The dataset; of None there are none.
    """
    if dataset is None:
        return
    yield dataset
    for inner in [getattr(dataset, 'dataset', None), *(getattr(dataset, 'datasets', None) or [])]:
        yield from nested_datasets(inner)


class DatasetView(BaseDataset):
    """A dataset that shows another one's samples, fewer of them or changed.

    mmengine's wrappers accept a view as a config and, since it is a ``BaseDataset``, as an object too. A sample that cannot
    be loaded is replaced by another one of the view, as in ``BaseDataset``.

    Args:
        dataset: The dataset, or its config.
        lazy_init: Leave reading annotations to :meth:`full_init`. Defaults to False.
    """

    def __init__(self, dataset: Union[BaseDataset, Dict[str, Any]], lazy_init: bool = False) -> None:
        # not super().__init__(): annotations, pipeline and modes are those of the dataset inside
        self.dataset = DATASETS.build(dataset) if isinstance(dataset, dict) else dataset
        self._check_inner()
        if not lazy_init:
            self.full_init()

    def _check_inner(self) -> None:
        """Refuse a dataset that cannot be wrapped."""

    def _prepare(self) -> None:
        """Compute what the view needs, after the dataset inside is initialised."""
        raise NotImplementedError

    def full_init(self) -> None:
        """Initialise the dataset inside, then the view."""
        if not self._fully_initialized:
            self.dataset.full_init()
            self._prepare()
            self._fully_initialized = True

    def get_data_info(self, idx: int) -> dict:
        """Annotation of a sample, before the pipeline."""
        return self.dataset.get_data_info(idx)

    @force_full_init
    def __len__(self) -> int:
        return len(self.dataset)

    @property
    def metainfo(self) -> dict:
        """Meta information of the dataset inside."""
        return self.dataset.metainfo

    @property
    def CLASSES(self) -> Optional[Sequence[str]]:  # noqa: N802  (mmpretrain's name)
        """Names of the classes, or None."""
        return self.metainfo.get('classes')

    @property
    def class_to_idx(self) -> Dict[str, int]:
        """Class name -> label."""
        return {name: index for index, name in enumerate(self.CLASSES)}

    @property
    def pipeline(self) -> Any:
        """The transforms of the dataset inside."""
        return self.dataset.pipeline

    @pipeline.setter
    def pipeline(self, pipeline: Any) -> None:
        self.dataset.pipeline = pipeline  # hooks of mmpretrain and mmdet switch it during training

    @property
    def test_mode(self) -> bool:
        """Whether a sample that cannot be loaded is an error."""
        return getattr(self.dataset, 'test_mode', False)

    @property
    def max_refetch(self) -> int:
        """How often another sample is tried."""
        return getattr(self.dataset, 'max_refetch', 1000)

    @force_full_init
    def get_cat_ids(self, idx: int) -> List[int]:
        """Labels of a sample, which ``ClassBalancedDataset`` asks for; the pipeline is bypassed."""
        return [int(label) for label in np.atleast_1d(self.get_data_info(idx)['gt_label'])]

    @force_full_init
    def get_gt_labels(self) -> np.ndarray:
        """Labels of all samples ``(N, )``; the pipeline is bypassed."""
        return np.array([self.get_data_info(index)['gt_label'] for index in range(len(self))])

    def get_subset(self, indices: Union[Sequence[int], int]) -> BaseDataset:
        """Not supported, as in mmengine's wrappers."""
        raise NotImplementedError(f'{type(self).__name__} has no get_subset. Take the subset of the dataset inside '
                                  '(indices=...), or wrap this one in lbbt_mm.EvenSubset.')

    def get_subset_(self, indices: Union[Sequence[int], int]) -> None:
        """Not supported, as in mmengine's wrappers."""
        self.get_subset(indices)

    def __repr__(self) -> str:
        size = len(self) if self._fully_initialized else 'not initialised'
        return f'{type(self).__name__}({size} samples of {type(self.dataset).__name__})'
