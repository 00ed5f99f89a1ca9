"""Turn Caltech-256, as it is distributed, into an ImageFolder with ``train/`` and ``test/``.

``256_ObjectCategories.tar``, or the folder that it unpacks to, has a folder of images for each class, ``001.ak47`` to
``256.toad``, and ``257.clutter``, which is no object and is left out. Seven of ten images of each class go to
``train/CLASS/``, the others to ``test/CLASS/``: which ones follows from the seed and their names. ``classes.txt`` has the
names of the classes without their numbers.
"""
import re
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, Callable, Dict, Iterator, List, NamedTuple

from rich.progress import track

from lbbt_mm import argument_types
from .placed_images import fingerprint, place_image
from .safe_tar import extract_as, open_archive, read_members
from .whole_folder import converter_parser, write_once

FOLDER = '256_ObjectCategories'
_CLASS = re.compile(r'\d{3}\..+')
_IMAGE = re.compile(r'[^.].*\.jpe?g', re.IGNORECASE)
_EXPECTED = f'Expected {FOLDER}.tar, or the folder that it unpacks to, with one folder for each class, such as 001.ak47'
#: Of ten images of a class so many are for training ("Frozen Language Models are Gradient Coherence Rectifiers in Vision
#: Transformers", appendix: 7:3).
_TRAIN = 7


class _Entry(NamedTuple):
    """What lies in the folder of a class: its name, its size in bytes (-1 of what is no file), and the file or member."""
    name: str
    size: int
    source: Any


class _Image(NamedTuple):
    """An image, and its path in the data set."""
    entry: _Entry
    target: str


def convert_caltech256(source: Path, out: Path, seed: int = 0, clutter: bool = False, copy: bool = False) -> Dict[str, int]:
    """Write the ImageFolder.

    Args:
        source: ``256_ObjectCategories.tar``, compressed or not, or the folder that it unpacks to.
        out: Folder to write; absent or empty, or one that holds this data set.
        seed: Seed of the split. Defaults to 0.
        clutter: Whether to keep the class ``257.clutter``. Defaults to False.
        copy: Copy the images of a folder instead of linking them. Defaults to False: hard links, which take no space. Those
            of an archive are unpacked.

    Returns:
        dict: Number of classes, training images and test images, as ``classes``, ``train`` and ``test``.

    Raises:
        FileNotFoundError: If the source, or the images of a class, are absent.
        ValueError: If an archive is damaged or not safe, a class is missing, or an image cannot be read.
        FileExistsError: If ``out`` holds something else; nothing is touched.
    """
    source = Path(source).expanduser()
    is_archive = source.is_file()
    found = _sort_out(source, _read_archive(source) if is_archive else _read_folder(source))
    classes = _kept(source, found, clutter)
    images = [image for name in classes for image in _split(name, found[name], seed)]
    num_train = sum(image.target.startswith('train/') for image in images)
    counts = dict(classes=len(classes), train=num_train, test=len(images) - num_train)

    def write(root: Path) -> None:
        """Place all images in a folder, and read each."""
        for split in ('train', 'test'):
            for name in classes:
                (root / split / name).mkdir(parents=True)
        (root / 'classes.txt').write_text(''.join(f'{name.split(".", 1)[1]}\n' for name in classes))
        with _placing(source, root, is_archive, copy) as place:
            _place_all(source, root, images, place)

    mark = dict(counts, seed=seed, copy=copy or is_archive,
                images=fingerprint((image.target, image.entry.size) for image in images))
    write_once(out, Path(__file__).name, mark, write)
    return counts


def _read_folder(source: Path) -> Dict[str, List[_Entry]]:
    """Class -> what lies in its folder."""
    root = source / FOLDER if (source / FOLDER).is_dir() else source
    if not root.is_dir():
        raise FileNotFoundError(f'{source}: no such file or folder. {_EXPECTED}; give its path.')
    return {folder.name: [_Entry(path.name, path.stat().st_size if path.is_file() else -1, path)
                          for path in folder.iterdir()]
            for folder in root.iterdir() if folder.is_dir() and _CLASS.fullmatch(folder.name)}


def _read_archive(source: Path) -> Dict[str, List[_Entry]]:
    """The same of an archive; of a folder within that of a class there is one entry, its own."""
    found: Dict[str, Dict[str, _Entry]] = {}
    with open_archive(source) as archive:
        for member in read_members(source, archive):
            parts = [part for part in PurePosixPath(member.name).parts if part not in ('/', FOLDER)]
            if parts and _CLASS.fullmatch(parts[0]) and (len(parts) > 1 or member.isdir()):
                entries = found.setdefault(parts[0], {})
                if len(parts) > 1:
                    is_file = len(parts) == 2 and member.isreg() and not member.issparse()
                    entries[parts[1]] = _Entry(parts[1], member.size if is_file else -1, member)
    return {name: list(entries.values()) for name, entries in found.items()}


