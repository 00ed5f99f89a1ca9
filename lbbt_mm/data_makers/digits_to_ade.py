"""Make a segmentation set in the ADE20K layout from scikit-learn's real handwritten digits, scattered on canvases.

Masks are as ADE20K has them: 0 is ignored, here the blurred rims of the digits; 1 is the background, 2 to 11 are the
digits 0 to 9. The canvases are those of digits_to_coco.py. The same arguments give the same files.
"""
from pathlib import Path
from typing import Iterator

import numpy as np

from .scattered_digits import CLASSES as DIGITS
from .scattered_digits import INK, Canvas, CanvasSet
from .whole_folder import write_image

CLASSES = ('background', *DIGITS)
IGNORED, BACKGROUND, FIRST_DIGIT = 0, 1, 2
#: From here to INK a digit fades into the canvas, and no one could say where it ends.
RIM = 25


def write_split(root: Path, split: str, scattered: Iterator[Canvas]) -> None:
    """Write ``images/SPLIT/*.jpg`` and ``annotations/SPLIT/*.png``.

    Args:
        root: Folder of the data set.
        split: ``training`` or ``validation``.
        scattered: The canvases.
    """
    images, masks = root / 'images' / split, root / 'annotations' / split
    images.mkdir(parents=True)
    masks.mkdir(parents=True)
    for index, canvas in enumerate(scattered):
        write_image(images / f'{index:06d}.jpg', canvas.image)
        write_image(masks / f'{index:06d}.png', draw_mask(canvas))


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


SET = CanvasSet(__doc__, Path(__file__).name, ('training', 'validation'), write_split, dict(rim=RIM, ink=INK))
make_digits_segmentation, main = SET.make, SET.main
