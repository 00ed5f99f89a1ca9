"""Random labels for an exact share of a dataset, drawn over the whole of it."""
import os
from typing import Any, Dict, Optional, Sequence, Union

import numpy as np
from mmengine.dataset import BaseDataset, force_full_init

from lbbt_mm.argument_checks import check_choice, check_count
from lbbt_mm.registry import DATASETS
from .dataset_view import DatasetView
from .stable_draw import check_draw, single_label, stable_generator
from .transforms.random_label import RandomLabel


@DATASETS.register_module()
class RandomLabelDataset(DatasetView):
    """Replace the labels of exactly ``ratio`` of a dataset's samples, rounded to a whole number of them.

    Two ways to draw them:

    - ``'permute'``: the chosen samples exchange their labels, so that each class keeps exactly as many samples as it has.
      Which samples take part, and which label each gets, is a function of (seed, size of the dataset): the same over
      epochs, workers, ranks, machines and restarts if the dataset lists the same samples in the same order. The samples
      that take part at ratio 0.15 take part at 0.30 too, but with other labels, since more samples exchange theirs. A
      sample may get its own label back.
    - ``'uniform'``: each chosen sample gets the label that :class:`lbbt_mm.RandomLabel` would give it, and chosen are the
      samples that come first by the number that decides there. So the labels are as stable as that transform's: ratios are
      nested, with the same labels, and the order of the list does not matter with ``key='img_path'``. Another set of
      samples, a subset for example, has another share of its own, and the same labels.

    Every sample gets ``true_label`` (int) and ``label_is_random`` (bool), which reach the data sample through
    ``PackInputs(meta_keys=('true_label', 'label_is_random', ...))``. A ``ClassBalancedDataset`` around it sees the new
    labels.

    Args:
        dataset: A dataset with one ``gt_label`` per sample, or its config. ``lbbt_mm.EvenSubset`` may stand here: shares
            and histograms are then the subset's. Wrap the datasets inside other wrappers instead of those.
        ratio: Share of the samples whose labels are replaced, from 0 to 1. Defaults to 1.0.
        seed: Seed of the labels. Defaults to 0.
        draw: ``'permute'`` or ``'uniform'``. Defaults to ``'permute'``.
        num_classes: Of ``'uniform'``: number of classes. Defaults to None, that of the dataset's ``metainfo``.
        exclude_true: Of ``'uniform'``: draw over the other classes only. Defaults to False.
        key: Of ``'uniform'``: what identifies a sample, ``'img_path'`` or ``'sample_idx'``. Defaults to None, which is
            the path where there is a ``data_root``, else the index.
        data_root: Of ``'uniform'``: folder or URL that image paths are made relative to, for ``'img_path'``.
        salt: Of ``'uniform'``: gives samples with equal keys different labels. Defaults to ''.
        lazy_init: Leave reading annotations to :meth:`full_init`. Defaults to False.

    Raises:
        ValueError: If an argument is out of range or not of this way to draw, or a sample has no label or several.
        TypeError: If ``dataset`` is a wrapper.
    """

    def __init__(self,
                 dataset: Union[BaseDataset, Dict[str, Any]],
                 ratio: float = 1.0,
                 seed: int = 0,
                 draw: str = 'permute',
                 num_classes: Optional[int] = None,
                 exclude_true: bool = False,
                 key: Optional[str] = None,
                 data_root: Optional[Union[str, os.PathLike]] = None,
                 salt: Union[str, int] = '',
                 lazy_init: bool = False) -> None:
        check_draw('RandomLabelDataset', ratio, seed)
        check_choice('RandomLabelDataset: draw', draw, ('permute', 'uniform'))
        of_uniform = dict(num_classes=num_classes, exclude_true=exclude_true, key=key, data_root=data_root, salt=salt)
        given = [name for name, value in of_uniform.items() if value is not None and value is not False and value != '']
        if draw == 'permute' and given:
            raise ValueError(f"RandomLabelDataset: {given[0]}={of_uniform[given[0]]!r} is of draw='uniform'; found "
                             "draw='permute'. Remove it, or set draw='uniform'.")
        if key == 'img_path' and not data_root:
            raise ValueError("RandomLabelDataset: key='img_path' needs data_root, found none; expected the folder that "
                             "image paths are made relative to. Set it, or choose key='sample_idx'.")
        if num_classes is not None:
            check_count('RandomLabelDataset: num_classes', num_classes, more=", or None for the dataset's own")
        if key == 'pixels':
            raise ValueError("RandomLabelDataset: key='pixels'; expected 'img_path' or 'sample_idx', since images are not "
                             'loaded where the share is drawn.')
        self.ratio = ratio
        self.seed = seed
        self.draw = draw
        self._of_uniform = {**of_uniform, 'key': key or ('img_path' if data_root else 'sample_idx')}
        if draw == 'uniform':
            self._transform(num_classes or 2)  # what it refuses is refused before data are read
        super().__init__(dataset, lazy_init)

    def _check_inner(self) -> None:
        name = type(self.dataset).__name__
        if isinstance(self.dataset, RandomLabelDataset):
            raise TypeError('RandomLabelDataset: dataset is a RandomLabelDataset too; labels are replaced once. Remove one.')
        # an EvenSubset of a wrapper is a BaseDataset without a pipeline
        if not isinstance(self.dataset, BaseDataset) or not hasattr(self.dataset, 'pipeline'):
            raise TypeError(f'RandomLabelDataset: dataset is a {name}; expected one dataset with a pipeline of its own. '
                            f'Wrap the datasets inside it instead: {name} around RandomLabelDataset.')

    def _prepare(self) -> None:
        infos = list(map(self.dataset.get_data_info, range(len(self.dataset))))
        self._true_labels = np.array([self._read_label(info) for info in infos], dtype=np.int64)
        count = int(self.ratio * len(infos) + 0.5)
        self._labels = self._true_labels.copy()
        chosen = self._permute(count) if self.draw == 'permute' else self._draw(infos, count)
        self._is_random = np.zeros(len(infos), dtype=bool)
        self._is_random[chosen] = True

    def _permute(self, count: int) -> np.ndarray:
        """Let that many samples exchange their labels.

        Returns:
            ndarray: Their indices.
        """
        generator = stable_generator('RandomLabelDataset', self.seed)
        chosen = generator.permutation(len(self._labels))[:count]
        self._labels[chosen] = self._true_labels[generator.permutation(chosen)]
        return chosen

    def _draw(self, infos: Sequence[Dict[str, Any]], count: int) -> np.ndarray:
        """Give that many samples the label that the transform draws for them.

        Returns:
            ndarray: Their indices.
        """
        classes = self._of_uniform['num_classes'] or len(self.CLASSES or ())
        if not classes:
            raise ValueError("RandomLabelDataset: draw='uniform' needs the number of classes, and the dataset names none. "
                             'Set num_classes, to that of model.head.')
        transform = self._transform(classes)
        true_labels = [transform.true_label(info) for info in infos]  # all are checked
        identities = list(map(transform.identity, infos))
        chosen = np.argsort(list(map(transform.rank, identities)), kind='stable')[:count]
        for index in chosen:
            self._labels[index] = transform.draw(identities[index], true_labels[index])
        return chosen

    def _transform(self, num_classes: int) -> RandomLabel:
        """The transform whose labels these are; what it refuses is said of this dataset."""
        try:
            return RandomLabel(**{**self._of_uniform, 'num_classes': num_classes}, seed=self.seed)
        except ValueError as error:
            raise ValueError(str(error).replace('RandomLabel:', 'RandomLabelDataset:', 1)) from None

    @staticmethod
    def _read_label(info: Dict[str, Any]) -> int:
        if 'gt_label' not in info:
            raise ValueError(f"RandomLabelDataset: a sample has no 'gt_label', only {', '.join(info)}. Use a dataset with "
                             'labels (with_label=True).')
        if 'true_label' in info:
            raise ValueError("RandomLabelDataset: a sample has a 'true_label', so its label was replaced before, by a "
                             'RandomLabelDataset further inside. Labels are replaced once; remove one of the two.')
        return single_label('RandomLabelDataset', info['gt_label'])

    @force_full_init
    def get_data_info(self, idx: int) -> dict:
        """Annotation of a sample with its new label, ``true_label`` and ``label_is_random``."""
        info = self.dataset.get_data_info(idx)
        info.update(gt_label=int(self._labels[idx]), true_label=int(self._true_labels[idx]),
                    label_is_random=bool(self._is_random[idx]))
        return info

    @force_full_init
    def get_gt_labels(self) -> np.ndarray:
        """New labels of all samples ``(N, )``."""
        return self._labels.copy()

    @force_full_init
    def __len__(self) -> int:
        return len(self.dataset)
