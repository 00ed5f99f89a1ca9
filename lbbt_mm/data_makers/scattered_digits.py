"""scikit-learn's real handwritten digits, scattered on canvases: what the detection and the segmentation set are made from.

The 1,797 digits (8x8 pixels; UCI, "Optical Recognition of Handwritten Digits") come with scikit-learn, so no download is
needed. Digits of the training and of the validation canvases are different ones. The same arguments give the same canvases.
"""
from pathlib import Path
from types import MappingProxyType
from typing import Callable, Iterator, List, Mapping, NamedTuple, Tuple

import numpy as np

from lbbt_mm import argument_types
from .whole_folder import converter_parser, write_once

NUM_TRAIN_DIGITS = 1400
CLASSES = tuple('0123456789')
#: Painted brighter than this is ink; the canvas's own grain stays below.
INK = 60
#: A digit's side is a third of the canvas's or more; below three pixels some digits leave no ink.
MIN_SIZE = 9


class ScatteredDigit(NamedTuple):
    """A digit on a canvas.

    Attributes:
        index: Which of the given digits it is.
        box: (x, y, width, height) of its ink in pixels.
        corner: (x, y) of the upper left corner of ``painted``.
        painted: What was painted, ``(side, side)``, bright on black.
    """
    index: int
    box: Tuple[int, int, int, int]
    corner: Tuple[int, int]
    painted: np.ndarray


class Canvas(NamedTuple):
    """A canvas and what is on it.

    Attributes:
        image: The grey canvas ``(size, size)``.
        digits: Its digits and their labels.
    """
    image: np.ndarray
    digits: List[Tuple[ScatteredDigit, int]]


def read_digits() -> Tuple[np.ndarray, np.ndarray]:
    """scikit-learn's digits ``(1797, 8, 8)``, bright on black, uint8; and their labels ``(1797, )``."""
    from sklearn.datasets import load_digits  # not for --help
    digits = load_digits()
    return (digits.images * (255 / 16)).astype(np.uint8), digits.target


def canvases(validation: bool, count: int, size: int, seed: int) -> Iterator[Canvas]:
    """Scatter the digits of a split.

    Args:
        validation: Whether it is the validation split.
        count: Number of canvases.
        size: Side of a canvas in pixels.
        seed: Seed of the scattering.

    Yields:
        Canvas: The canvases in order.
    """
    pool = slice(NUM_TRAIN_DIGITS, None) if validation else slice(0, NUM_TRAIN_DIGITS)
    images, labels = (column[pool] for column in read_digits())
    rng = np.random.default_rng([seed, validation])
    for _ in range(count):
        image, scattered = scatter(images, rng, size)
        yield Canvas(image, [(digit, int(labels[digit.index])) for digit in scattered])


def scatter(images: np.ndarray, rng: np.random.Generator, size: int) -> Tuple[np.ndarray, List[ScatteredDigit]]:
    """Paint one to three digits of different sizes on a grainy canvas, none over another.

    Args:
        images: Digits ``(N, 8, 8)``, bright on black.
        rng: Source of randomness.
        size: Side of the canvas in pixels.

    Returns:
        tuple: The grey canvas ``(size, size)`` and its digits.
    """
    from cv2 import INTER_CUBIC, resize  # not for --help
    canvas = rng.integers(0, 40, (size, size)).astype(np.uint8)
    scattered: List[ScatteredDigit] = []
    for _ in range(rng.integers(1, 4)):
        index, side = int(rng.integers(len(images))), int(rng.integers(size // 3, size // 2 + 3))
        painted = resize(images[index], (side, side), interpolation=INTER_CUBIC)
        columns, rows = np.where((painted > INK).any(0))[0], np.where((painted > INK).any(1))[0]
        for _ in range(20):
            left, top = rng.integers(0, size - side, 2).tolist()
            box = (left + int(columns[0]), top + int(rows[0]), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1)
            if not any(_touch(box, other.box) for other in scattered):
                place = canvas[top:top + side, left:left + side]
                np.maximum(place, painted, out=place)
                scattered.append(ScatteredDigit(index, box, (left, top), painted))
                break
    return canvas, scattered


def _touch(a: Tuple[int, ...], b: Tuple[int, ...], gap: int = 2) -> bool:
    return (a[0] < b[0] + b[2] + gap and b[0] < a[0] + a[2] + gap and a[1] < b[1] + b[3] + gap
            and b[1] < a[1] + a[3] + gap)


class CanvasSet(NamedTuple):
    """A kind of data set of canvases, and how it is written.

    Attributes:
        description: What it is, for the converter's ``--help``.
        converter: File name of its converter, by which a set is known again.
        splits: What its training and its validation split are called.
        write_split: Writes a split: called with the set's folder, the split's name and its canvases.
        recipe: What else its files are made from.
    """
    description: str
    converter: str
    splits: Tuple[str, str]
    write_split: Callable[[Path, str, Iterator[Canvas]], None]
    recipe: Mapping[str, int] = MappingProxyType({})

    def make(self, out: Path, num_train: int = 6000, num_val: int = 200, size: int = 64, seed: int = 0) -> Path:
        """Write the data set, unless it is there already.

        Args:
            out: Folder of the data set.
            num_train: Number of training canvases.
            num_val: Number of validation canvases.
            size: Side of a canvas in pixels.
            seed: Seed of the scattering.

        Returns:
            Path: ``out``, absolute.

        Raises:
            ValueError: If a number is too small.
            FileExistsError: If ``out`` holds something else; nothing is touched.
        """
        recipe = dict(num_train=num_train, num_val=num_val, size=size, seed=seed)
        least = dict(num_train=1, num_val=1, size=MIN_SIZE, seed=0)
        odd = next((name for name in recipe if recipe[name] < least[name]), None)
        if odd:
            raise ValueError(f'--{odd.replace("_", "-")} {recipe[odd]}: expected {least[odd]} or more')

        def write(root: Path) -> None:
            """Write both splits into a folder."""
            for validation, (split, count) in enumerate(zip(self.splits, (num_train, num_val))):
                self.write_split(root, split, canvases(bool(validation), count, size, seed))

        return write_once(out, self.converter, {**recipe, **self.recipe}, write)

    def main(self) -> None:
        """Command line of the converter."""
        parser = converter_parser(self.description)
        parser.add_argument('--num-train', type=argument_types.count, default=6000, metavar='N',
                            help='training canvases; default: %(default)s')
        parser.add_argument('--num-val', type=argument_types.count, default=200, metavar='N',
                            help='validation canvases; default: %(default)s')
        parser.add_argument('--size', type=argument_types.count, default=64, metavar='PIXELS',
                            help=f'side of a canvas, {MIN_SIZE} or more; default: %(default)s')
        parser.add_argument('--seed', type=argument_types.seed, default=0, help='of the scattering; default: %(default)s')
        args = parser.parse_args()
        self.make(args.out, args.num_train, args.num_val, args.size, args.seed)
        print(f'{args.num_train} training and {args.num_val} validation canvases in {args.out}')
