"""Files that would leave a trace, or corrupt memory, if they were opened as mmengine, numpy or YAML open them."""
import os
from pathlib import Path
from typing import Any, Callable, Dict

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from torch import nn
from torch._tensor import _rebuild_from_type_v2


class Call:
    """Pickled as the result of ``function(*arguments)``, which is called when it is unpickled."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


class WithState:
    """Pickled as an object that is made and then given a state."""

    def __init__(self, function: Any, arguments: tuple, state: Any) -> None:
        self.parts = function, arguments, state

    def __reduce__(self):
        return self.parts


def runs_code(trace: Path) -> Any:
    """The plain attack: a function of the operating system."""
    return Call(os.mkdir, str(trace))


def reaches_code_by_getattr(trace: Path) -> Any:
    """Only names that mmengine's own allow-list has, and torch's function that rebuilds tensors of other classes."""
    method = Call(getattr, HistoryBuffer, 'mean')
    module = Call(getattr, method, '__globals__')
    get = Call(getattr, module, 'get')
    builtins = Call(_rebuild_from_type_v2, get, Call(getattr, module, '__class__'), ('__builtins__', ), None)
    get = Call(getattr, builtins, 'get')
    evaluate = Call(_rebuild_from_type_v2, get, Call(getattr, get, '__class__'), ('eval', ), None)
    nothing = Call(getattr, None, '__class__')
    return Call(_rebuild_from_type_v2, evaluate, nothing, (f'__import__("os").mkdir({str(trace)!r})', ), None)


def reaches_beyond(owner: Any, name: str) -> Callable[[Path], Any]:
    """An attribute that no record of mmengine's needs."""
    return lambda trace: Call(getattr, owner, name)


def array_of_addresses(trace: Path) -> Any:
    """An array whose dtype says that its eight bytes are a number, and hold an object."""
    dtype = WithState(np.dtype, ('f8', False, True), (3, '<', None, ('a', ), {'a': (Call(np.dtype, 'O'), 0)}, 8, 8, 0))
    return _array((1, (1, ), dtype, False, b'\x41' * 8))


def array_of_another_size(trace: Path) -> Any:
    """An array of more numbers than there are bytes."""
    return _array((1, (1 << 20, ), np.dtype('f8'), False, b'\x41' * 8))


def array_of_another_class(trace: Path) -> Any:
    """numpy's rebuilding of arrays, with a class that is none."""
    return Call(np.zeros(1).__reduce__()[0], HistoryBuffer, (0, ), b'b')


def _array(state: tuple) -> Any:
    function, arguments = np.zeros(1).__reduce__()[:2]
    return WithState(function, arguments, state)


def record_of_text(trace: Path) -> Any:
    """A record of mmengine's whose history is not numbers."""
    return WithState(HistoryBuffer, (), dict(_log_history='abc', _count_history='abc', max_length=3))


def record_without_end(trace: Path) -> Any:
    """A record of mmengine's that keeps a number of numbers below one."""
    return WithState(HistoryBuffer, (), dict(_log_history=np.zeros(1), _count_history=np.zeros(1), max_length=-1))


#: Name -> what makes a hostile object, given the trace that it would leave.
OBJECTS: Dict[str, Callable[[Path], Any]] = dict(
    code=runs_code,
    getattr=reaches_code_by_getattr,
    globals=reaches_beyond(HistoryBuffer.mean, '__globals__'),
    nested=lambda trace: Call(getattr, Call(getattr, HistoryBuffer, 'mean'), '__globals__'),
    subclasses=reaches_beyond(HistoryBuffer, '__subclasses__'),
    tofile=reaches_beyond(np.ndarray, 'tofile'),
    addresses=array_of_addresses,
    size=array_of_another_size,
    array_class=array_of_another_class,
    text=record_of_text,
    endless=record_without_end)


def write_checkpoint(path: Path, trace: Path, kind: str, where: str = 'extra', **contents: Any) -> str:
    """Write a checkpoint with good weights and a hostile object.

    Args:
        path: The file.
        trace: What it would leave.
        kind: Key of :data:`OBJECTS`.
        where: Key of the checkpoint at which the object is.
        **contents: What else is in it.

    Returns:
        str: The path.
    """
    whole = dict(dict(state_dict=nn.Linear(2, 2).state_dict(), meta=dict(epoch=1, iter=3)), **contents)
    whole[where] = OBJECTS[kind](trace)
    torch.save(whole, path)
    return str(path)


def config_that_runs(trace: Path) -> str:
    """Text that leaves a trace when it is read as a Python config."""
    return f'import os\nos.mkdir({str(trace)!r})\ngpu_ids = [0]\n'


def yaml_that_runs(trace: Path) -> str:
    """A YAML entry that leaves a trace when tags are followed."""
    return f'harm: !!python/object/apply:os.mkdir [{str(trace)}]\n'


def write_text(path: Path, text: str) -> Path:
    """Write a file, and the folders that it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path
