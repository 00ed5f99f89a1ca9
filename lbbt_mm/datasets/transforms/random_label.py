"""Random labels that are a function of (seed, sample), drawn in the pipeline."""
import hashlib
import os
from typing import Any, Dict, Optional, Tuple, Union

import numpy as np
from mmcv.transforms import BaseTransform

from lbbt_mm.argument_checks import check_choice, check_count, is_whole
from lbbt_mm.registry import TRANSFORMS
from ..data_root import DataRoot
from ..stable_draw import check_draw, single_label, stable_hash, unit_interval

# Key -> what it reads from the sample, in the order in which they are recommended
_SOURCES = {'img_path': 'img_path', 'pixels': 'img', 'sample_idx': 'sample_idx'}
Identity = Tuple[Union[str, int], ...]


@TRANSFORMS.register_module()
class RandomLabel(BaseTransform):
    """Replace labels by random ones, the targets of language bias bridge training.

    A sample's label is a function of (seed, salt, key) alone, so it is the same over epochs, workers, ranks, machines and
    restarts. One draw decides whether a sample's label is random; the samples that are random at ratio 0.15 are random at
    0.30 too, with the same labels. A second, independent draw gives the class, uniformly over all classes, the true one
    included unless ``exclude_true`` is set. Sampling by class (``ClassBalancedDataset``) happens before the pipeline and
    sees the true labels. ``ratio`` is the probability of each sample; for an exact share see
    :class:`lbbt_mm.RandomLabelDataset` with ``draw='uniform'``, which knows all samples, as a transform does not.

    **Required keys:** ``gt_label``, and what ``key`` names.
    **Modified keys:** ``gt_label``. **Added keys:** ``true_label`` (int) and ``label_is_random`` (bool). They reach the data
    sample through ``PackInputs(meta_keys=('true_label', 'label_is_random', ...))``.

    Args:
        num_classes: Number of classes, that of ``model.head``. This package's tools, ``lbbt_mm.BridgeValLoop`` and
            ``lbbt_mm.LanguageConfigHook`` compare the two before training.
        ratio: Share of samples whose label is random, from 0 to 1. Defaults to 1.0.
        seed: Seed of the labels. Defaults to 0.
        key: What identifies a sample. Defaults to ``'img_path'``.

            - ``'img_path'``: the image's path relative to ``data_root``, the same in every wrapper and with ``indices``.
            - ``'sample_idx'``: the index in the innermost dataset, for datasets without paths. Labels are the same in
              ``lbbt_mm.EvenSubset``, ``RepeatDataset`` and ``ClassBalancedDataset``. They are others with ``indices=``,
              which numbers the samples anew (except the first N, ``indices=N``), and with another list of files. Each
              dataset counts from 0: in a ``ConcatDataset``, give each of its datasets a ``salt``.
            - ``'pixels'``: the loaded image's bytes, shape and dtype. The transform must then stand directly after
              loading, before resizing and augmentation. Equal images get equal labels, and another image decoder may give
              other labels.
        data_root: Folder or URL that image paths are made relative to; only for ``key='img_path'``, which needs it.
        salt: Gives samples with equal keys different labels, for example in concatenated datasets. Defaults to ''.
        exclude_true: Draw uniformly over the *other* classes, so that a random label is never the true one, as public code
            of LBBT does. Such labels still say something about the images: what the true class is not. Who fits them and
            is asked for the true class answers below chance: see ``docs/reproduction.md``. Defaults to False.

    Raises:
        ValueError: If an argument is out of range, or ``data_root`` is missing.
    """

    def __init__(self,
                 num_classes: int,
                 ratio: float = 1.0,
                 seed: int = 0,
                 key: str = 'img_path',
                 data_root: Optional[Union[str, os.PathLike]] = None,
                 salt: Union[str, int] = '',
                 exclude_true: bool = False) -> None:
        check_count('RandomLabel: num_classes', num_classes, more=', that of model.head')
        check_draw('RandomLabel', ratio, seed)
        check_choice('RandomLabel: key', key, _SOURCES)
        if not (is_whole(salt) or isinstance(salt, str)):
            raise ValueError(f'RandomLabel: salt={salt!r}; expected a string.')
        if key == 'img_path' and not data_root:
            raise ValueError(f"RandomLabel: key='img_path' needs data_root, found {data_root!r}; expected the folder that "
                             "image paths are made relative to. Set data_root to the dataset's own, or choose "
                             "key='pixels' or key='sample_idx'.")
        if not isinstance(exclude_true, bool):
            raise ValueError(f'RandomLabel: exclude_true={exclude_true!r}; expected True or False.')
        if exclude_true and num_classes < 2:
            raise ValueError('RandomLabel: exclude_true=True with num_classes=1 leaves no class to draw. Set it to False.')
        self.num_classes = num_classes
        self.ratio = ratio
        self.seed = seed
        self.key = key
        self.data_root = data_root
        self.salt = str(salt)  # a number on the command line is read as one
        self.exclude_true = exclude_true
        self._root = DataRoot(data_root) if key == 'img_path' else None

    def transform(self, results: Dict[str, Any]) -> Dict[str, Any]:
        """Replace the label of one sample.

        Args:
            results: The sample.

        Returns:
            dict: The same sample, with ``gt_label``, ``true_label`` and ``label_is_random`` set.

        Raises:
            ValueError: If the sample lacks a key, was relabelled before, or has a label that ``num_classes`` excludes.
        """
        true_label = self.true_label(results)
        identity = self.identity(results)
        is_random = self.rank(identity) < self.ratio
        label = self.draw(identity, true_label) if is_random else true_label
        results.update(gt_label=label, true_label=true_label, label_is_random=is_random)
        return results

    def identity(self, results: Dict[str, Any]) -> Identity:
        """All that a sample's label is a function of, besides the true one.

        Raises:
            ValueError: If the sample lacks what ``key`` names.
        """
        return self.seed, self.salt, self.key, self._identify(results)

    @staticmethod
    def rank(identity: Identity) -> float:
        """A number from 0 to 1, uniform over samples: a sample's label is random where it is below ``ratio``."""
        return unit_interval(stable_hash('is random', *identity))

    def draw(self, identity: Identity, true_label: int) -> int:
        """The random label of a sample, from 0 to ``num_classes - 1``."""
        number = stable_hash('class', *identity)
        if not self.exclude_true:
            return number % self.num_classes
        label = number % (self.num_classes - 1)
        return label + (label >= true_label)  # the classes behind the true one move up by one

    def true_label(self, results: Dict[str, Any]) -> int:
        """The true label of a sample.

        Raises:
            ValueError: If it has none or several, was relabelled before, or has one that ``num_classes`` excludes.
        """
        if 'gt_label' not in results:
            raise ValueError(f"RandomLabel: the sample has no 'gt_label', only {', '.join(results)}. Use a dataset with "
                             'labels (with_label=True); they are kept as true_label.')
        if 'true_label' in results:
            raise ValueError("RandomLabel: the sample has a 'true_label', so its label was replaced before. Remove one of "
                             'the two RandomLabel transforms, or lbbt_mm.RandomLabelDataset.')
        label = single_label('RandomLabel', results['gt_label'])
        if not 0 <= label < self.num_classes:
            raise ValueError(f'RandomLabel: num_classes={self.num_classes}, but a sample has the true label {label}. Set '
                             'num_classes, here and in model.head, to the number of classes of the dataset, or more.')
        return label

    def _identify(self, results: Dict[str, Any]) -> Union[str, int]:
        """The value that identifies the sample in the hash."""
        source = results.get(_SOURCES[self.key])
        if source is None:
            present = [key for key, name in _SOURCES.items() if results.get(name) is not None]
            choices = ' or '.join(f'key={key!r}' for key in present) or 'a dataset that has one of these'
            moved = ', or move RandomLabel behind the transform that loads the image' if self.key == 'pixels' else ''
            raise ValueError(f'RandomLabel: key={self.key!r} needs {_SOURCES[self.key]!r}, which the sample does not have; '
                             f'found {", ".join(results)}. Choose {choices}{moved}.')
        if self.key == 'img_path':
            try:
                return self._root.relative(source)
            except ValueError as error:
                raise ValueError(f"RandomLabel: key='img_path': {error}") from None
        if self.key == 'sample_idx':
            if not (is_whole(source) or isinstance(source, np.integer)):
                raise ValueError(f"RandomLabel: key='sample_idx' needs a whole number, found results['sample_idx']="
                                 f"{source!r}. Use a dataset of mmengine's, or another key.")
            return int(source)
        if not isinstance(source, np.ndarray) or source.dtype == object:
            raise ValueError(f"RandomLabel: key='pixels' needs an image array, found results['img'] of type "
                             f'{type(source).__name__}. Put RandomLabel directly after the transform that loads the image.')
        header = f'{source.shape} {source.dtype.str} '.encode('ascii')
        return hashlib.sha256(header + np.ascontiguousarray(source).tobytes()).hexdigest()

    def __repr__(self) -> str:
        return (f'{type(self).__name__}(num_classes={self.num_classes}, ratio={self.ratio}, seed={self.seed}, '
                f'key={self.key!r}, data_root={self.data_root!r}, salt={self.salt!r}, '
                f'exclude_true={self.exclude_true})')
