"""Images that features are made of: those of a caption file, or of a config's own data set."""
import os
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Sequence, Tuple, Union

from torch import Tensor

from lbbt_mm.datasets.captions import CaptionSet
from lbbt_mm.registry import type_name

_READERS, _AT_ONCE = 8, 256


class CaptionImages:
    """The images of a caption file, each as a config's pipeline makes it.

    Args:
        captions: The file.
        pipeline: Steps of the pipeline, the one that loads a file among them.
        label: What the model is called.

    Raises:
        FileNotFoundError: If an image is not there.
        ValueError: If the pipeline loads no files: then how the model would see them is not known.
    """

    def __init__(self, captions: CaptionSet, pipeline: Sequence[dict], label: str) -> None:
        from mmengine.dataset import Compose
        captions.check_images()
        place = next((place for place, step in enumerate(pipeline) if type_name(step) == 'LoadImageFromFile'), None)
        if place is None:
            raise ValueError(f'{label}: its pipeline loads no image files (LoadImageFromFile), so how it would see those of '
                             f'{captions.source} is not known. Add it, or give --split.')
        self.keys, self._captions = captions.keys, captions
        self._loader, *self._steps = Compose(deepcopy(list(pipeline[place:]))).transforms

    def content(self, row: int) -> bytes:
        """What an image's file holds."""
        return self._captions.read(row)

    def image(self, row: int) -> Tensor:
        """An image behind the pipeline, ``(3, H, W)``."""
        import mmcv
        loader, content = self._loader, self.content(row)
        try:
            pixels = mmcv.imfrombytes(content, flag=loader.color_type, backend=loader.imdecode_backend)
        except Exception:  # each decoder raises its own types; cv2 gives None
            pixels = None
        if pixels is None:
            raise ValueError(f'{self._captions.source}: the image {self.keys[row]} cannot be decoded. Leave it out, or '
                             'fetch it again.')
        results = dict(img=pixels.astype('float32') if loader.to_float32 else pixels, img_shape=pixels.shape[:2],
                       ori_shape=pixels.shape[:2], img_path=self.keys[row], sample_idx=row)
        for step in self._steps:
            results = step(results)
        return results['inputs']


class SplitImages:
    """The images of one of a config's data sets, in its order.

    Args:
        dataset: The config of a data loader's data set.
        name: What it is called, for messages.

    Raises:
        FileNotFoundError: If it is not there.
        ValueError: If two of its images have one path.
    """

    def __init__(self, dataset: Dict[str, Any], name: str) -> None:
        from mmengine.registry import DATASETS
        try:
            self._dataset, self._name = DATASETS.build(deepcopy(dataset)), name
        except FileNotFoundError as error:
            raise FileNotFoundError(f'{name}: its data set is not there ({error.filename or error}). Put it there, or say '
                                    'where it is: --cfg-options, or LBBT_DATA_ROOT where the config reads it.') from None
        root = getattr(self._dataset, 'img_prefix', '') or getattr(self._dataset, 'data_root', '') or ''
        infos = map(self._dataset.get_data_info, range(len(self._dataset)))
        self.keys = [os.path.relpath(info['img_path'], root) if root and info.get('img_path') else
                     str(info.get('img_path') or row) for row, info in enumerate(infos)]
        if len(set(self.keys)) < len(self.keys):
            raise ValueError(f'{name}: {len(self.keys) - len(set(self.keys))} images are there twice; expected each once.')

    def content(self, row: int) -> bytes:
        """What an image's file holds; where the data set has no files, the image itself."""
        info = self._dataset.get_data_info(row)
        return Path(info['img_path']).read_bytes() if info.get('img_path') else info['img'].tobytes()

    def image(self, row: int) -> Tensor:
        """An image behind the pipeline, ``(3, H, W)``."""
        # a data set's own [] would take another image for one that cannot be loaded; mmengine's wrappers have nothing else
        found = getattr(self._dataset, 'prepare_data', self._dataset.__getitem__)(row)
        if found is None:
            raise ValueError(f'{self._name}: the image {self.keys[row]} cannot be loaded. Leave it out, or fetch it again.')
        return found['inputs']


Source = Union[CaptionImages, SplitImages]


def contents(source: Source, track: Callable[..., Iterator]) -> Iterator[Tuple[str, bytes]]:
    """Key and content of every image, in order; several files are read at once.

    Args:
        source: The images.
        track: Shows progress over them.
    """
    rows = range(len(source.keys))
    with ThreadPoolExecutor(_READERS) as readers:
        found = (content for first in rows[::_AT_ONCE]
                 for content in readers.map(source.content, rows[first:first + _AT_ONCE]))
        yield from zip(source.keys, track(found, total=len(rows)))


class _Rows:
    """A data set of images for torch's loader; what goes wrong with one is handed over as it was raised."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def __getitem__(self, row: int) -> Union[Tensor, Exception]:
        from lbbt_mm.random_state import random_state_of
        try:
            with random_state_of(0):  # where the pipeline draws, an image is the same whatever came before it
                return self._source.image(row)
        except Exception as error:
            return error


def batches(source: Source, rows: Sequence[Sequence[int]], workers: int) -> Iterator[List[Tensor]]:
    """Images behind the pipeline, batch by batch.

    Args:
        source: The images.
        rows: Which images each batch has.
        workers: Processes that load them; 0 for this one.

    Raises:
        Exception: What was raised where an image was loaded.
    """
    import cv2
    from torch.utils.data import DataLoader
    cv2.setNumThreads(0)  # its threads do not live on in the processes, which would wait for them for ever
    for batch in DataLoader(_Rows(source), batch_sampler=rows, num_workers=workers, collate_fn=list):
        error = next((found for found in batch if isinstance(found, Exception)), None)
        if error is not None:
            raise error
        yield batch
