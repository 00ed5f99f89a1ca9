"""Make a segmentation set in the ADE20K layout from scikit-learn's real handwritten digits, scattered on canvases.

Masks are as ADE20K has them: 0 is ignored, here the blurred rims of the digits; 1 is the background, 2 to 11 are the
digits 0 to 9. The canvases are those of digits_to_coco.py. The same arguments give the same files.
"""
from pathlib import Path

import numpy as np

from .scattered_digits import CLASSES as DIGITS
from .scattered_digits import INK, Canvas, canvases, check_recipe, run_converter
from .whole_folder import write_image, write_once

CLASSES = ('background', *DIGITS)
IGNORED, BACKGROUND, FIRST_DIGIT = 0, 1, 2
#: From here to INK a digit fades into the canvas, and no one could say where it ends.
RIM = 25


def make_digits_segmentation(out: Path, num_train: int = 6000, num_val: int = 200, size: int = 64, seed: int = 0) -> Path:
    """Write the data set, unless it is there already.

    Args:
        out: Folder of the data set; gets ``images/{training,validation}/*.jpg``,
            ``annotations/{training,validation}/*.png``.
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
    check_recipe(num_train, num_val, size, seed)

    def write(root: Path) -> None:
        for split, count in (('training', num_train), ('validation', num_val)):
            images, masks = root / 'images' / split, root / 'annotations' / split
            images.mkdir(parents=True)
            masks.mkdir(parents=True)
            for index, canvas in enumerate(canvases(split == 'validation', count, size, seed)):
                write_image(images / f'{index:06d}.jpg', canvas.image)
                write_image(masks / f'{index:06d}.png', draw_mask(canvas))

    recipe = dict(num_train=num_train, num_val=num_val, size=size, seed=seed, rim=RIM, ink=INK)
    return write_once(out, Path(__file__).name, recipe, write)


def draw_mask(canvas: Canvas) -> np.ndarray:
    """The class of each pixel.

    Args:
        canvas: A canvas with its digits.

    Returns:
        ndarray: The mask, of the canvas's shape, uint8.
    """
    mask = np.full(canvas.image.shape, BACKGROUND, np.uint8)
    for digit, label in canvas.digits:
        (left, top), side = digit.corner, len(digit.painted)
        place = mask[top:top + side, left:left + side]
        rim = (digit.painted > RIM) & (digit.painted <= INK)
        place[rim & (place == BACKGROUND)] = IGNORED  # not the ink of a neighbour
        place[digit.painted > INK] = FIRST_DIGIT + label
    return mask


def main() -> None:
    """Command line."""
    run_converter(__doc__, make_digits_segmentation)
