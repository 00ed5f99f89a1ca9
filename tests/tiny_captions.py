"""Image-caption data in miniature."""
import csv
from pathlib import Path
from typing import Any, Dict, Optional, Sequence, Tuple

import cv2
import numpy as np

from tests.tiny_tokenizer import WORDS


def write_captions(folder: Path, images: int, name: str = 'captions.csv', each: int = 1,
                   captions: Optional[Sequence[str]] = None, seed: int = 0) -> Path:
    """Write images of noise and a file that gives them captions of the tiny tokenizer's words, of many lengths.

    Args:
        folder: Where.
        images: How many.
        name: What the file is called.
        each: Captions of an image.
        captions: The captions. Defaults to None: they are drawn.
        seed: Of what is drawn.
    """
    rng = np.random.default_rng(seed)
    (folder / 'images').mkdir(parents=True, exist_ok=True)
    with open(folder / name, 'w', newline='', encoding='utf-8') as file:
        rows = csv.writer(file)
        rows.writerow(['image', 'caption'])
        for number in range(images):
            path = f'images/{number:03d}.png'
            cv2.imwrite(str(folder / path), rng.integers(0, 256, (24, 20, 3), dtype=np.uint8))
            for place in range(each):
                drawn = ' '.join(rng.choice(WORDS[2:], rng.integers(1, 12)))
                rows.writerow([path, captions[number * each + place] if captions else drawn])
    return folder / name


def coco(images: Sequence[Tuple[Any, Any]], captions: Sequence[Tuple[Any, Any]]) -> Dict[str, Any]:
    """Captions in COCO's format.

    Args:
        images: Id and file name of each.
        captions: Id of an image, and a caption of it.
    """
    return dict(info={}, images=[dict(id=number, file_name=name, height=4) for number, name in images],
                annotations=[dict(id=place, image_id=number, caption=text) for place, (number, text) in enumerate(captions)])
