"""scikit-learn's real handwritten digits, scattered on canvases: what the detection and the segmentation set are made from.

The 1,797 digits (8x8 pixels; UCI, "Optical Recognition of Handwritten Digits") come with scikit-learn, so no download is
needed. Digits of the training and of the validation canvases are different ones. The same arguments give the same canvases.
"""
import argparse
import json
import os
import shutil
from pathlib import Path
from typing import Any, Callable, Iterator, List, Mapping, NamedTuple, Tuple

import cv2
import numpy as np
from sklearn.datasets import load_digits

NUM_TRAIN_DIGITS = 1400
CLASSES = tuple('0123456789')
#: Painted brighter than this is ink; the canvas's own grain stays below.
INK = 60


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
    digits = load_digits()
    pool = slice(NUM_TRAIN_DIGITS, None) if validation else slice(0, NUM_TRAIN_DIGITS)
    images, labels = (digits.images[pool] * (255 / 16)).astype(np.uint8), digits.target[pool]
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
    canvas = rng.integers(0, 40, (size, size)).astype(np.uint8)
    scattered: List[ScatteredDigit] = []
    for _ in range(rng.integers(1, 4)):
        index, side = int(rng.integers(len(images))), int(rng.integers(size // 3, size // 2 + 3))
        painted = cv2.resize(images[index], (side, side), interpolation=cv2.INTER_CUBIC)
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


def write_once(out: Path, recipe: Mapping[str, Any], write: Callable[[Path], None]) -> Path:
    """Write a data set whole or not at all, unless it is there already.

    Args:
        out: Folder of the data set.
        recipe: What it is made from; ``recipe.json`` in the folder.
        write: Writes the data set into the folder that it is given, which does not exist.

    Returns:
        Path: ``out``.
    """
    marker = out / 'recipe.json'
    if marker.is_file() and json.loads(marker.read_text()) == recipe:
        return out
    # written under another name and renamed: an interrupted run leaves nothing that looks complete
    partial = out.with_name(out.name + '.partial')
    shutil.rmtree(partial, ignore_errors=True)
    write(partial)
    (partial / 'recipe.json').write_text(json.dumps(recipe))
    shutil.rmtree(out, ignore_errors=True)
    os.replace(partial, out)
    return out


def run_converter(description: str, make: Callable[..., Path]) -> None:
    """Command line of a converter.

    Args:
        description: What the converter makes.
        make: Called with the folder, the numbers of training and of validation canvases, their size, and the seed.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument('out', type=Path, help='folder to write')
    parser.add_argument('--num-train', type=int, default=6000)
    parser.add_argument('--num-val', type=int, default=200)
    parser.add_argument('--size', type=int, default=64, help='side of a canvas in pixels')
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args()
    make(args.out, args.num_train, args.num_val, args.size, args.seed)
    print(f'{args.num_train} training and {args.num_val} validation canvases in {args.out}')
