"""Ways to damage a file: ``(bytes, size of the head, rng) -> bytes``; some are ``(path, rng)`` and put another there."""
import json
from pathlib import Path
from random import Random
from typing import Any, Callable, Dict, List, Tuple

from tests.bombs import BOMBS, write_bomb

#: Counts that are true.
COUNTS = (1000, 10_000, 60_000, 100_000)
NUMBERS = (0, 1, 7, 255, 2**31 - 1, 2**32 - 1, 2**32, 10**11, 2**62, 2**63 - 1, 2**63, 2**64 - 1)
VALUES: Tuple[Any, ...] = (
    None, True, False, 0, -1, -10**11, 1, 3, 2**31, 2**62, 2**64, 10**30, 0.5, -0.0, 1e308, float('nan'), float('inf'), '',
    'x', '../x', 'a' * 300, 'model.safetensors', 'gelu', 'F64', [], [0], [0, 64], [64, 0], [-64, 0], [2**62, 2**63],
    {}, {'a': {'b': []}}, {'rope_type': 'yarn'}, [[[[]]]])


def head_bytes(data: bytes, head: int, rng: Random) -> bytes:
    """Some bytes of the head are others."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        out[rng.randrange(min(head, len(out)))] = rng.randrange(256)
    return bytes(out)


def head_numbers(data: bytes, head: int, rng: Random) -> bytes:
    """Eight bytes of the head are a number that somebody may trust."""
    start = rng.randrange(min(head, len(data)))
    width = rng.choice((4, 8))
    number = (rng.choice(NUMBERS) % 2**(8 * width)).to_bytes(width, 'little')
    return (data[:start] + number + data[start + width:])[:max(len(data), start + width)]


def cut(data: bytes, head: int, rng: Random) -> bytes:
    """The file ends early."""
    return data[:rng.randrange(len(data) if rng.random() < .5 else head)]


def longer(data: bytes, head: int, rng: Random) -> bytes:
    """Something stands behind the end."""
    return data + bytes(rng.randrange(256) for _ in range(rng.choice((1, 8, 100))))


def lose(data: bytes, head: int, rng: Random) -> bytes:
    """Some bytes of the head are gone."""
    start = rng.randrange(head)
    return data[:start] + data[start + rng.choice((1, 8, 64)):]


def repeat(data: bytes, head: int, rng: Random) -> bytes:
    """Some bytes of the head are there twice."""
    start, count = rng.randrange(head), rng.choice((1, 8, 64, 200))
    return data[:start + count] + data[start:]


def swap(data: bytes, head: int, rng: Random) -> bytes:
    """Two stretches of the head have changed places."""
    count = rng.choice((1, 4, 8, 24))
    first, second = sorted(rng.sample(range(max(head - count, 2)), 2))
    out = bytearray(data)
    out[first:first + count], out[second:second + count] = data[second:second + count], data[first:first + count]
    return bytes(out)


def _paths(value: Any, path: Tuple[Any, ...] = ()) -> List[Tuple[Any, ...]]:
    children: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path] * bool(path) + [found for key, child in children for found in _paths(child, (*path, key))]


def _change(document: Any, rng: Random) -> str:
    """A JSON document with one value replaced, removed, renamed or put there twice; sometimes a deep, wide or long one."""
    way = rng.choice(('value', 'value', 'value', 'remove', 'rename', 'twice', 'deep', 'wide', 'long', 'exchange'))
    *parents, last = rng.choice(_paths(document))
    holder = document
    for key in parents:
        holder = holder[key]
    if way == 'value':
        holder[last] = rng.choice(VALUES)
    elif way == 'remove':
        holder.pop(last)
    elif way == 'rename' and isinstance(holder, dict):
        holder[rng.choice(('x', last + 'x', 'module.' + last, ''))] = holder.pop(last)
    elif way == 'exchange' and isinstance(holder, dict):
        other = rng.choice(list(holder))
        holder[last], holder[other] = holder[other], holder[last]
    elif way == 'twice' and isinstance(document, dict):
        key = rng.choice(list(document))
        return json.dumps(document)[:-1] + f', {json.dumps(key)}: {json.dumps(rng.choice(VALUES))}}}'
    elif way == 'deep':
        depth, (begin, end) = rng.choice((60, 500, 700, 900, 960, 20_000)), rng.choice((('[', ']'), ('{"a":', '}')))
        holder[last] = 'DEEP'
        return json.dumps(document).replace('"DEEP"', begin * depth + '0' + end * depth)
    elif way == 'wide':
        wide = document if rng.random() < .5 else holder
        if isinstance(wide, dict):
            wide.update((f'k{index:06}', rng.choice(VALUES)) for index in range(rng.choice(COUNTS)))
    elif way == 'long':
        holder[last] = [rng.choice(VALUES)] * rng.choice(COUNTS)
    return json.dumps(document)


def json_value(data: bytes, head: int, rng: Random) -> bytes:
    """A JSON file says something else."""
    return _change(json.loads(data), rng).encode()


def header_value(data: bytes, head: int, rng: Random) -> bytes:
    """The header of a safetensors file says something else."""
    text = _change(json.loads(data[8:head]), rng).encode()
    return len(text).to_bytes(8, 'little') + text + data[head:]


def many_tensors(data: bytes, head: int, rng: Random) -> bytes:
    """A safetensors file has as many tensors more as its header says, all of them empty."""
    more = {f't{index:06}': dict(dtype='F32', shape=[0], data_offsets=[0, 0]) for index in range(rng.choice(COUNTS))}
    text = json.dumps({**json.loads(data[8:head]), **more}).encode()
    return len(text).to_bytes(8, 'little') + text + data[head:]


def many_keys(data: bytes, head: int, rng: Random) -> bytes:
    """A GGUF file has as many metadata more as it announces, in multiples of its alignment."""
    count, keys = rng.choice(COUNTS), int.from_bytes(data[16:24], 'little')
    more = b''.join((19).to_bytes(8, 'little') + b'k%018d' % index + bytes(5) for index in range(count))
    return data[:16] + (keys + count).to_bytes(8, 'little') + more + data[24:]


def many_items(data: bytes, head: int, rng: Random) -> bytes:
    """A GGUF file has an array as long as it announces, of empty strings or of numbers."""
    count, (kind, width) = 4 * rng.choice((*COUNTS, 10**6)), rng.choice(((8, 8), (0, 1), (10, 8)))
    size = 8 + 8 + 4 + 4 + 8 + count * width
    name = b'k' * (8 + -size % 32)
    array = (9).to_bytes(4, 'little') + kind.to_bytes(4, 'little') + count.to_bytes(8, 'little') + bytes(count * width)
    keys = (int.from_bytes(data[16:24], 'little') + 1).to_bytes(8, 'little')
    return data[:16] + keys + len(name).to_bytes(8, 'little') + name + array + data[24:]


def link(file: Path, rng: Random) -> None:
    """A link stands in the file's place: to itself, nothing, another file, a folder, a device, or out of the folder."""
    outside = file.parent.with_name('outside')
    outside.mkdir(exist_ok=True)
    moved = file.rename(outside / file.name)
    others = sorted(file.parent.iterdir()) or [moved]
    file.symlink_to(rng.choice((file.name, 'absent', rng.choice(others), file.parent, moved, moved,
                                Path('..', 'outside', file.name), '/dev/zero', '/proc/self/maps', '/proc/kcore')))


def bomb(file: Path, rng: Random) -> None:
    """A pickle that would never end."""
    write_bomb(file, rng.choice(sorted(BOMBS)), rng.random() < .5)


_RAW: List[Callable] = [head_bytes, head_numbers, cut, longer, lose, repeat, swap]
#: By the kind of file: what can be done to it.
MUTATIONS: Dict[str, List[Callable]] = {
    '.json': [json_value] * 6 + _RAW, '.safetensors': [header_value] * 5 + [many_tensors] + _RAW, '.bin': _RAW,
    '.gguf': _RAW + [head_bytes, head_numbers] * 3 + [many_keys, many_items],
}
#: And what can be put in its place.
REPLACEMENTS: Dict[str, List[Callable]] = {'.json': [link], '.safetensors': [link], '.bin': [link, bomb], '.gguf': [link]}
#: What leaves the tensors as they were.
HARMLESS = (many_tensors, many_keys, many_items)
