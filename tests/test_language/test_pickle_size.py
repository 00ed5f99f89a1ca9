"""A pickle that makes far more than it has bytes is refused before anything is made of it; any other is not."""
import io
import pickle
from collections import OrderedDict

import numpy as np
import pytest
import torch

from lbbt_mm.language.pickle_size import PickleTooLarge, check_pickle
from tests.bombs import BOMBS
from tests.time_limit import time_limit


@pytest.mark.parametrize('name', BOMBS)
def test_what_would_never_end_is_refused_at_once(name):
    with time_limit(1), pytest.raises(PickleTooLarge):
        check_pickle(io.BytesIO(BOMBS[name]))


@pytest.mark.parametrize('protocol', range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize('content', [
    dict(a=[1, 2.5, None, True], b=dict(c=(1, (2, (3, ()))), d={1, 2}), e=frozenset('x'), f=b'raw', g='text', h=2**100),
    [dict(state=torch.ones(3, 4), betas=(0.9, 0.999))] * 500, np.arange(10**6), [np.float32(1)] * 10,
    OrderedDict((f'layer.{index}.weight', np.ones(3)) for index in range(2000)), bytearray(10**6), range(10), 'a' * 10**7,
    [('x', ) * 30_000] * 3, complex(1, 2), set, [[[[[[0]]]]]] * 1000, list(range(10**5))])
def test_what_people_save_passes(content, protocol):
    written = io.BytesIO(pickle.dumps(content, protocol) + b'behind')
    check_pickle(written)
    assert written.read() == b'behind'


@pytest.mark.parametrize('content', [b'', b'\x80\x02', b'no pickle', b'\x80\x02h\x00.', b'\x80\x02q\x00.', b'\x80\x02\x86.',
                                     b'\x80\x02t.', b'\x80\x02(e.', b'\x80\x02K\x01(\x86.', b'\x80\x02}(K\x01s.',
                                     b'\x80\x02b.'])
def test_what_is_no_pickle_is_an_error(content):
    with pytest.raises(ValueError):
        check_pickle(io.BytesIO(content))
