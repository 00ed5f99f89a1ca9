"""Write scikit-learn's real handwritten digits as an ImageFolder: train/DIGIT/0000.png and test/DIGIT/0000.png.

The 1,797 digits (8x8 pixels; UCI, "Optical Recognition of Handwritten Digits") come with scikit-learn, so no download is
needed. The last ones are for testing: they are by other writers.
"""
import argparse
import json
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
from sklearn.datasets import load_digits

NUM_TRAIN_DIGITS = 1400


def make_digits_imagefolder(out: Path) -> Path:
    """Write the data set, unless it is there already.

    Args:
        out: Folder of the data set.

    Returns:
        Path: ``out``.
    """
    recipe = dict(num_train=NUM_TRAIN_DIGITS, size=8)
    marker = out / 'recipe.json'
    if marker.is_file() and json.loads(marker.read_text()) == recipe:
        return out
    digits = load_digits()
    images = (digits.images * (255 / 16)).astype(np.uint8)
    # written under another name and renamed: an interrupted run leaves nothing that looks complete
    partial = out.with_name(out.name + '.partial')
    shutil.rmtree(partial, ignore_errors=True)
    for index, (image, label) in enumerate(zip(images, digits.target)):
        folder = partial / ('train' if index < NUM_TRAIN_DIGITS else 'test') / str(label)
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f'{index:04d}.png'), image)
    (partial / 'recipe.json').write_text(json.dumps(recipe))
    shutil.rmtree(out, ignore_errors=True)
    os.replace(partial, out)
    return out


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('out', type=Path, help='folder to write')
    args = parser.parse_args()
    make_digits_imagefolder(args.out)
    print(f'{NUM_TRAIN_DIGITS} training and {1797 - NUM_TRAIN_DIGITS} test digits in {args.out}')


if __name__ == '__main__':
    main()
