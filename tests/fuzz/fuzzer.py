"""Damages valid checkpoints of every family and kind, one case a seed, and judges what the opener makes of them."""
import shutil
import time
import warnings
from pathlib import Path
from random import Random
from typing import Dict, NamedTuple, Tuple

import gguf
import torch
from safetensors.torch import load_file
from torch import Tensor

from lbbt_mm.language import FAMILIES, CheckpointError, open_checkpoint
from lbbt_mm.language.gguf_header import read_header
from tests.time_limit import time_limit
from tests.tiny_checkpoints import CONFIGS, IN_GGUF, build_model, write_gguf
from .mutations import HARMLESS, MUTATIONS, REPLACEMENTS

#: The rule: so long, of this process alone, and so many bytes, for what is opened and what is refused.
SECONDS, BYTES = 2., 256 * 2**20
KINDS = ('safetensors', 'sharded', 'bin', 'gguf', 'gguf Q8_0')


class Outcome(NamedTuple):
    """What became of a case.

    Attributes:
        seed: The case.
        kind: ``opened``, ``refused``, or how the rule was broken: ``wrong``, ``raised``, ``slow``, ``large``.
        what: What was damaged and how.
        detail: The message, or what is wrong.
    """
    seed: int
    kind: str
    what: str
    detail: str = ''


class Fuzzer:
    """Makes the valid checkpoints once; :meth:`run` is one case.

    Args:
        folder: An empty folder to work in.

    Attributes:
        slowest: Seconds that the slowest case took.
        largest: Bytes that a case had beyond those before it, at most.
    """

    def __init__(self, folder: Path) -> None:
        self._case = folder / 'case'
        self._valid: Dict[Tuple[str, str], Path] = {}
        self.slowest, self.largest = 0., 0
        for family in CONFIGS:
            model = build_model(family)
            for kind in KINDS if family in IN_GGUF else KINDS[:3]:
                place = folder / f'{family} {kind}'
                place.mkdir()
                if kind.startswith('gguf'):
                    write_gguf(place / 'tiny.gguf', model, 'Q8_0' if 'Q8' in kind else 'F32')
                else:
                    size = '60KB' if kind == 'sharded' else '1GB'
                    model.save_pretrained(place, max_shard_size=size, safe_serialization=kind != 'bin')
                    (place / 'generation_config.json').unlink()
                self._valid[family, kind] = place

    def run(self, seed: int) -> Outcome:
        """Damage one file of one checkpoint, open it and read a block; the same seed is the same case."""
        rng = Random(seed)
        (family, kind), source = rng.choice(sorted(self._valid.items()))
        shutil.rmtree(self._case, ignore_errors=True)
        shutil.copytree(source, self._case)
        file = rng.choice(sorted(self._case.iterdir()))
        if rng.random() < 0.05:
            mutation = rng.choice(REPLACEMENTS[file.suffix])
            mutation(file, rng)
        else:
            mutation, data = rng.choice(MUTATIONS[file.suffix]), file.read_bytes()
            file.write_bytes(mutation(data, _head_size(file, data), rng))
        what = f'{family} {kind}, {file.name}: {mutation.__name__}'
        location = self._case / 'tiny.gguf' if kind.startswith('gguf') else self._case
        _forget_peak()
        before, start = _peak(), time.process_time()
        try:
            with time_limit(30), warnings.catch_warnings(action='ignore'):
                checkpoint = open_checkpoint(location)
                read = checkpoint.read_block(1)
                read.update(checkpoint.read_block('final_norm'))
            outcome = 'opened', ''
        except CheckpointError as error:
            read, outcome = {}, ('refused', str(error))
        except BaseException as error:
            read, outcome = {}, ('raised', f'{type(error).__name__}: {error}')
        took, grown = time.process_time() - start, _peak() - before
        self.slowest, self.largest = max(self.slowest, took), max(self.largest, grown)
        if took > SECONDS:
            return Outcome(seed, 'slow', what, f'{took:.1f} s; {outcome}')
        if grown > BYTES:
            return Outcome(seed, 'large', what, f'{grown:,} bytes; {outcome}')
        if outcome[0] == 'opened':
            wrong = self._wrong(checkpoint, read, kind, source, mutation in HARMLESS)
            if wrong:
                return Outcome(seed, 'wrong', what, wrong)
        return Outcome(seed, outcome[0], what, outcome[1])

    def _wrong(self, checkpoint, read: Dict[str, Tensor], kind: str, source: Path, harmless: bool) -> str:
        """Compare what was read with what the libraries of each format read from the same files; empty if it is the same.

        Where the tensors are those of the undamaged files, with these: the libraries take minutes for some of the others.
        """
        for name, tensor in read.items():
            stored = checkpoint._stored_names()[name]
            file = (source if harmless else self._case) / checkpoint._store.files[stored]
            try:
                expected = _reference(file, stored, kind, checkpoint)
            except Exception as error:
                if kind != 'bin':
                    return f'{name} was read, and the library cannot: {type(error).__name__}: {error}'
                expected = _reference(source / file.name, stored, kind, checkpoint)  # it reads more than this tensor
            if tensor.dtype != expected.dtype or not torch.equal(tensor, expected):
                return f'{name} differs'
        return ''


def _reference(file: Path, name: str, kind: str, checkpoint) -> Tensor:
    if file.suffix == '.safetensors':
        return load_file(file)[name]
    if file.suffix == '.bin':
        return torch.load(file, weights_only=True)[name]
    stored_name = checkpoint._store._names[name]
    stored = next(tensor for tensor in gguf.GGUFReader(file).tensors if tensor.name == stored_name)
    values = torch.tensor(gguf.quants.dequantize(stored.data, stored.tensor_type))
    return FAMILIES[checkpoint.spec.model_type].from_gguf(name, values, checkpoint.spec.block)


def _head_size(file: Path, data: bytes) -> int:
    """Bytes that describe, before those that are described."""
    if file.suffix == '.safetensors':
        return 8 + int.from_bytes(data[:8], 'little')
    if file.suffix == '.gguf':
        return min(tensor.start for tensor in read_header(file).tensors.values())
    return len(data)


def _forget_peak() -> None:
    Path('/proc/self/clear_refs').write_text('5')


def _peak() -> int:
    status = Path('/proc/self/status').read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith('VmHWM'))) * 1024
