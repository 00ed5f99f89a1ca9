"""Image-caption data in three forms: rows with paths, webdataset's tar shards, COCO's captions."""
from pathlib import Path
from typing import Optional, Union

from .caption_set import CaptionSet, grouped
from .coco_captions import read_json
from .rows import ENDINGS, read_pairs, read_quadruples
from .tar_shards import read_shards

__all__ = ['CaptionSet', 'open_captions', 'read_pairs', 'read_quadruples']


def open_captions(path: Union[str, Path], images: Optional[Union[str, Path]] = None) -> CaptionSet:
    """Open images with captions; no image is read.

    Args:
        path: ``.csv`` or ``.jsonl`` with ``image`` and ``caption``; ``.json`` in COCO's format, or a list of objects with
            these keys; a ``.tar`` shard of webdataset, a folder of them, or their names with braces
            (``{00000..00331}.tar``). An image with several captions has a row for each. A row may
            also be two pairs, as :func:`read_quadruples` reads them.
        images: Folder that paths of images are relative to. Defaults to None, the file's own.

    Raises:
        FileNotFoundError: If a file is not there.
        ImportError: If it takes the package webdataset, which is not installed.
        ValueError: If it is of no such form, or an image or a caption is missing.
    """
    where, file = str(path), Path(path).expanduser()
    ending = file.suffix.lower()
    if file.is_dir() or ending == '.tar':
        if images is not None:
            raise ValueError(f'{where}: the images are in the shards; expected no folder of images beside them. Leave '
                             '--images out.')
        return read_shards(where)
    if ending not in (*ENDINGS, '.json'):
        raise ValueError(f'{where}: expected captions as .csv, .jsonl, .json or .tar, or a folder of .tar shards. Give '
                         'another file.')
    if not file.is_file():
        raise FileNotFoundError(f'{where}: no such file; expected captions as .csv, .jsonl, .json or .tar. Correct the '
                                'path.')
    folder = file.parent if images is None else Path(images).expanduser()
    return grouped(where, read_json(file) if ending == '.json' else read_pairs(file), lambda name: folder / name)
