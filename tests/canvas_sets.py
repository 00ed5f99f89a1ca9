"""The detection and the segmentation set of scattered digits, read back."""
import json

import cv2
import numpy as np

# What a split is called in the detection and in the segmentation set, and its number of canvases.
SPLITS = (('train', 'training', 12), ('val', 'validation', 5))


def read(path):
    picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert picture.ndim == 2 and picture.dtype == np.uint8
    return picture


def files(root):
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob('*') if path.is_file()}


def boxes_and_masks(sets, split, folder):
    """Of each canvas: its labelled boxes and its mask."""
    coco, ade = sets
    found = json.loads((coco / 'annotations' / f'instances_{split}2017.json').read_text())
    for image in found['images']:
        boxes = [(a['category_id'], *a['bbox']) for a in found['annotations'] if a['image_id'] == image['id']]
        yield boxes, read(ade / 'annotations' / folder / f'{image["id"]:06d}.png')
