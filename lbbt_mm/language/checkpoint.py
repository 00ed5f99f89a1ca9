"""An opened language checkpoint: blocks and parts are read on demand, strictly."""
import re
from typing import Any, Callable, Dict, List, Mapping, Tuple, Union

import torch
from torch import Tensor

from .errors import CheckpointError
from .families import FAMILIES, block_tensors, read_spec
from .spec import LanguageModelSpec
from .stores import TensorStore
from .tensor_names import refuse_other_kinds, stored_names

_FLOATS = (torch.float32, torch.bfloat16, torch.float16, torch.float64)


class LanguageCheckpoint:
    """An opened language checkpoint: its config, its spec, and its blocks read on demand.

    Args:
        location: What the user wrote: hub id, folder or file.
        config: Hugging Face config fields.
        open_store: Opens the tensors; called when the first block is read, so that reading a config
            downloads no weights.
    """

    def __init__(self, location: str, config: Dict[str, Any],
                 open_store: Callable[[LanguageModelSpec], TensorStore]) -> None:
        self.location = location
        self.config = config
        self.spec = read_spec(config, where=location)
        self._family = FAMILIES[self.spec.model_type]
        self._open_store = open_store
        self._store: Any = None
        self._names: Dict[str, str] = {}
        self._remedy = ('its metadata and its tensors contradict each other: use another file'
                        if location.lower().endswith('.gguf') else 'check that config.json belongs to these weights')

    @property
    def bytes_read(self) -> int:
        """Bytes of tensor data and headers read so far."""
        return self._store.bytes_read if self._store else 0

    def read_block(self, part: Union[int, str]) -> Dict[str, Tensor]:
        """Read one block or another part, strictly.

        Args:
            part: Index of a block; or ``final_norm`` or ``position_table``, of which only rows that are positions are given.

        Returns:
            dict[str, Tensor]: Its tensors by canonical name, in the checkpoint's dtype.

        Raises:
            CheckpointError: If a tensor is missing, left over, of the wrong shape, or holds NaN or infinity.
        """
        expected, prefix = block_tensors(self.spec, part), self._family.block_prefix.format(i=part)
        names, kind = self._stored_names(), f'{self.spec.model_type} {"block" if isinstance(part, int) else part}'
        found = [name for name in names if name.startswith(prefix)]
        missing = next((name for name in expected if name not in names), None)
        left_over = sorted(set(found) - expected.keys() - {prefix + name for name in self._family.ignored})
        if missing or left_over:
            refuse_other_kinds(map(names.get, found), self.location)
        if missing:
            raise CheckpointError(f'{self.location}: tensor {self._root + missing!r} is missing. A {kind} with this config '
                                  f'has it; {self._remedy}.')
        if left_over:
            raise CheckpointError(f'{self.location}: tensor {names[left_over[0]]!r} is left over ({len(left_over)} in block '
                                  f'{part}): a {kind} with this config has no such part; {self._remedy}.')
        read = self._store.read([names[name] for name in expected])
        skipped = self._family.first_position if part == 'position_table' else 0
        for name, (rows, *columns) in expected.items():
            _check_tensor(f'{self.location}: tensor {names[name]!r}', read[names[name]], (skipped + rows, *columns),
                          self._remedy)
        return {name: read[names[name]][skipped:] for name in expected}

    def files_of_block(self, part: Union[int, str]) -> List[str]:
        """Names of the files that hold a block or another part, see :meth:`read_block`."""
        names = self._stored_names()
        return sorted({self._store.files[names[name]] for name in block_tensors(self.spec, part)})

    def _stored_names(self) -> Dict[str, str]:
        """Canonical name -> name in the file; the store is opened for it."""
        if self._store is None:
            store = self._open_store(self.spec)
            names = stored_names(store.files, self.location)
            self._root = self._find_root(names)
            self._names = {name[len(self._root):]: stored for name, stored in names.items() if name.startswith(self._root)}
            self._store = store
        return self._names

    def _find_root(self, names: Mapping[str, str]) -> str:
        """What the names of tensors begin with before a family's own names: nothing, or a model's root."""
        block = '(.*?)' + re.escape(self._family.block_prefix).replace(r'\{i\}', r'\d+')
        starts = {found[1] for found in map(re.compile(block).match, names) if found}
        roots = self._family.root_prefixes
        for root in (*roots, *(f'model.{root}' for root in roots)):  # Lightning's
            if root in starts:
                return root
        refuse_other_kinds(names.values(), self.location)
        block, known = next(iter(block_tensors(self.spec, 0))), ', '.join(filter(None, roots))
        raise CheckpointError(
            f'{self.location}: no tensor is named like a {self.spec.model_type} block ({block!r}, or so behind {known}); '
            f'found for example {next(iter(names.values()), "none")!r:.120}. These weights are of another family than the '
            'config says.')


def _check_tensor(where: str, tensor: Tensor, shape: Tuple[int, ...], remedy: str) -> None:
    """Refuse a tensor of another shape or type, and one that is not finite."""
    if tuple(tensor.shape) != tuple(shape):
        raise CheckpointError(f'{where} has shape {tuple(tensor.shape)}; the config says {tuple(shape)}; {remedy}.')
    if tensor.dtype not in _FLOATS:
        raise CheckpointError(f'{where} is stored as {tensor.dtype}; expected a floating-point type of 16 bits or more. '
                              'Use a checkpoint that is not quantised, or a GGUF file.')
    if tensor.dtype is torch.float64 and tensor.numel() and tensor.abs().max() > torch.finfo(torch.float32).max:
        raise CheckpointError(f'{where} holds numbers that float32 has no room for; expected weights of a model. The file '
                              'is damaged; use another.')
    if not torch.isfinite(tensor).all():
        raise CheckpointError(f'{where} holds NaN or infinity; expected finite numbers. The file is damaged or the model '
                              'diverged; use another revision or checkpoint.')
