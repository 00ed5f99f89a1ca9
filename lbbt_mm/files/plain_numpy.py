"""Numpy's arrays out of pickles of unknown origin: built from checked parts, never by numpy's own unpickling.

A pickled dtype may say of itself what is not true (that it holds no objects, another size), and numpy believes it and takes
bytes of the file for addresses. So stand-ins take the place of numpy's functions while a file is read, and
:func:`without_stand_ins` puts arrays where they are afterwards.
"""
import re
from math import prod
from pickle import UnpicklingError
from typing import Any, Dict, Optional

import numpy as np
from mmengine.logging.history_buffer import HistoryBuffer
from mmengine.structures import BaseDataElement

from lbbt_mm.mmengine_internals import history_of

# Booleans, integers, floats, text, and objects, which a file gives one by one
_KINDS = re.compile(r'[biufc]\d{1,2}|[US]\d{1,6}|O8?')


class _Dtype:
    """What a file says a ``numpy.dtype`` is."""
    dtype: Optional[np.dtype] = None

    def __init__(self, name: Any = None, *flags: Any) -> None:
        if not isinstance(name, str) or not _KINDS.fullmatch(name):
            raise UnpicklingError(f'numpy.dtype({name!r})')
        self.dtype = np.dtype(name)

    def __setstate__(self, state: Any) -> None:
        if self.dtype is None or not isinstance(state, tuple) or not 8 <= len(state) <= 9 or any(
                part is not None for part in (*state[2:5], *state[8:])) or state[5] not in (-1, self.dtype.itemsize):
            raise UnpicklingError('a numpy.dtype of several parts')
        if state[1] in ('<', '>'):
            self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    """An array that is being read; stands for the class ``numpy.ndarray`` too."""
    value: Optional[np.ndarray] = None

    def __init__(self, *arguments: Any) -> None:
        if arguments:
            raise UnpicklingError('numpy.ndarray called')

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise UnpicklingError('an array without its parts')
        _, shape, dtype, is_fortran, data = state
        self.value = _build(shape, dtype, data, 'F' if is_fortran is True else 'C')


def _build(shape: Any, dtype: Any, data: Any, order: str) -> np.ndarray:
    sizes = shape if isinstance(shape, tuple) else (shape, )
    if not isinstance(dtype, _Dtype) or dtype.dtype is None or any(type(size) is not int or size < 0 for size in sizes):
        raise UnpicklingError(f'an array of shape {shape!r}')
    kind, count = dtype.dtype, prod(sizes)
    if kind.hasobject:
        if not isinstance(data, list) or len(data) != count:
            raise UnpicklingError('an array of objects that are not listed')
        return np.fromiter(data, kind, count).reshape(sizes, order=order)
    if isinstance(data, str):  # bytes of Python 2, read as Latin-1
        data = data.encode('latin1')
    if not isinstance(data, (bytes, bytearray)) or len(data) != count * kind.itemsize:
        raise UnpicklingError(f'an array of {count} times {kind.itemsize} bytes without them')
    return np.ndarray(sizes, kind, bytes(data), order=order).copy(order=order)


def _reconstruct(kind: Any, *_: Any) -> _Array:
    if kind is not _Array:
        raise UnpicklingError(f'an array of class {kind!r}')
    return _Array()


def _scalar(dtype: Any, data: Any = b'') -> Any:
    if not isinstance(dtype, _Dtype) or dtype.dtype is None or dtype.dtype.hasobject:
        raise UnpicklingError('a numpy scalar of no plain type')
    return _build((), dtype, data, 'C')[()]


def _frombuffer(data: Any, dtype: Any, shape: Any, order: Any = 'C', *_: Any) -> _Array:
    array = _Array()
    array.value = _build(shape, dtype, data, 'F' if order == 'F' else 'C')
    return array


#: Full name in a pickle -> what stands for it, under the names of numpy 1 and 2.
STAND_INS: Dict[str, Any] = {
    'numpy.dtype': _Dtype,
    'numpy.ndarray': _Array,
    **{f'numpy.{core}.multiarray.{name}': stand_in
       for core in ('core', '_core') for name, stand_in in (('_reconstruct', _reconstruct), ('scalar', _scalar))},
    **{f'numpy.{core}.numeric._frombuffer': _frombuffer
       for core in ('core', '_core')}
}
#: torch's unpickler lets a state be set for these alone.
STAND_IN_TYPES = (_Dtype, _Array)


def without_stand_ins(value: Any, seen: Optional[Dict[int, Any]] = None) -> Any:
    """What was read, with numpy's arrays in it; containers are changed in place.

    Args:
        value: What an unpickler returned.
        seen: Containers that have been looked at, by identity.

    Returns:
        Any: The same, or the array that it stands for.

    Raises:
        UnpicklingError: If mmengine's records of a training are not what mmengine writes.
    """
    seen = {} if seen is None else seen
    if isinstance(value, _Array):
        if value.value is None:
            raise UnpicklingError('an array without its parts')
        if not value.value.dtype.hasobject or id(value) in seen:
            return value.value
        seen[id(value)] = value
        for index in np.ndindex(value.value.shape):
            value.value[index] = without_stand_ins(value.value[index], seen)
        return value.value
    if isinstance(value, _Dtype):
        return value.dtype
    if type(value) is tuple:
        items = [without_stand_ins(item, seen) for item in value]
        return value if all(new is old for new, old in zip(items, value)) else tuple(items)
    if isinstance(value, (dict, list, HistoryBuffer, BaseDataElement)) and id(value) not in seen:
        seen[id(value)] = value
        contents = value if isinstance(value, (dict, list)) else vars(value)
        for key in (range(len(contents)) if isinstance(contents, list) else list(contents)):
            contents[key] = without_stand_ins(contents[key], seen)
        if isinstance(value, HistoryBuffer):
            _restore_history(value)
    return value


def _restore_history(buffer: HistoryBuffer) -> None:
    """Keep of a record what mmengine writes: two rows of numbers and a length."""
    log, count, length = history_of(buffer)
    rows = [row for row in (log, count) if isinstance(row, np.ndarray) and row.ndim == 1 and row.dtype.kind in 'biuf']
    if len(rows) != 2 or len(log) != len(count) or type(length) is not int or length < 1:
        raise UnpicklingError('a HistoryBuffer that mmengine did not write')
    vars(buffer).clear()
    vars(buffer).update(vars(HistoryBuffer(log, count, length)))
