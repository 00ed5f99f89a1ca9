"""Make a detection set in the COCO layout from scikit-learn's real handwritten digits, scattered on canvases.

The 1,797 digits (8x8 pixels; UCI, "Optical Recognition of Handwritten Digits") come with scikit-learn, so no download is
needed. Digits of the training and of the validation canvases are different ones. The same arguments give the same files.
"""
import json
from pathlib import Path
from typing import Dict, Iterator

from .scattered_digits import CLASSES, Canvas, CanvasSet
from .whole_folder import write_image


def write_split(root: Path, split: str, scattered: Iterator[Canvas]) -> None:
    """Write ``annotations/instances_SPLIT2017.json`` and ``SPLIT2017/``.

    Args:
        root: Folder of the data set.
        split: ``train`` or ``val``.
        scattered: The canvases.
    """
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


SET = CanvasSet(__doc__, Path(__file__).name, ('train', 'val'), write_split)
make_digits_detection, main = SET.make, SET.main
