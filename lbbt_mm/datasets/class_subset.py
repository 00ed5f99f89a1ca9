"""Images of some of the classes that a model knows: ImageNet-A and ImageNet-R have 200 of ImageNet's 1,000."""
import json
import os
import re
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

from mmengine.dataset import BaseDataset, force_full_init

from lbbt_mm.registry import DATASETS
from .dataset_view import DatasetView

#: Names of ImageNet's classes: of its folders, and first on a line of its lists.
_WNID = re.compile(r'n\d{8}\b')


def read_classes(source: Union[str, os.PathLike]) -> List[str]:
    """The names of a model's classes, in the order of its scores.

    Args:
        source: A folder with a folder for each class, such as ImageNet's ``train``, which are sorted; or a text file with a
            class a line, such as ``LOC_synset_mapping.txt``. Of a line that begins with an ImageNet number (n01440764) this
            is the name.

    Raises:
        FileNotFoundError: If it is not there.
        ValueError: If it has no classes, or one twice.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        names = sorted(entry.name for entry in path.iterdir() if entry.is_dir())
    elif path.is_file():
        lines = [line.strip() for line in path.read_text(encoding='utf-8-sig').splitlines() if line.strip()]
        names = [_WNID.match(line)[0] if _WNID.match(line) else line for line in lines]
    else:
        raise FileNotFoundError(f'ClassSubset: classes={str(source)!r} is not there; expected the classes of the model, '
                                "in the order of its scores: a folder with a folder for each (ImageNet's train), or a text "
                                'file with one a line (LOC_synset_mapping.txt). Correct it.')
    return _without_twins(names, str(source))


def _without_twins(names: Sequence[str], source: str) -> List[str]:
    twin = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
    if twin is not None or not names:
        found = f'{twin!r} twice' if names else 'no class'
        raise ValueError(f'ClassSubset: classes: found {found} in {source:.80}; expected each class of the model once. '
                         'Correct it.')
    return list(names)


@DATASETS.register_module()
class ClassSubset(DatasetView):
    """A folder for each of some classes of a model, with the labels that they have among all of its classes.

    mmpretrain's CustomDataset numbers the folders that it finds, so in ImageNet-A, ImageNet-R and their like a label means
    another class than in the model's scores. Here a folder's name says which class it is. ``metainfo['class_groups']`` has
    the classes that occur, to which :class:`lbbt_mm.ClassSubsetAccuracy` restricts the scores.

    Args:
        dataset: mmpretrain's CustomDataset on the folders, or its config, without names of its own for their classes.
        classes: Names of all classes of the model, in the order of its scores, or where to read them: see
            :func:`read_classes`.
        names: What a folder's class is called there, where it is not the folder's own name: folder -> name, or a list of
            names or ``'one; another'`` where images of several classes are in a folder, as in ObjectNet; or a JSON file with
            this. Images of folders that it does not have are left out. Defaults to None.
        lazy_init: Leave reading annotations to :meth:`full_init`. Defaults to False.

    Raises:
        FileNotFoundError: If a file is not there.
        ValueError: If a folder is none of the classes, two are the same one, or none of the images is left.
    """

    def __init__(self,
                 dataset: Union[BaseDataset, Dict[str, Any]],
                 classes: Union[str, os.PathLike, Sequence[str]],
                 names: Union[str, os.PathLike, Mapping[str, Union[str, Sequence[str]]], None] = None,
                 lazy_init: bool = False) -> None:
        written = isinstance(classes, (list, tuple))
        self.classes = _without_twins(list(classes), 'the list') if written else read_classes(classes)
        self.names = _read_names(names)
        super().__init__(dataset, lazy_init)

    def _check_inner(self) -> None:
        if not isinstance(self.dataset, BaseDataset) or not hasattr(self.dataset, 'pipeline'):
            raise ValueError(f'ClassSubset: dataset is a {type(self.dataset).__name__}; expected CustomDataset, with a '
                             'pipeline of its own. Wrap ClassSubset in the other instead.')

    def _prepare(self) -> None:
        indices = {name: index for index, name in enumerate(self.classes)}
        folders = self.dataset.metainfo.get('classes') or ()
        groups = [self._group(folder, indices) for folder in folders]
        claimed: Dict[int, str] = {}
        for folder, group in zip(folders, groups):
            for index in group or ():
                other = claimed.setdefault(index, folder)
                if other != folder:
                    raise ValueError(f'ClassSubset: the folders {other} and {folder} are both {self.classes[index]!r}; '
                                     'expected a class in one of them. Correct names.')
        labels = [self.dataset.get_data_info(index)['gt_label'] for index in range(len(self.dataset))]
        self._samples = [index for index, label in enumerate(labels) if groups[label]]
        if not self._samples:
            raise ValueError(f'ClassSubset: none of the {len(labels)} images is in a folder that names has; its first is '
                             f'{next(iter(self.names or {}), "none")!r}, the first folder {folders[0]!r}. Correct names.')
        self._labels = [groups[labels[index]][0] for index in self._samples]
        self._groups = tuple(group for group in groups if group)

    def _group(self, folder: str, indices: Mapping[str, int]) -> Optional[Tuple[int, ...]]:
        """The classes of a folder; None for one that is left out."""
        if self.names is not None and folder not in self.names:
            return None
        wanted = [folder] if self.names is None else self.names[folder]
        odd = next((name for name in wanted if name not in indices), None)
        if odd is not None:
            raise ValueError(f'ClassSubset: the folder {folder!r} is to be the class {odd!r}, which is none of the '
                             f"{len(indices)} classes of the model ({self.classes[0]!r}, ...). Correct classes, or say in "
                             'names what the class is called there.')
        return tuple(sorted(indices[name] for name in wanted))

    @property
    def metainfo(self) -> dict:
        """Of the dataset inside, with all classes of the model, and those of each folder as ``class_groups``."""
        found = {**self.dataset.metainfo, 'classes': tuple(self.classes)}
        return {**found, 'class_groups': self._groups} if self._fully_initialized else found

    @force_full_init
    def get_data_info(self, idx: int) -> dict:
        """Annotation of a sample with its label among all classes; of a folder with several, that of the first."""
        return {**self.dataset.get_data_info(self._samples[idx]), 'gt_label': self._labels[idx]}

    @force_full_init
    def __len__(self) -> int:
        return len(self._samples)


def _read_names(names: Any) -> Optional[Dict[str, List[str]]]:
    if names is None:
        return None
    where = names
    if not isinstance(names, Mapping):
        try:
            names = json.loads(Path(names).expanduser().read_text(encoding='utf-8'))
        except FileNotFoundError:
            raise FileNotFoundError(f'ClassSubset: names={str(where)!r} is not there; expected a JSON file, folder -> class.'
                                    ' Correct it.') from None
        except (ValueError, RecursionError) as error:
            raise ValueError(f'ClassSubset: names={str(where)!r} cannot be read ({error!s:.80}); expected a JSON file, '
                             'folder -> class. Correct it.') from None
    whole = isinstance(names, Mapping) and all(
        isinstance(value, str) or isinstance(value, (list, tuple)) and value and all(isinstance(one, str) for one in value)
        for value in names.values())
    if not whole:
        raise ValueError(f'ClassSubset: names: found {where!r:.80}; expected folder -> name of a class, or several of them. '
                         'Correct it.')
    return {folder: [part.strip() for part in value.split(';')] if isinstance(value, str) else list(value)
            for folder, value in names.items()}
