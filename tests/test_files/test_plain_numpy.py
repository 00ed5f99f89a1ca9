"""Numpy's arrays are read out of pickles as they were, and what is no array is refused."""
import pickle

import numpy as np
import pytest
from mmengine.logging import HistoryBuffer
from mmengine.structures import InstanceData

from lbbt_mm.files.plain_files import PlainUnpickler
from lbbt_mm.files.plain_numpy import without_stand_ins
from tests.hostile_files import Call, WithState

ARRAYS = dict(
    float64=np.linspace(0, 1, 5), float32=np.ones((2, 3), np.float32), float16=np.ones(2, np.float16), flag=np.eye(2) > 0,
    int64=np.arange(6).reshape(2, 3), uint8=np.arange(4, dtype=np.uint8), uint32=np.arange(3, dtype=np.uint32),
    complex=np.array([1 + 2j]), swapped=np.arange(3, dtype='>i4'), fortran=np.asfortranarray(np.arange(6.).reshape(2, 3)),
    single=np.array(3.5), empty=np.empty((0, 4)), text=np.array(['abc', 'd']), raw=np.array([b'abc', b'd']),
    objects=np.array([None, 'a', np.arange(2)], dtype=object), strided=np.arange(10)[::3])


def read(content: bytes):
    import io
    return without_stand_ins(PlainUnpickler(io.BytesIO(content)).load())


@pytest.mark.parametrize('protocol', range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize('name', ARRAYS)
def test_an_array_comes_as_it_was_saved(name, protocol):
    array = ARRAYS[name]
    found = read(pickle.dumps(dict(here=[(1, array)]), protocol))['here'][0][1]
    assert type(found) is np.ndarray and found.dtype == array.dtype and found.shape == array.shape
    assert found.flags.writeable and pickle.dumps(found.tolist()) == pickle.dumps(array.tolist())


@pytest.mark.parametrize('value', [np.float32(0.5), np.int64(3), np.uint8(7), np.bool_(True), np.str_('ab'),
                                   np.float64('nan')])
def test_a_scalar_comes_as_it_was_saved(value):
    found = read(pickle.dumps([value], 2))[0]
    assert type(found) is type(value) and repr(found) == repr(value)


def test_shared_parts_and_circles_stay():
    shared, circle = [np.zeros(2)], {}
    circle['self'] = circle
    found = read(pickle.dumps(dict(one=shared, two=shared, circle=circle)))
    assert found['one'] is found['two'] and found['circle']['self'] is found['circle']


def test_structures_of_mmengine_hold_arrays():
    boxes = InstanceData(bboxes=np.ones((2, 4)), scores=np.zeros(2))
    found = read(pickle.dumps({'a.jpg': boxes}, 2))['a.jpg']
    assert type(found) is InstanceData and found[0].bboxes.tolist() == [[1, 1, 1, 1]]


@pytest.mark.parametrize('dtype', ['M8[s]', 'V8', [('a', 'f8')], [('a', 'O')]])
def test_other_types_are_refused(dtype):
    with pytest.raises(pickle.UnpicklingError, match=r'numpy\.dtype'):
        read(pickle.dumps(np.zeros(2, dtype)))


@pytest.mark.parametrize('state', [
    (3, '<', None, None, None, -1, 3, 63, 'more', 'more'), (3, '<'), 'text', (3, '<', 'f8', None, None, -1, -1, 0),
    (3, '<', None, ('a', ), {}, -1, -1, 0), (3, '<', None, None, None, 1, -1, 0), (4, '<', None, None, None, -1, -1, 0, {})
])
def test_a_type_of_a_forged_state_is_refused(state):
    with pytest.raises(pickle.UnpicklingError, match=r'numpy\.dtype'):
        read(pickle.dumps(WithState(np.dtype, ('f8', False, True), state)))


@pytest.mark.parametrize('shape, dtype, data', [
    ((-1, ), 'f8', b''), ((2, ), 'f8', b'\0' * 8), ((True, ), 'f8', b'\0' * 8), ((1 << 62, 8), 'f8', b''), ('x', 'f8', b''),
    ((1, ), 'O', b'\0' * 8), ((2, ), 'O', [None]), ((1, ), 'f8', [1.]), ((1, ), None, b'\0' * 8), ((1, ), 'O', None)
])
def test_an_array_of_a_forged_state_is_refused(shape, dtype, data):
    function, arguments = np.zeros(1).__reduce__()[:2]
    state = (1, shape, dtype if dtype is None else np.dtype(dtype), False, data)
    with pytest.raises(pickle.UnpicklingError, match='an array of'):
        read(pickle.dumps(WithState(function, arguments, state)))


@pytest.mark.parametrize('call', [
    lambda: Call(np.ndarray, (1, ), 'O'), lambda: Call(np.dtype, [('a', 'O')]), lambda: Call(np.dtype, 'O,O'),
    lambda: Call(np.float64(0).__reduce__()[0], np.dtype('O'), b'\0' * 8),
    lambda: Call(np.float64(0).__reduce__()[0], np.dtype('f8'), b'\0'),
    lambda: Call(np.zeros(1).__reduce__()[0], dict, (0, ), b'b')
])
def test_numpy_s_own_functions_are_called_in_no_other_way(call):
    with pytest.raises(pickle.UnpicklingError):
        read(pickle.dumps(call()))


def test_an_array_without_its_contents_is_refused():
    with pytest.raises(pickle.UnpicklingError, match='an array without its parts'):
        read(pickle.dumps(Call(*np.zeros(1).__reduce__()[:1], *np.zeros(1).__reduce__()[1])))


def test_a_record_keeps_nothing_but_its_numbers():
    """Else its methods could be others than mmengine's."""
    buffer = HistoryBuffer([1., 2.], [1, 1])
    vars(buffer).update(mean=print, _statistics_methods=dict(mean=print), more=3)
    assert set(vars(without_stand_ins([buffer])[0])) == set(vars(HistoryBuffer()))
    assert buffer.statistics('mean') == 1.5
