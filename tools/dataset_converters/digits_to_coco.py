"""Make a detection set in the COCO layout from scikit-learn's real handwritten digits, scattered on canvases.

The 1,797 digits (8x8 pixels; UCI, "Optical Recognition of Handwritten Digits") come with scikit-learn, so no download is
needed. Digits of the training and of the validation canvases are different ones. The same arguments give the same files.
"""
import argparse
import json
import os
import shutil
from pathlib import Path
from typing import Dict, List, Tuple

import cv2
import numpy as np
from sklearn.datasets import load_digits

NUM_TRAIN_DIGITS = 1400
CLASSES = tuple('0123456789')


def make_digits_detection(out: Path, num_train: int = 6000, num_val: int = 200, size: int = 64, seed: int = 0) -> Path:
    """Write the data set, unless it is there already.

    Args:
        out: Folder of the data set; gets ``annotations/instances_{train,val}2017.json``, ``train2017/``, ``val2017/``.
        num_train: Number of training canvases.
        num_val: Number of validation canvases.
        size: Side of a canvas in pixels.
        seed: Seed of the scattering.

    Returns:
        Path: ``out``.
    """
    recipe = dict(num_train=num_train, num_val=num_val, size=size, seed=seed)
    marker = out / 'recipe.json'
    if marker.is_file() and json.loads(marker.read_text()) == recipe:
        return out
    digits = load_digits()
    images, labels = (digits.images * (255 / 16)).astype(np.uint8), digits.target
    # written under another name and renamed: an interrupted run leaves nothing that looks complete
    partial = out.with_name(out.name + '.partial')
    shutil.rmtree(partial, ignore_errors=True)
    for split, pool, count in (('train', slice(0, NUM_TRAIN_DIGITS), num_train),
                               ('val', slice(NUM_TRAIN_DIGITS, None), num_val)):
        rng = np.random.default_rng([seed, split == 'val'])
        _write_split(partial, split, images[pool], labels[pool], count, size, rng)
    (partial / 'recipe.json').write_text(json.dumps(recipe))
    shutil.rmtree(out, ignore_errors=True)
    os.replace(partial, out)
    return out


def _write_split(root: Path, split: str, images: np.ndarray, labels: np.ndarray, count: int, size: int,
                 rng: np.random.Generator) -> None:
    folder = root / f'{split}2017'
    folder.mkdir(parents=True)
    coco: Dict[str, list] = dict(
        images=[], annotations=[], categories=[dict(id=i, name=name) for i, name in enumerate(CLASSES)])
    for image_id in range(count):
        canvas, boxes = scatter(images, rng, size)
        name = f'{image_id:06d}.png'
        cv2.imwrite(str(folder / name), canvas)
        coco['images'].append(dict(id=image_id, file_name=name, width=size, height=size))
        for digit, (x, y, w, h) in boxes:
            coco['annotations'].append(dict(
                id=len(coco['annotations']) + 1, image_id=image_id, category_id=int(labels[digit]), bbox=[x, y, w, h],
                area=w * h, iscrowd=0))
    annotations = root / 'annotations'
    annotations.mkdir(exist_ok=True)
    (annotations / f'instances_{split}2017.json').write_text(json.dumps(coco))


def scatter(images: np.ndarray, rng: np.random.Generator,
            size: int) -> Tuple[np.ndarray, List[Tuple[int, Tuple[int, int, int, int]]]]:
    """Paint one to three digits of different sizes on a grainy canvas, none over another.

    Args:
        images: Digits ``(N, 8, 8)``, bright on black.
        rng: Source of randomness.
        size: Side of the canvas in pixels.

    Returns:
        tuple: The grey canvas ``(size, size)`` and a list of (digit index, (x, y, width, height) of its ink).
    """
    canvas = rng.integers(0, 40, (size, size)).astype(np.uint8)
    boxes: List[Tuple[int, Tuple[int, int, int, int]]] = []
    for _ in range(rng.integers(1, 4)):
        digit, side = int(rng.integers(len(images))), int(rng.integers(size // 3, size // 2 + 3))
        painted = cv2.resize(images[digit], (side, side), interpolation=cv2.INTER_CUBIC)
        columns, rows = np.where((painted > 60).any(0))[0], np.where((painted > 60).any(1))[0]
        for _ in range(20):
            left, top = rng.integers(0, size - side, 2).tolist()
            box = (left + int(columns[0]), top + int(rows[0]), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1)
            if not any(_touch(box, other) for _, other in boxes):
                place = canvas[top:top + side, left:left + side]
                np.maximum(place, painted, out=place)
                boxes.append((digit, box))
                break
    return canvas, boxes


def _touch(a: Tuple[int, ...], b: Tuple[int, ...], gap: int = 2) -> bool:
    return (a[0] < b[0] + b[2] + gap and b[0] < a[0] + a[2] + gap and a[1] < b[1] + b[3] + gap
            and b[1] < a[1] + a[3] + gap)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('out', type=Path, help='folder to write')
    parser.add_argument('--num-train', type=int, default=6000)
    parser.add_argument('--num-val', type=int, default=200)
    parser.add_argument('--size', type=int, default=64, help='side of a canvas in pixels')
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args()
    make_digits_detection(args.out, args.num_train, args.num_val, args.size, args.seed)
    print(f'{args.num_train} training and {args.num_val} validation canvases in {args.out}')


if __name__ == '__main__':
    main()
