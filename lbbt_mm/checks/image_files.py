"""Are image files there, whole, and of the size that their annotations are for?"""
import math
import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from mmcv import imread
from PIL import Image, UnidentifiedImageError

from .datasets import pipeline_step
from .problems import Problem, of_some

#: Values of EXIF's orientation that stand for a quarter turn
_TURNED = (5, 6, 7, 8)
#: And for anything but the image as it is stored
_MOVED = range(2, 9)
_EXIF_ORIENTATION = 0x0112
_BROKEN = 'cannot be decoded to their end'

#: Whether an image is as wide as it should be high, what that means, and what to do
_OF_ANOTHER_SIZE = (
    (True, 'are turned by their EXIF orientation when they are loaded, or lie otherwise',
     "Annotate them as they are shown, or remove the tag (color_type='unchanged' leaves it alone)"),
    (False, 'are of another size', "Correct the annotations' sizes and boxes, or give the images they were made for"))

Size = Tuple[int, int]


class Budget:
    """How many files to open.

    Args:
        seconds: How long to go on, for each kind of file of a data set; None for all files.
        least: So many are opened however long it takes.
        whole: Where there are no more than these, all are opened.
        progress: Called with the number of files looked at and their total, or None.
    """

    def __init__(self, seconds: Optional[float] = 0.04, least: int = 32, whole: int = 400,
                 progress: Optional[Callable[[str, int, int], None]] = None) -> None:
        self.seconds, self.least, self.whole, self.progress = seconds, least, whole, progress

    def spend(self, what: str, items: Sequence[Any], look: Callable[[Any], Any]) -> List[Tuple[Any, Any]]:
        """Look at an evenly spaced part of some items, on all cores: decoders leave Python alone.

        Args:
            what: What it is, for the progress.
            items: The items.
            look: Looks at one.

        Returns:
            list[tuple]: Items and what was seen of them, in the order of ``items``.
        """
        started, seen, order = time.monotonic(), {}, evenly(len(items))
        threads = len(os.sched_getaffinity(0))
        least = len(order) if len(order) <= self.whole else self.least
        with ThreadPoolExecutor(threads) as pool:
            for begin in range(0, len(order), 8 * threads):
                if self.seconds is not None and begin >= least and time.monotonic() - started > self.seconds:
                    break
                part = order[begin:begin + 8 * threads]
                seen.update(zip(part, pool.map(look, [items[index] for index in part])))
                if self.progress:
                    self.progress(what, len(seen), len(items))
        return [(items[index], seen[index]) for index in sorted(seen)]


#: What is opened before a run
SAMPLE = Budget()


def evenly(count: int) -> List[int]:
    """An order of 0 to ``count`` - 1 of which every beginning is about evenly spaced."""
    if count <= 1:
        return list(range(count))
    step = max(int(count * 0.6180339887), 1)  # the golden ratio's multiples fill a circle evenly
    while math.gcd(step, count) != 1:
        step += 1
    return [index * step % count for index in range(count)]


class Look(NamedTuple):
    """What was seen of an image file.

    Attributes:
        fault: What is wrong with it, as is said of several; empty for nothing.
        size: Width and height as mmcv would load it.
        turned: Whether its EXIF orientation turns or mirrors it when it is loaded.
    """
    fault: str = ''
    size: Optional[Size] = None
    turned: bool = False


def look_at_image(path: str, loading: Optional[Mapping] = None, decode: bool = True) -> Look:
    """Open an image file as far as is needed to know that it can be decoded.

    Args:
        path: The file.
        loading: The pipeline's step that loads it, which may leave EXIF's orientation alone; None for a mask.
        decode: Whether to read it to its end, rather than its head for its size.
    """
    turns = loading is not None and loading.get('color_type', 'color') in ('color', 'grayscale')
    try:
        if not os.path.getsize(path):
            return Look('are empty')
        with Image.open(path) as image:
            orientation = image.getexif().get(_EXIF_ORIENTATION) if turns else None
            size = image.size[::-1] if orientation in _TURNED else image.size
            if decode:
                image.draft('L', (1, 1))  # of a JPEG all bytes are read, and few of its pixels are computed
                image.load()
        return Look('', size, orientation in _MOVED)
    except FileNotFoundError:
        return Look('are absent')
    except Image.DecompressionBombError:
        return Look()
    except UnidentifiedImageError:
        return _look_with_mmcv(path)
    except Exception:  # decoders raise what they like
        return Look(_BROKEN)


