"""YAML and pickle files as mmengine and its codebases read them, with nothing in them that runs.

mmengine follows YAML's tags to any Python object, and unpickles annotations, proposals and splits whatever is in them.
"""
import pickle
import sys
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections import OrderedDict, defaultdict
from typing import Any, Dict

import yaml
from mmengine.fileio import register_handler
from mmengine.fileio.handlers import PickleHandler, YamlHandler
from mmengine.structures import BaseDataElement, InstanceData, LabelData, PixelData

from lbbt_mm.language.pickle_size import check_pickle
from .plain_numpy import STAND_INS, without_stand_ins

_SafeLoader = getattr(yaml, 'CSafeLoader', yaml.SafeLoader)
_TUPLE = 'tag:yaml.org,2002:python/tuple'
#: Parts of a YAML file, each as often as an alias names it.
_MOST_PARTS = 2**22

# Modules that unpickle files of data by themselves, and those whose pickles come from this run's own processes
_READERS = ('mmcv.', 'mmdet.', 'mmpretrain.', 'mmseg.', 'mmengine.fileio.', 'numpy.lib.')
_OWN = ('mmdet.utils.dist_utils', 'mmdet.evaluation.metrics.base_video_metric')


class NotPlainError(ValueError):
    """A file of data holds more than data.

    Args:
        file: The opened file; mmengine hands over its contents without a name.
        found: What is wrong with it.
        remedy: What to do, in a sentence.
    """

    def __init__(self, file: Any, found: str, remedy: str) -> None:
        name = getattr(file, 'name', None)
        super().__init__(f'{name if isinstance(name, str) else "A file that is read as data"}: {found}. {remedy}')
        self.found, self.remedy = found, remedy


class PlainYamlLoader(_SafeLoader):
    """YAML's own types, and tuples, which mmengine writes."""

    def construct_document(self, node: yaml.Node) -> Any:
        """Make what a document says, unless its aliases make it without end."""
        parts = _count_parts(node, {})
        if parts > _MOST_PARTS:
            raise ValueError(f'its aliases make {parts:,} parts of it')
        return super().construct_document(node)


def _count_parts(node: yaml.Node, known: Dict[int, int]) -> int:
    """How many nodes are in one, each as often as it is reached."""
    if id(node) not in known:
        known[id(node)] = 1  # in a circle
        parts = node.value if isinstance(node.value, list) else ()
        known[id(node)] += sum(_count_parts(part, known) for pair in parts
                               for part in (pair if isinstance(pair, tuple) else (pair, )))
    return known[id(node)]


def _refuse_tag(loader: Any, node: yaml.Node) -> None:
    raise ValueError(f'the tag {node.tag.replace("tag:yaml.org,2002:", "!!")} in line {node.start_mark.line + 1} asks for a '
                     'Python object')


PlainYamlLoader.add_constructor(_TUPLE, lambda loader, node: tuple(loader.construct_sequence(node, deep=True)))
PlainYamlLoader.add_constructor(None, _refuse_tag)


class PlainYamlHandler(YamlHandler):
    """Reads YAML without following tags to Python objects."""

    def load_from_fileobj(self, file: Any, **kwargs: Any) -> Any:
        """Load an opened file.

        Raises:
            NotPlainError: If it is no plain YAML.
        """
        kwargs.setdefault('Loader', PlainYamlLoader)
        try:
            return super().load_from_fileobj(file, **kwargs)
        except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
            reason = ' '.join(str(error).split())
            raise NotPlainError(file, f'not plain YAML ({reason})', 'Write it without Python objects; a config that needs '
                                'them is a .py file.') from None


def _encode(text: Any = None, encoding: Any = None) -> bytes:
    """Bytes, as pickle's protocol 2 writes them."""
    if not isinstance(text, str) or encoding != 'latin1':
        raise pickle.UnpicklingError(f'_codecs.encode({text!r:.20}, {encoding!r})')
    return text.encode('latin1')


#: Full name in a pickle of data -> what it is: containers, numpy's arrays, and mmengine's structures, which hold proposals.
_ALLOWED: Dict[str, Any] = {
    **STAND_INS,
    **{f'{kind.__module__}.{kind.__qualname__}': kind
       for kind in (bool, bytearray, bytes, complex, dict, float, frozenset, int, list, range, set, slice, str, tuple,
                    OrderedDict, defaultdict, BaseDataElement, InstanceData, LabelData, PixelData)},
    '_codecs.encode': _encode,
}


def _full_name(module: Any, name: Any) -> str:
    """A name as this version of Python has it; files of Python 2 say ``__builtin__``."""
    module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
    return f'{module}.{name}'


class PlainUnpickler(pickle.Unpickler):
    """Reads containers, numbers, text and numpy's arrays."""

    def find_class(self, module: str, name: str) -> Any:
        """Look a name up in the list of what is allowed.

        Raises:
            pickle.UnpicklingError: If it is not there.
        """
        found = _ALLOWED.get(_full_name(module, name))
        if found is None:
            raise pickle.UnpicklingError(f'it asks for {module}.{name}')
        return found


class PlainPickleHandler(PickleHandler):
    """Reads pickles that hold data and nothing that runs."""

    def load_from_fileobj(self, file: Any, **kwargs: Any) -> Any:
        """Load an opened file.

        Raises:
            NotPlainError: If it holds more than plain data, or is damaged.
        """
        try:
            start = file.tell()
            check_pickle(file)
            file.seek(start)
            return without_stand_ins(PlainUnpickler(file, **kwargs).load())
        except Exception as error:  # damaged bytes lead to errors of many types
            reason = str(error).strip().split('\n')[0] or type(error).__name__
            raise NotPlainError(file, f'not a pickle of plain data ({reason})', 'Only containers, numbers, text and numpy '
                                'arrays are read; save it so, or as JSON.') from None


def guard_file_readers() -> None:
    """Have mmengine read YAML and pickles as plain data, for the whole process, and watch what its codebases unpickle by
    themselves.
    """
    register_handler(['yaml', 'yml'])(PlainYamlHandler)
    register_handler(['pickle', 'pkl'])(PlainPickleHandler)
    if not _watch.is_on:
        _watch.is_on = True
        sys.addaudithook(_watch)


def _watch(event: str, arguments: tuple) -> None:
    """Python's report of each name that a pickle asks for; what is raised here ends the unpickling."""
    if event != 'pickle.find_class':
        return
    reader = sys._getframe(1).f_globals.get('__name__') or ''
    if reader.startswith(_READERS) and reader not in _OWN and _full_name(*arguments) not in _ALLOWED:
        raise ValueError(f'A file that {reader} unpickles asks for {_full_name(*arguments)}, which is no plain '
                         'data. Only containers, numbers, text and numpy arrays are read; save it so.')


_watch.is_on = False
