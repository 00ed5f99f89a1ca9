"""Random labels that keep the class histogram, drawn over the whole dataset."""
from typing import Any, Dict, Union

import numpy as np
from mmengine.dataset import BaseDataset, force_full_init

from lbbt_mm.registry import DATASETS
from .dataset_view import DatasetView
from .stable_draw import check_draw, single_label, stable_generator


@DATASETS.register_module()
class RandomLabelDataset(DatasetView):
    """Permute the labels of a dataset, so that each class keeps exactly as many samples as it has.

    Which samples take part, and which label each gets, is a function of (seed, size of the dataset): the same over epochs,
    workers, ranks, machines and restarts if the dataset lists the same samples in the same order. The samples that
    take part at ratio 0.15 take part at 0.30 too, but with other labels, since more samples exchange theirs. A sample may
    get its own label back. Every sample gets ``true_label`` (int) and ``label_is_random`` (bool), which reach the data
    sample through ``PackInputs(meta_keys=('true_label', 'label_is_random', ...))``. A ``ClassBalancedDataset`` around it
    sees the permuted labels.

    Args:
        dataset: A dataset with one ``gt_label`` per sample, or its config. ``lbbt_mm.EvenSubset`` may stand here: the
            histogram kept is then the subset's. Wrap the datasets inside other wrappers instead of those.
        ratio: Share of the samples whose labels are permuted, from 0 to 1. Defaults to 1.0.
        seed: Seed of the permutation. Defaults to 0.
        lazy_init: Leave reading annotations to :meth:`full_init`. Defaults to False.

    Raises:
        ValueError: If an argument is out of range, or a sample has no label or several.
        TypeError: If ``dataset`` is a wrapper.
    """

    def __init__(self,
                 dataset: Union[BaseDataset, Dict[str, Any]],
                 ratio: float = 1.0,
                 seed: int = 0,
                 lazy_init: bool = False) -> None:
        check_draw('RandomLabelDataset', ratio, seed)
        self.ratio = ratio
        self.seed = seed
        super().__init__(dataset, lazy_init)

    def _check_inner(self) -> None:
        name = type(self.dataset).__name__
        if isinstance(self.dataset, RandomLabelDataset):
            raise TypeError('RandomLabelDataset: dataset is a RandomLabelDataset too; labels are permuted once. Remove one.')
        # an EvenSubset of a wrapper is a BaseDataset without a pipeline
        if not isinstance(self.dataset, BaseDataset) or not hasattr(self.dataset, 'pipeline'):
            raise TypeError(f'RandomLabelDataset: dataset is a {name}; expected one dataset with a pipeline of its own. '
                            f'Wrap the datasets inside it instead: {name} around RandomLabelDataset.')

    def _prepare(self) -> None:
        infos = map(self.dataset.get_data_info, range(len(self.dataset)))
        self._true_labels = np.array([self._read_label(info) for info in infos], dtype=np.int64)
        generator = stable_generator('RandomLabelDataset', self.seed)
        order = generator.permutation(len(self._true_labels))
        chosen = order[:int(self.ratio * len(order) + 0.5)]
        self._labels = self._true_labels.copy()
        self._labels[chosen] = self._true_labels[generator.permutation(chosen)]
        self._is_random = np.zeros(len(order), dtype=bool)
        self._is_random[chosen] = True

    @staticmethod
    def _read_label(info: Dict[str, Any]) -> int:
        if 'gt_label' not in info:
            raise ValueError(f"RandomLabelDataset: a sample has no 'gt_label', only {', '.join(info)}. Use a dataset with "
                             'labels (with_label=True).')
        if 'true_label' in info:
            raise ValueError("RandomLabelDataset: a sample has a 'true_label', so its label was replaced before, by a "
                             'RandomLabelDataset further inside. Labels are permuted once; remove one of the two.')
        return single_label('RandomLabelDataset', info['gt_label'])

    @force_full_init
    def get_data_info(self, idx: int) -> dict:
        """Annotation of a sample with its permuted label, ``true_label`` and ``label_is_random``."""
        info = self.dataset.get_data_info(idx)
        info.update(gt_label=int(self._labels[idx]), true_label=int(self._true_labels[idx]),
                    label_is_random=bool(self._is_random[idx]))
        return info

    @force_full_init
    def get_gt_labels(self) -> np.ndarray:
        """Permuted labels of all samples ``(N, )``."""
        return self._labels.copy()

    @force_full_init
    def __len__(self) -> int:
        return len(self.dataset)
