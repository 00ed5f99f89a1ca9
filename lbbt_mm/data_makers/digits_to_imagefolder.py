"""Write scikit-learn's real handwritten digits as an ImageFolder: train/DIGIT/0000.png and test/DIGIT/0000.png.

The 1,797 digits (8x8 pixels; UCI, "Optical Recognition of Handwritten Digits") come with scikit-learn, so no download is
needed. The last ones are for testing: they are by other writers.
"""
import argparse
from pathlib import Path

import numpy as np

from lbbt_mm import argument_types
from .whole_folder import errors_in_one_line, write_image, write_once

NUM_TRAIN_DIGITS = 1400


def make_digits_imagefolder(out: Path) -> Path:
    """Write the data set, unless it is there already.

    Args:
        out: Folder of the data set.

    Returns:
        Path: ``out``, absolute.

    Raises:
        FileExistsError: If ``out`` holds something else; nothing is touched.
    """

    def write(root: Path) -> None:
        """Write both splits into a folder."""
        from sklearn.datasets import load_digits  # not for --help
        digits = load_digits()
        images = (digits.images * (255 / 16)).astype(np.uint8)
        for index, (image, label) in enumerate(zip(images, digits.target)):
            folder = root / ('train' if index < NUM_TRAIN_DIGITS else 'test') / str(label)
            folder.mkdir(parents=True, exist_ok=True)
            write_image(folder / f'{index:04d}.png', image)

    return write_once(out, Path(__file__).name, dict(num_train=NUM_TRAIN_DIGITS, size=8), write)


def main() -> None:
    """Command line."""
    parser = argument_types.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('out', type=Path, help='folder to write; absent or empty, or one that holds this data set')
    args = parser.parse_args()
    with errors_in_one_line(Path(__file__).name):
        make_digits_imagefolder(args.out)
    print(f'{NUM_TRAIN_DIGITS} training and {1797 - NUM_TRAIN_DIGITS} test digits in {args.out}')
