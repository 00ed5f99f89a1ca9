"""Image-caption data without some of its captions or images, in the form that it had."""
import csv
import json
import tarfile
from pathlib import Path
from typing import Any, Dict, NamedTuple, Set, Tuple

from lbbt_mm.data_makers.whole_folder import write_once
from lbbt_mm.datasets.captions import CaptionSet
from lbbt_mm.datasets.captions.rows import QUADRUPLE
from lbbt_mm.datasets.captions.tar_shards import find_shards
from lbbt_mm.files.feature_index import checksum
from lbbt_mm.files.whole_files import whole_file

Pair = Tuple[str, str]


class Left(NamedTuple):
    """How many images, and captions, are left."""
    images: int
    captions: int


def check_form(source: Path, out: Path, alone: bool) -> None:
    """Refuse what could not be written in the form that captions have.

    Args:
        source: What the captions are opened from.
        out: Where those that are left are to go.
        alone: Whether a caption may be left out whose image stays.

    Raises:
        ValueError: If ``out`` has another ending, or captions of shards would go without their image.
    """
    if _is_tar(source):
        if alone:
            raise ValueError(f'{source}: in shards an image and its captions are one sample, so a caption cannot go alone. '
                             'Leave out --keep-images.')
    elif out.suffix.lower() != source.suffix.lower():
        raise ValueError(f'{out}: expected a file that ends with {source.suffix}, as {source.name} does. Give such a one.')


def _is_tar(source: Path) -> bool:
    return source.is_dir() or source.suffix.lower() == '.tar'


def write_kept(source: Path, out: Path, captions: CaptionSet, without: Set[Pair], without_images: Set[str]) -> Left:
    """Write what is left.

    Args:
        source: What ``captions`` were opened from.
        out: A new file with the same ending; of tar shards a new folder, which is there when all of them are written.
        captions: All captions.
        without: Key and caption of those that are left out.
        without_images: Keys of images that are left out with all of their captions.

    Raises:
        FileExistsError: If a folder for shards is there, and neither empty nor what this would write.
        ValueError: If ``out`` has another ending, nothing is left, captions of shards are to go without their image, or
            rows are quadruples.
    """
    kept = [(key, caption) for key, caption in captions.pairs
            if key not in without_images and (key, caption) not in without]
    left = Left(len({key for key, _ in kept}), len(kept))
    if not kept:
        raise ValueError(f'{source}: every caption names a class; nothing would be left. Give fewer classes, or --senses 1.')
    whole = sum(len(texts) for key, texts in zip(captions.keys, captions.captions) if key not in without_images)
    check_form(source, out, alone=len(kept) < whole)
    wanted = set(kept)
    if _is_tar(source):
        keys = {key for key, _ in kept}
        recipe = dict(captions=str(source.resolve()), samples=len(keys), keys=checksum((key, b'') for key in sorted(keys)))
        write_once(out, 'separate_concepts.py', recipe, lambda folder: _write_shards(str(source), folder, keys))
    elif source.suffix.lower() == '.csv':
        _write_csv(source, out, wanted)
    else:
        _write_json(source, out, wanted)
    return left


def _is_wanted(source: Path, row: Dict[str, Any], wanted: Set[Pair]) -> bool:
    if 'image' not in row:
        raise ValueError(f'{source}: a row has {", ".join(QUADRUPLE)}, two pairs that belong together; expected image and '
                         'caption. Give captions of single images.')
    return (str(row['image']).strip(), str(row['caption']).strip()) in wanted


def _write_csv(source: Path, out: Path, wanted: Set[Pair]) -> None:
    with open(source, encoding='utf-8-sig', newline='') as file, _text(out) as target:
        rows = csv.DictReader(file, strict=True)
        writer = csv.DictWriter(target, rows.fieldnames or ())
        writer.writeheader()
        writer.writerows(row for row in rows if _is_wanted(source, row, wanted))


def _write_json(source: Path, out: Path, wanted: Set[Pair]) -> None:
    if source.suffix.lower() == '.jsonl':
        with open(source, encoding='utf-8-sig') as file, _text(out) as target:
            target.writelines(f'{line.rstrip()}\n' for line in file
                              if line.strip() and _is_wanted(source, json.loads(line), wanted))
        return
    found = json.loads(source.read_bytes())
    if isinstance(found, list):
        kept: Any = [row for row in found if _is_wanted(source, row, wanted)]
    else:
        names = {image['id']: image['file_name'].strip() for image in found['images']}
        texts = [annotation for annotation in found['annotations']
                 if (names[annotation['image_id']], annotation['caption'].strip()) in wanted]
        ids = {annotation['image_id'] for annotation in texts}
        kept = {**found, 'images': [image for image in found['images'] if image['id'] in ids], 'annotations': texts}
    with _text(out) as target:
        json.dump(kept, target, ensure_ascii=False)


def _write_shards(source: str, out: Path, keys: Set[str]) -> None:
    """Copy members as they are; a shard with nothing left is not written."""
    from webdataset.tariterators import base_plus_ext  # which says what sample a member is of
    for shard in find_shards(source):
        with tarfile.open(shard, 'r:') as archive:
            members = [member for member in archive
                       if member.isreg() and f'{shard.stem}/{base_plus_ext(member.name)[0]}' in keys]
            if members:
                with whole_file(out / shard.name) as file, tarfile.open(fileobj=file, mode='w') as target:
                    for member in members:
                        target.addfile(member, archive.extractfile(member))


def _text(path: Path) -> Any:
    path.parent.mkdir(parents=True, exist_ok=True)
    return whole_file(path, 'w', encoding='utf-8', newline='')