def _look_with_mmcv(path: str) -> Look:
    """For formats that Pillow does not know."""
    try:
        height, width = imread(path).shape[:2]
        return Look('', (width, height))
    except Exception:
        return Look(_BROKEN)


def paths_below(folder: Any, names: Iterable[str]) -> List[str]:
    """Names of files below a folder, as paths."""
    start = os.path.join(folder, '')
    return [os.path.join(start, name) if name[:1] == os.sep else start + name for name in names]


def missing_files(paths: Sequence[str]) -> List[str]:
    """Which files are not there, by the lists of their folders."""
    folders = {path[:path.rfind(os.sep) + 1] for path in paths}
    there = {folder + name for folder in folders if os.path.isdir(folder or os.curdir)
             for name in os.listdir(folder or os.curdir)}
    return [path for path in paths if path not in there]


def look_at_images(where: str, paths: Sequence[str], pipeline: Any, budget: Budget,
                   sizes: Sequence[Size] = (), may_pass: bool = True) -> Iterator[Problem]:
    """Look at images that a run will load.

    Args:
        where: The data set.
        paths: Its images.
        pipeline: Their pipeline; ``ignore_empty=True`` of its LoadImageFromFile passes over what cannot be loaded.
        budget: How many to open.
        sizes: Width and height that each has by its annotations, if they say so.
        may_pass: Whether the data set takes another sample for one that is passed over; with ``test_mode`` it does not.

    Yields:
        Problem: What is wrong, in one line each.
    """
    loading = pipeline_step(pipeline, 'LoadImageFromFile') or {}
    passes, wanted = bool(loading.get('ignore_empty')) and may_pass, dict(zip(paths, sizes))
    missing = missing_files(paths)
    yield from of_some(where, missing, len(paths), 'images are not there', 'Add them, take them out of the annotations, or '
                       'correct data_root or data_prefix.', None if passes else True)
    gone = set(missing)
    there = [path for path in paths if path not in gone] if gone else paths
    seen = budget.spend(where, there, lambda path: look_at_image(path, loading))
    asked = '' if len(seen) == len(there) else ' that were looked at'
    for fault in sorted({look.fault for _, look in seen} - {''}):
        found = [path for path, look in seen if look.fault == fault]
        yield from of_some(where, found, len(seen), f'images{asked} {fault}', 'Replace them, or take them out of the '
                           'annotations.', None if passes else True)
    moved = [path for path, look in seen if look.turned and (path not in wanted or look.size == tuple(wanted[path]))]
    yield from of_some(where, moved, len(seen), f'images{asked} are turned or mirrored by their EXIF orientation when they '
                       'are loaded', 'Boxes and masks have to be for the image as it is shown; masks are loaded as they are '
                       'stored.', fatal=False)
    yield from _of_another_size(where, seen, wanted, asked)


def _of_another_size(where: str, seen: Sequence[Tuple[str, Look]], wanted: Mapping[str, Size],
                     asked: str) -> Iterator[Problem]:
    sized = [(path, look.size, tuple(wanted[path])) for path, look in seen if look.size and path in wanted]
    wrong = [one for one in sized if one[1] != one[2]]
    for turned, what, remedy in _OF_ANOTHER_SIZE:
        found = [f'{path}: {size[0]}x{size[1]} pixels, annotations {annotated[0]}x{annotated[1]}'
                 for path, size, annotated in wrong if (size[::-1] == annotated) == turned]
        yield from of_some(where, found, len(sized), f'images{asked} {what} than the annotations say', f'{remedy}.',
                           fatal=len(wrong) == len(sized))
