"""Turn TinyImageNet-200, as it is distributed, into an ImageFolder with ``train/`` and ``test/``.

``tiny-imagenet-200`` keeps training images in ``train/WNID/images/`` and validation images in one folder, with their classes
in a file. The result has ``train/WNID/*.JPEG`` and, made of the validation images, ``test/WNID/*.JPEG``: what
``LBBT_DATA_ROOT`` points to. Its own test images have no labels and are left out.
"""
from pathlib import Path
from typing import Dict, List, Tuple

from rich.progress import track

from .placed_images import fingerprint, place_image
from .whole_folder import converter_parser, write_once

# (image, path in the result)
Placement = Tuple[Path, Path]


def convert_tiny_imagenet(source: Path, out: Path, copy: bool = False) -> Dict[str, int]:
    """Write the ImageFolder.

    Args:
        source: The folder ``tiny-imagenet-200``.
        out: Folder to write; absent or empty, or one that holds this data set.
        copy: Copy images instead of linking them. Defaults to False: hard links, which take no space.

    Returns:
        dict: Number of classes, training images and test images, as ``classes``, ``train`` and ``test``.

    Raises:
        FileNotFoundError: If a folder, the annotation file or an image is absent.
        ValueError: If annotations and images do not match, or a name in them would lead to another folder.
        FileExistsError: If ``out`` holds something else; nothing is touched.
    """
    train = _training_images(source)
    classes = sorted({target.parent.name for _, target in train})
    test = _validation_images(source, classes)
    counts = dict(classes=len(classes), train=len(train), test=len(test))

    def write(root: Path) -> None:
        """Place all images in a folder."""
        for split in ('train', 'test'):
            for name in classes:  # a class without test images keeps its place in the order, and so its label
                (root / split / name).mkdir(parents=True)
        for image, target in track(train + test, description='copying' if copy else 'linking'):
            place_image(image, root / target, copy)

    images = fingerprint((target.as_posix(), image.stat().st_size) for image, target in train + test)
    write_once(out, Path(__file__).name, dict(counts, copy=copy, images=images), write)
    return counts


def _refuse_path(name: str, where: str) -> None:
    """Refuse a name, read from a file, that is none of a file in one folder."""
    if name in ('', '.', '..') or any(separator in name for separator in ('/', '\\', '\0')):
        raise ValueError(f'{where}: {name[:80]!r} is not the plain name of a file or folder. Expected one without a path; '
                         'nothing was written.')


def _training_images(source: Path) -> List[Placement]:
    root, listed = source / 'train', source / 'wnids.txt'
    classes = {folder.name for folder in root.iterdir() if folder.is_dir()} if root.is_dir() else set()
    if not classes:
        raise FileNotFoundError(f'{root} has no class folders. Expected the unpacked tiny-imagenet-200 with '
                                'train/WNID/images/ and val/; give its path.')
    for name in listed.read_text().split() if listed.is_file() else ():
        _refuse_path(name, str(listed))
        classes.add(name)
    placements = []
    for name in sorted(classes):
        images = sorted((root / name / 'images').glob('*.JPEG'))
        if not images:
            raise FileNotFoundError(f'{root / name / "images"} has no *.JPEG. Expected the training images of the class; '
                                    'unpack the archive again.')
        placements += [(image, Path('train', name, image.name)) for image in images]
    return placements


def _validation_images(source: Path, classes: List[str]) -> List[Placement]:
    annotations, folder = source / 'val' / 'val_annotations.txt', source / 'val' / 'images'
    if not annotations.is_file():
        raise FileNotFoundError(f'{annotations} does not exist. Expected the classes of the validation images, one '
                                'line each; unpack the archive again.')
    labels: Dict[str, str] = {}
    for number, line in enumerate(annotations.read_text().splitlines(), start=1):
        fields = line.split('\t')
        for name in fields[:2] if len(fields) > 1 else ():
            _refuse_path(name, f'{annotations}, line {number}')
        if len(fields) < 2 or fields[1] not in classes or fields[0] in labels:
            raise ValueError(f'{annotations}, line {number}: {line[:80]!r}. Expected IMAGE<tab>WNID<tab>..., each image '
                             'once, with the name of a folder in train/.')
        labels[fields[0]] = fields[1]
    present = {image.name for image in folder.glob('*.JPEG')}
    absent, unlisted = sorted(set(labels) - present), sorted(present - set(labels))
    if absent:
        raise FileNotFoundError(f'{folder / absent[0]} does not exist ({len(absent)} missing in all), but '
                                f'{annotations.name} lists it. Unpack the archive again.')
    if unlisted:
        raise ValueError(f'{folder / unlisted[0]} is not in {annotations.name} ({len(unlisted)} such images in all), so its '
                         'class is unknown. Unpack the archive again.')
    return [(folder / name, Path('test', label, name)) for name, label in sorted(labels.items())]


def main() -> None:
    """Command line."""
    parser = converter_parser(__doc__, source='the unpacked folder tiny-imagenet-200')
    parser.add_argument('--copy', action='store_true', help='copy the images; by default they are hard links')
    args = parser.parse_args()
    counts = convert_tiny_imagenet(args.source, args.out, args.copy)
    print('{classes} classes, {train} training and {test} test images in {out}'.format(**counts, out=args.out))
