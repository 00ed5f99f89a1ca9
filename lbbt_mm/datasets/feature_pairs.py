"""FeaturePairs: images and their captions as features that were computed once, read a batch at a time."""
from itertools import groupby
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np
import torch
from mmengine.structures import BaseDataElement
from torch import Tensor
from torch.utils.data import Dataset

from lbbt_mm.argument_checks import check_choice, check_number
from lbbt_mm.files.feature_store import FeatureStore
from lbbt_mm.registry import DATASETS
from .stable_draw import stable_generator, stable_hash, unit_interval

_CAPTIONS, _SPLITS = ('draw', 'first', 'all'), (None, 'train', 'val')
_AGAIN = 'Make both stores from the same captions with tools/precompute_features.py.'


@DATASETS.register_module()
class FeaturePairs(Dataset):
    """Pairs of an image's features and a caption's, out of two stores (:class:`lbbt_mm.files.feature_store.FeatureStore`).

    A batch is one read of each store, so a loader takes ``collate_fn=dict(type='lbbt_mm.collate_pairs')``. An index beyond
    the size is a sample of a later epoch: ``index = epoch * len(self) + sample``; :class:`lbbt_mm.PairSampler` gives such.

    Args:
        image_store: Folder of the images' features.
        text_store: Folder of the captions' features; those of an image in a row, and images in the same order.
        image_expected: Fields of its index that the image store has to have, such as ``dict(model=..., pooling=...)``: what
            the config's vision model would give. Defaults to None, any.
        text_expected: Likewise of the text store.
        captions: Of an image with several captions take ``'draw'``, another one in each epoch, a function of (seed, epoch,
            sample); ``'first'``; or ``'all'``, a sample each. Defaults to ``'draw'``.
        split: ``'train'`` or ``'val'``: the share of the images that a hash of their keys puts there, whatever the order and
            number of the others. Defaults to None, all.
        val_share: The share of ``'val'``. Defaults to 0.02.
        keys: Only the images with these keys: a list, or a file with one a line. Defaults to None, all.
        seed: Seed of the captions that are drawn. Defaults to 0.
        with_samples: Whether a batch has ``data_samples``, which metrics need and training does not. Defaults to None: if no
            captions are drawn.

    Raises:
        FileNotFoundError: If there is no such store or file.
        ValueError: If the stores do not belong together, are not those expected, or a setting cannot be.
    """

    #: A sample depends on its index alone, see :class:`lbbt_mm.SeedingHook`.
    draws_by_index = True

    def __init__(self,
                 image_store: str,
                 text_store: str,
                 image_expected: Optional[Mapping[str, Any]] = None,
                 text_expected: Optional[Mapping[str, Any]] = None,
                 captions: str = 'draw',
                 split: Optional[str] = None,
                 val_share: float = 0.02,
                 keys: Optional[Union[str, Sequence[str]]] = None,
                 seed: int = 0,
                 with_samples: Optional[bool] = None) -> None:
        _check(captions, split, val_share)
        self.images = FeatureStore.open(image_store, **{**(image_expected or {}), 'kind': 'image'})
        self.texts = FeatureStore.open(text_store, **{**(text_expected or {}), 'kind': 'text'})
        self.captions, self.seed = captions, seed
        self.with_samples = captions != 'draw' if with_samples is None else with_samples
        first, counts = captions_of_images(self.images, self.texts)
        chosen = self._chosen(split, val_share, keys)
        self._image_rows, self._text_rows, self._counts = chosen, first[chosen], counts[chosen]
        if captions == 'all':
            self._image_rows = chosen.repeat_interleave(self._counts)
            self._text_rows = torch.cat([torch.arange(start, start + count) for start, count in
                                         zip(self._text_rows.tolist(), self._counts.tolist())])
            self._counts = torch.ones_like(self._text_rows)
        self._several = bool((self._counts > 1).any())
        self._drawn: Tuple[int, Tensor] = (-1, torch.zeros(0))

    @property
    def metainfo(self) -> Dict[str, Any]:
        """Which models' features these are; checkpoints keep it."""
        return dict(image_features=self.images.index.of_model, text_features=self.texts.index.of_model)

    def __len__(self) -> int:
        return len(self._image_rows)

    def __getitem__(self, index: int) -> Dict[str, Any]:
        batch = self.__getitems__([index])
        sample = dict(inputs={name: features[0] for name, features in batch['inputs'].items()})
        return {**sample, **({'data_samples': batch['data_samples'][0]} if self.with_samples else {})}

    def __getitems__(self, indices: Sequence[int]) -> Dict[str, Any]:
        """A batch.

        Args:
            indices: Which samples, of which epochs.

        Returns:
            dict: ``inputs``, a dict of ``image`` (N, C) and ``text`` (N, C'); with ``with_samples`` also ``data_samples``,
            each with ``image_key`` and ``text_row``, the row in the text store.

        Raises:
            FeatureError: If features are not finite.
        """
        indices = torch.tensor([int(index) for index in indices])
        epochs, places = indices.div(len(self), rounding_mode='floor'), indices % len(self)
        image_rows, text_rows = self._image_rows[places], self._text_rows[places]
        if self.captions == 'draw' and self._several:
            text_rows = text_rows + self._draw(epochs, places)
        batch = dict(inputs=dict(image=self.images.rows(image_rows), text=self.texts.rows(text_rows)))
        if self.with_samples:
            batch['data_samples'] = [BaseDataElement(metainfo=dict(image_key=self.images.keys[image], text_row=text))
                                     for image, text in zip(image_rows.tolist(), text_rows.tolist())]
        return batch

    def _draw(self, epochs: Tensor, places: Tensor) -> Tensor:
        """Which of its captions each sample has in its epoch."""
        drawn = torch.zeros_like(places)
        for epoch in epochs.unique().tolist():
            if self._drawn[0] != epoch:
                numbers = stable_generator('FeaturePairs', self.seed, epoch).random_sample(len(self))
                self._drawn = epoch, torch.from_numpy((numbers * self._counts.numpy()).astype(np.int64))
            drawn[epochs == epoch] = self._drawn[1][places[epochs == epoch]]
        return drawn

    def _chosen(self, split: Optional[str], val_share: float, keys: Any) -> Tensor:
        """Rows of the images that this data set has."""
        wanted = None if keys is None else read_keys(keys)
        absent = sorted(wanted - set(self.images.keys)) if wanted is not None else []
        if absent:
            raise ValueError(f'keys: {absent[0]!r:.120} is no image of {self.images.folder} ({len(absent)} of {len(wanted)} '
                             'are not there). Correct the list, or give the store that it was made for.')
        rows = [row for row, key in enumerate(self.images.keys)
                if (wanted is None or key in wanted) and (split is None or split == split_of(key, val_share))]
        if not rows:
            raise ValueError(f'{self.images.folder}: no image of {len(self.images)} is in split={split!r} with '
                             f'val_share={val_share}; expected one at least. Change val_share, or give keys.')
        return torch.tensor(rows)


