"""Zero-shot tasks: images of a store with labels, and the prompts of their classes."""
from pathlib import Path
from typing import Dict, List, NamedTuple, Sequence

import torch
from torch import Tensor

from lbbt_mm.datasets.class_names import read_class_names
from lbbt_mm.datasets.prompt_templates import class_prompts, read_templates
from lbbt_mm.files.feature_store import FeatureStore
from .compare_text_encoders import TaskFiles


class Task(NamedTuple):
    """A zero-shot task.

    Attributes:
        name: What tables call it.
        rows: Rows of its images in the store, ``(N, )``.
        labels: Of these images, ``(N, )``.
        num_classes: How many classes there are, C.
        prompts: Texts of the classes, class by class, T of each, ``C x T``.
    """
    name: str
    rows: Tensor
    labels: Tensor
    num_classes: int
    prompts: List[str]

    @property
    def chance(self) -> float:
        """What guessing gets."""
        return 1 / self.num_classes

    @property
    def majority(self) -> float:
        """What is got by always naming the class of most images."""
        return self.labels.bincount().max().item() / len(self.labels)


def read_task(files: TaskFiles, templates: str, images: FeatureStore) -> Task:
    """Read the files of a task.

    Args:
        files: As the command line names them.
        templates: Where templates are, for a task without its own.
        images: The store of the images.

    Raises:
        FileNotFoundError: If a file is not there.
        ValueError: If an image is not in the store, a label has no name, or a template no place for one.
    """
    labels = read_labels(files.labels)
    rows: Dict[str, int] = {key: row for row, key in enumerate(images.keys)}
    absent = next((key for key in labels if key not in rows), None)
    if absent is not None:
        raise ValueError(f'{files.labels}: the image {absent!r:.120} is not in {images.folder}, whose first is '
                         f'{images.keys[0]!r:.120}. Make features of the images of this task.')
    names = read_class_names(files.classes)
    largest = max(labels.values())
    if largest >= len(names):
        raise ValueError(f'{files.labels}: an image has the label {largest}, and {files.classes} has {len(names)} names; '
                         'expected one for each label from 0. Correct one of them.')
    if len(names) < 2:
        raise ValueError(f'{files.classes}: has {len(names)} name; expected two classes at least.')
    prompts = class_prompts(names, read_templates(files.templates or templates))
    return Task(files.name, torch.tensor([rows[key] for key in labels]), torch.tensor(list(labels.values())), len(names),
                prompts)


def read_labels(path: Path) -> Dict[str, int]:
    """Read the labels of images, as ``CustomDataset`` of mmpretrain has them.

    Args:
        path: A file with the key of an image and its label, from 0, on each line.

    Returns:
        dict: Key -> label, in the order of the file.

    Raises:
        ValueError: If a line is no such pair, an image is there twice, or there is none.
    """
    try:
        lines = path.read_text(encoding='utf-8-sig').splitlines()
    except UnicodeDecodeError:
        raise ValueError(f'{path}: is no text in UTF-8. Convert it.') from None
    labels: Dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        key, _, label = line.strip().rpartition(' ')
        if not key.strip() or not label.isdecimal():
            raise ValueError(f'{path}: line {number} is {line!r:.120}; expected an image and its label, a whole number from '
                             '0. Correct it.')
        if labels.setdefault(key.strip(), int(label)) != int(label) or len(labels) < number:
            raise ValueError(f'{path}: line {number}: the image {key.strip()!r:.120} is there twice. Leave one out.')
    if not labels:
        raise ValueError(f'{path}: is empty; expected an image and its label on each line.')
    return labels


def all_prompts(tasks: Sequence[Task]) -> List[str]:
    """Prompts of several tasks, each once.

    Args:
        tasks: The tasks.
    """
    return list(dict.fromkeys(prompt for task in tasks for prompt in task.prompts))
