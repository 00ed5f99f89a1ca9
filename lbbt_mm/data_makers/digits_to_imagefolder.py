"""Write scikit-learn's real handwritten digits as an ImageFolder: train/DIGIT/0000.png and test/DIGIT/0000.png.

The 1,797 digits (8x8 pixels; UCI, "Optical Recognition of Handwritten Digits") come with scikit-learn, so no download is
needed. The last ones are for testing: they are by other writers.
"""
from pathlib import Path

from .scattered_digits import NUM_TRAIN_DIGITS, read_digits
from .whole_folder import converter_parser, write_image, write_once


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
        for index, (image, label) in enumerate(zip(*read_digits())):
            folder = root / ('train' if index < NUM_TRAIN_DIGITS else 'test') / str(label)
            folder.mkdir(parents=True, exist_ok=True)
            write_image(folder / f'{index:04d}.png', image)

    return write_once(out, Path(__file__).name, dict(num_train=NUM_TRAIN_DIGITS, size=8), write)


def main() -> None:
    """Command line."""
    parser = converter_parser(__doc__)
    args = parser.parse_args()
    make_digits_imagefolder(args.out)
    print(f'{NUM_TRAIN_DIGITS} training and {1797 - NUM_TRAIN_DIGITS} test digits in {args.out}')
