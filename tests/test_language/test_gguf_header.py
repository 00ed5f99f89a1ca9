"""The head of a GGUF file is input from others: what it announces has to be there."""
import struct

import gguf
import numpy as np
import pytest

from lbbt_mm.language import CheckpointError
from lbbt_mm.language.gguf_header import read_header
from tests.time_limit import time_limit
from tests.tiny_checkpoints import build_model, write_gguf


def text(value):
    return struct.pack('<Q', len(value)) + value.encode()


def entry(name, dims=(4, ), kind=0, offset=0):
    return text(name) + struct.pack(f'<I{len(dims)}QIQ', len(dims), *dims, kind, offset)


def key(name, kind, packed):
    return text(name) + struct.pack('<I', kind) + packed


ARCHITECTURE = key('general.architecture', 8, text('llama'))


def write(path, keys=(ARCHITECTURE, ), entries=(), data=64, version=3, counts=None):
    tensors, pairs = counts or (len(entries), len(keys))
    head = b'GGUF' + struct.pack('<IQQ', version, tensors, pairs) + b''.join(keys) + b''.join(entries)
    path.write_bytes(head + bytes(-len(head) % 32) + bytes(data))
    return path


def test_every_value_and_place_is_what_the_package_reads(tmp_path):
    path = write_gguf(tmp_path / 'tiny.gguf', build_model('llama'), 'Q8_0')
    reader, header = gguf.GGUFReader(path), read_header(path)
    for name, field in reader.fields.items():
        if name.startswith('GGUF.') or name == 'tokenizer.ggml.tokens':
            continue
        assert header.metadata[name] == field.contents(), name
    assert list(header.tensors) == [tensor.name for tensor in reader.tensors]
    for tensor in reader.tensors:
        found = header.tensors[tensor.name]
        assert (found.start, found.size, found.kind) == (tensor.data_offset, tensor.n_bytes, tensor.tensor_type)
        assert found.shape == tuple(int(size) for size in reversed(tensor.shape))


def test_every_type_of_value(tmp_path):
    writer = gguf.GGUFWriter(tmp_path / 'values.gguf', 'llama')
    values = dict(uint8=200, int8=-3, uint16=60_000, int16=-300, uint32=2**31, int32=-2**30, uint64=2**63, int64=-2**62,
                  float32=0.5, float64=0.1, bool=True, string='é')
    for name, value in values.items():
        getattr(writer, f'add_{name}')(f'x.{name}', value)
    writer.add_array('x.numbers', [1, 2, 3])
    writer.add_array('x.many', list(range(10_000)))
    writer.add_array('x.words', ['a', 'b'])
    writer.add_tensor('t', np.zeros(4, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    metadata = read_header(tmp_path / 'values.gguf').metadata
    assert {name[2:]: value for name, value in metadata.items() if name[2:] in values} == values
    assert metadata['x.numbers'] == [1, 2, 3] and metadata['x.many'] is None and metadata['x.words'] is None


ARRAY = struct.pack('<IQ', 8, 2**62)


@pytest.mark.parametrize('options, message', [
    (dict(keys=[ARCHITECTURE, key('a', 9, ARRAY)]), r'announces 4,611,686,018,427,387,904 strings'),
    (dict(keys=[ARCHITECTURE, key('a', 9, struct.pack('<IQ', 6, 2**62))]), 'announces .* numbers'),
    (dict(keys=[ARCHITECTURE, key('a', 9, struct.pack('<IQ', 9, 1))]), 'array of type 9'),
    (dict(keys=[ARCHITECTURE, key('a', 8, struct.pack('<Q', 2**63))]), 'announces .* characters'),
    (dict(keys=[ARCHITECTURE, key('a', 99, b'')]), 'value of type 99'),
    (dict(keys=[ARCHITECTURE, ARCHITECTURE]), "has the key 'general.architecture' twice"),
    (dict(counts=(2**60, 1)), 'announces .* tensors'),
    (dict(counts=(0, 2**60)), 'announces .* metadata keys'),
    (dict(counts=(-1 % 2**64, 1)), 'announces .* tensors'),
    (dict(entries=[entry('a'), entry('a', offset=32)]), "has the tensor 'a' twice"),
    (dict(entries=[entry('a', offset=2**64 - 32)]), "'a' would end at byte"),
    (dict(entries=[entry('a', (2**33, 2**33))]), "'a' would end at byte"),
    (dict(entries=[entry('a', (2**62, 2**62, 2**62, 2**62))]), "'a' would end at byte"),
    (dict(entries=[entry('a'), entry('b')]), 'lies in another tensor'),
    (dict(entries=[entry('a', (16, )), entry('b', (4, ), offset=32)]), "'b' begins at byte .* lies in another tensor"),
    (dict(entries=[entry('a', offset=4)]), 'not aligned'),
    (dict(entries=[entry('a', (33, ), 8)]), "'a' has rows of 33, and Q8_0 takes multiples of 32"),
    (dict(entries=[entry('a', kind=77)]), "'a' is of type 77, which this version of the gguf package does not know"),
    (dict(entries=[entry('a', (1, ) * 5)]), "'a' has 5 dimensions"),
    (dict(entries=[entry('a', (2**40, 0))]), "'a' has the sizes"),
    (dict(entries=[entry('a', ())]), "'a' has 0 dimensions"),
    (dict(keys=[ARCHITECTURE, key('general.alignment', 4, struct.pack('<I', 0))]), 'general.alignment is 0'),
    (dict(keys=[ARCHITECTURE, key('general.alignment', 8, text('x'))]), "general.alignment is 'x'"),
    (dict(version=1), 'of version 1, and versions 2 and 3 are read'),
    (dict(version=3 << 24), 'big-endian'),
])
def test_a_head_that_announces_what_is_not_there(tmp_path, options, message):
    path = write(tmp_path / 'odd.gguf', **options)
    with time_limit(1), pytest.raises(CheckpointError, match=f'odd.gguf: not a complete GGUF file .*{message}'):
        read_header(path)


def test_a_tensor_of_a_name_that_is_no_text(tmp_path):
    path = write(tmp_path / 'odd.gguf', entries=[struct.pack('<Q', 2) + b'\xff\xfe' + struct.pack('<IQIQ', 1, 4, 0, 0)])
    with pytest.raises(CheckpointError, match='not a complete GGUF file'):
        read_header(path)


def test_a_large_file_of_zeros_behind_a_long_list_ends_soon(tmp_path):
    """Each of the strings would be empty, and there is room for all of them."""
    path = write(tmp_path / 'odd.gguf', keys=[ARCHITECTURE, key('a', 9, struct.pack('<IQ', 8, 10**8))])
    with open(path, 'r+b') as file:
        file.truncate(2**30)
    with time_limit(1), pytest.raises(CheckpointError, match='announces 100,000,000 strings'):
        read_header(path)
    path.unlink()


def test_a_vocabulary_is_passed_over(tmp_path):
    writer = gguf.GGUFWriter(tmp_path / 'words.gguf', 'llama')
    writer.add_array('tokenizer.ggml.tokens', [f'token{index}' for index in range(150_000)])
    writer.add_tensor('t', np.zeros(4, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    header = read_header(tmp_path / 'words.gguf')
    assert list(header.tensors) == ['t'] and header.metadata['tokenizer.ggml.tokens'] is None