def captions_of_images(images: FeatureStore, texts: FeatureStore) -> Tuple[Tensor, Tensor]:
    """Where each image's captions are.

    Args:
        images: The images' features.
        texts: The captions' features.

    Returns:
        tuple[Tensor, Tensor]: First row of each image's captions, and how many they are, each ``(images, )``.

    Raises:
        ValueError: If the stores have other images, or the same ones in another order.
    """
    groups = [(key, sum(1 for _ in rows)) for key, rows in groupby(texts.keys)]
    keys = [key for key, _ in groups]
    if keys != images.keys:
        raise ValueError(_how_they_differ(images, texts, keys))
    counts = torch.tensor([count for _, count in groups])
    return counts.cumsum(0) - counts, counts


def _how_they_differ(images: FeatureStore, texts: FeatureStore, keys: List[str]) -> str:
    names = f'{images.folder} and {texts.folder}'
    if len(set(images.keys)) < len(images.keys):
        return f'{images.folder}: an image is there twice; expected a row each. Make it again.'
    no_caption, no_image = (sorted(set(one) - set(other)) for one, other in ((images.keys, keys), (keys, images.keys)))
    if no_caption or no_image:
        example = f'{no_caption[0]!r:.120} has no caption' if no_caption else f'{no_image[0]!r:.120} has no image'
        return f'{names}: {len(images.keys)} images, and captions of {len(set(keys))}; {example}. {_AGAIN}'
    place = next(place for place, pair in enumerate(zip(images.keys, keys)) if pair[0] != pair[1])
    return (f'{names}: the same images in another order; number {place} is {images.keys[place]!r:.120} in one and '
            f'{keys[place]!r:.120} in the other. {_AGAIN}')


def split_of(key: str, val_share: float) -> str:
    """The split that an image is in, by a hash of its key: ``'train'`` or ``'val'``."""
    return 'val' if unit_interval(stable_hash('FeaturePairs', 'split', key)) < val_share else 'train'


def read_keys(keys: Union[str, Sequence[str]]) -> set:
    """Keys of a list, or of a file with one a line.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If there are none.
    """
    if isinstance(keys, str):
        path = Path(keys).expanduser()
        if not path.is_file():
            raise FileNotFoundError(f'keys: {path} does not exist; expected a file with the key of an image in each line.')
        lines = path.read_text(encoding='utf-8').splitlines()
    else:
        lines = list(keys)
    found = {str(line).strip() for line in lines} - {''}
    if not found:
        raise ValueError(f'keys: {keys if isinstance(keys, str) else "the list"} is empty; expected keys of images.')
    return found


def _check(captions: str, split: Optional[str], val_share: float) -> None:
    check_choice('FeaturePairs: captions', captions, _CAPTIONS)
    check_choice('FeaturePairs: split', split, _SPLITS)
    check_number('FeaturePairs: val_share', val_share, above=0, below=1)
