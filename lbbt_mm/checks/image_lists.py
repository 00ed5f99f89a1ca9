"""Lists of images and their labels, which mmpretrain's CustomDataset reads: is each line one, and is its image there?"""
import os
from pathlib import Path
from typing import Iterator, List, Mapping, Optional, Sequence

from mmengine.fileio import list_from_file

from .datasets import Found, chosen, named_classes, path_of, require
from .image_files import Budget, look_at_images, missing_files, paths_below
from .problems import Problem, of_some
from .random_labels import random_labels_of

#: Folders whose content is read before a run; 1,000 of 1,300 images each take a second
MOST_FOLDERS = 40


def image_root(dataset: Mapping) -> Path:
    """The folder that the images of a CustomDataset are below."""
    prefix = dataset.get('data_prefix') or ''
    prefix = prefix.get('img_path', '') if isinstance(prefix, Mapping) else prefix
    return path_of(dataset, os.path.expanduser(prefix))


def evenly_spaced(folders: Sequence[str], budget: Budget) -> List[str]:
    """Folders to look into: some of them where there are many, unless all files are asked for."""
    if budget.seconds is None or len(folders) <= MOST_FOLDERS:
        return list(folders)
    return [folders[index * len(folders) // MOST_FOLDERS] for index in range(MOST_FOLDERS)]


def listed_images(found: Found, num_classes: Optional[int], budget: Budget) -> Iterator[Problem]:
    """Look at the list of a CustomDataset, and at its images.

    Args:
        found: The data set, which has an ``ann_file``.
        num_classes: The classes of the head; None where the config states none.
        budget: How many images to open.

    Yields:
        Problem: What is wrong with the images.

    Raises:
        FileNotFoundError: If the list is absent.
        ValueError: If it is empty, or a label on it is none.
    """
    where, root = f'{found.where}.ann_file', image_root(found.config)
    path = path_of(found.config, os.path.expanduser(found.config['ann_file']))
    require(path, where, 'ann_file', 'a list with an image and its label on each line')
    names = _names(f'{where}: {path}', [line.strip() for line in list_from_file(str(path))], found, num_classes)
    samples = chosen(list(enumerate(paths_below(root, names), 1)), found)
    read = set(evenly_spaced(sorted({os.path.dirname(image) for _, image in samples}), budget))
    lines = {image: line for line, image in samples if os.path.dirname(image) in read}
    missing = [f'that of line {lines[image]} of {path}: {image}' for image in missing_files(list(lines))]
    yield from of_some(where, missing, len(lines), 'images are not there',
                       'Add them, take their lines out, or correct data_root or data_prefix.', fatal=True)
    if not missing:
        yield from look_at_images(where, list(lines), found.config.get('pipeline'), budget)


def _names(where: str, lines: Sequence[str], found: Found, num_classes: Optional[int]) -> Sequence[str]:
    """The names of a list's images, whose labels are whole numbers below the number of classes, if that is known."""
    if not lines:
        raise ValueError(f'{where} is empty. Expected an image and its label on each line, such as cats/1.jpg 0.')
    if not found.config.get('with_label', True):
        return lines
    # random labels replace these
    classes = 0 if any(random_labels_of(found)) else num_classes or len(named_classes(found.config) or ())
    most = classes - 1 if classes else float('inf')
    names = []
    for number, line in enumerate(lines, 1):
        name, _, label = line.rpartition(' ')
        if not name or not label.isdecimal() or int(label) > most:
            expected = f'0 to {most}, for {classes} classes' if classes else '0 or more'
            raise ValueError(f'{where}, line {number} is {line!r}; expected an image and its label, a whole number '
                             f'({expected}). Correct the line, or num_classes of the head.')
        names.append(name)
    return names