def _sort_out(source: Path, found: Dict[str, List[_Entry]]) -> Dict[str, List[_Entry]]:
    """Class -> its images, by the class's name; what else lies there is printed."""
    images = {name: sorted((entry for entry in found[name] if _IMAGE.fullmatch(entry.name)), key=lambda entry: entry.name)
              for name in sorted(found)}
    others = sorted(f'{name}/{entry.name}' for name, entries in found.items() for entry in entries
                    if not _IMAGE.fullmatch(entry.name))
    links = [f'{name}/{entry.name}' for name, entries in images.items() for entry in entries if entry.size < 0]
    if links:
        raise ValueError(f'{source}: {links[0]} is no file, but a link or a folder ({len(links)} such in all). Expected an '
                         'image; unpack the archive again.')
    if others:
        print(f'{len(others)} left out, which are no images: {", ".join(map(repr, others[:4]))}'
              f'{", ..." if len(others) > 4 else ""}')
    return images


def _kept(source: Path, found: Dict[str, List[_Entry]], clutter: bool) -> List[str]:
    """The classes, numbered without a gap: part of them would be another data set in silence."""
    if not found:
        raise FileNotFoundError(f'{source} has no class folders. {_EXPECTED}; give its path.')
    for number, name in enumerate(found, start=1):
        if int(name[:3]) != number:
            raise ValueError(f'{source}: class {number:03d} is not there, or is there twice; found {name} in its place. '
                             'Expected classes from 001 on without a gap; unpack the archive again.')
        if not found[name]:
            raise FileNotFoundError(f'{source}: {name} has no *.jpg. Expected the images of the class; unpack the archive '
                                    'again.')
    without = [name for name in found if not name.endswith('.clutter')]
    if clutter and len(without) == len(found):
        raise FileNotFoundError(f'{source} has no class of clutter; the last one is {without[-1]}. Leave out --clutter.')
    return list(found) if clutter else without


def _split(name: str, entries: List[_Entry], seed: int) -> Iterator[_Image]:
    """Images of one class: the seed and the names decide, not the order of a disk, nor the other classes."""
    from lbbt_mm.random_state import derive_bytes  # which imports torch
    drawn = sorted(entries, key=lambda entry: derive_bytes(f'{seed}:{name}/{ascii(entry.name)}'))
    in_training = {entry.name for entry in drawn[:(_TRAIN * len(drawn) + 5) // 10]}
    for entry in entries:
        yield _Image(entry, f'{"train" if entry.name in in_training else "test"}/{name}/{entry.name}')


@contextmanager
def _placing(source: Path, root: Path, is_archive: bool, copy: bool) -> Iterator[Callable[[_Image], None]]:
    """A function that puts an image into the data set."""
    if not is_archive:
        yield lambda image: place_image(image.entry.source, root / image.target, copy)
        return
    with open_archive(source) as archive:
        yield lambda image: extract_as(archive, image.entry.source, root, image.target)


def _place_all(source: Path, root: Path, images: List[_Image], place: Callable[[_Image], None]) -> None:
    """Place images, in the order in which an archive has them, and read each to its end."""
    broken = []
    for image in track(sorted(images, key=lambda image: getattr(image.entry.source, 'offset', 0)), description='placing'):
        place(image)
        if not _is_whole(root / image.target):
            broken.append(image.target.split('/', 1)[1])
    if broken:
        raise ValueError(f'{source}: {len(broken)} of {len(images)} images cannot be read to their end, for example '
                         f'{min(broken)}. Nothing was written: fetch the archive again.')


def _is_whole(path: Path) -> bool:
    from PIL import Image  # not for --help
    try:
        with Image.open(path) as image:
            image.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return False
    return True


def main() -> None:
    """Command line."""
    parser = converter_parser(__doc__, source=f'{FOLDER}.tar, or the folder that it unpacks to')
    parser.add_argument('--seed', type=argument_types.seed, default=0, help='seed of the split; by default 0')
    parser.add_argument('--clutter', action='store_true', help='keep the class 257.clutter')
    parser.add_argument('--copy', action='store_true', help='copy the images of a folder; by default they are hard links')
    args = parser.parse_args()
    counts = convert_caltech256(args.source, args.out, args.seed, args.clutter, args.copy)
    print('{classes} classes, {train} training and {test} test images in {out}'.format(**counts, out=args.out))
