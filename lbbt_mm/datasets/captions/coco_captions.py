"""Captions in COCO's format: images with ids, and annotations that name them."""
import json
from pathlib import Path
from typing import Any, Dict, List, Tuple

from .rows import pairs_of


def read_json(path: Path) -> List[Tuple[str, str]]:
    """Read images and captions of COCO's format; or of a list of objects with ``image`` and ``caption``.

    Args:
        path: The file, called ``.json``.

    Returns:
        list: Path of an image, as the file has it, and a caption, image by image in the order of the file's images.

    Raises:
        ValueError: If it is no such file, an image has no caption, or a caption no image.
    """
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f'{path}: cannot be read as JSON ({error!s:.120}). Correct it.') from None
    if isinstance(found, list):
        return pairs_of(path, found)
    images, annotations = (_objects(path, found, *what) for what in (
        ('images', ('id', 'file_name')), ('annotations', ('image_id', 'caption'))))
    captions: Dict[Any, List[str]] = {image['id']: [] for image in images}
    if len(captions) < len(images):
        raise ValueError(f'{path}: two images have one id. Correct it.')
    for annotation in annotations:
        if annotation['image_id'] not in captions:
            raise ValueError(f'{path}: a caption has the image_id {annotation["image_id"]!r:.40}, and no image has this id. '
                             'Correct it.')
        captions[annotation['image_id']].append(annotation['caption'].strip())
    names: Dict[str, Any] = {}
    for image in images:
        name = image['file_name'].strip()
        if not captions[image['id']] or names.setdefault(name, image['id']) != image['id']:
            what = 'is there twice' if captions[image['id']] else 'has no caption'
            raise ValueError(f'{path}: the image {name!r:.120} {what}. Leave it out, or correct the file.')
    return [(image['file_name'].strip(), caption) for image in images for caption in captions[image['id']]]


def _objects(path: Path, found: Any, name: str, keys: Tuple[str, str]) -> List[Dict[str, Any]]:
    """One of the file's lists, whose objects have an id and a text."""
    objects = found.get(name) if isinstance(found, dict) else None
    if not isinstance(objects, list) or not objects:
        raise ValueError(f"{path}: has no list {name!r}; expected captions in COCO's format, or a list of objects with "
                         'image and caption. Give another file.')
    number, text = keys
    for index, entry in enumerate(objects):
        entry = entry if isinstance(entry, dict) else {}
        lacks = next((key for key, there in (
            (number, isinstance(entry.get(number), (int, str))),
            (text, isinstance(entry.get(text), str) and bool(entry[text].strip()))) if not there), None)
        if lacks:
            raise ValueError(f'{path}: entry {index} of {name!r} has no {lacks}; expected {number} and {text} in each. '
                             'Correct it.')
    return objects
