"""Make a detection set in the COCO layout from scikit-learn's real handwritten digits, scattered on canvases.

The 1,797 digits (8x8 pixels; UCI, "Optical Recognition of Handwritten Digits") come with scikit-learn, so no download is
needed. Digits of the training and of the validation canvases are different ones. The same arguments give the same files.
"""
import json
from pathlib import Path
from typing import Dict, Iterator

from .scattered_digits import CLASSES, Canvas, canvases, check_recipe, run_converter
from .whole_folder import write_image, write_once


def make_digits_detection(out: Path, num_train: int = 6000, num_val: int = 200, size: int = 64, seed: int = 0) -> Path:
    """Write the data set, unless it is there already.

    Args:
        out: Folder of the data set; gets ``annotations/instances_{train,val}2017.json``, ``train2017/``, ``val2017/``.
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
        for split, count in (('train', num_train), ('val', num_val)):
            _write_split(root, split, canvases(split == 'val', count, size, seed))

    return write_once(out, Path(__file__).name, dict(num_train=num_train, num_val=num_val, size=size, seed=seed), write)


def _write_split(root: Path, split: str, scattered: Iterator[Canvas]) -> None:
    folder = root / f'{split}2017'
    folder.mkdir(parents=True)
    coco: Dict[str, list] = dict(
        images=[], annotations=[], categories=[dict(id=i, name=name) for i, name in enumerate(CLASSES)])
    for image_id, canvas in enumerate(scattered):
        height, width = canvas.image.shape
        name = f'{image_id:06d}.png'
        write_image(folder / name, canvas.image)
        coco['images'].append(dict(id=image_id, file_name=name, width=width, height=height))
        for digit, label in canvas.digits:
            x, y, w, h = digit.box
            coco['annotations'].append(dict(
                id=len(coco['annotations']) + 1, image_id=image_id, category_id=label, bbox=[x, y, w, h], area=w * h,
                iscrowd=0))
    annotations = root / 'annotations'
    annotations.mkdir(exist_ok=True)
    (annotations / f'instances_{split}2017.json').write_text(json.dumps(coco))


def main() -> None:
    """Command line."""
    run_converter(__doc__, make_digits_detection)
