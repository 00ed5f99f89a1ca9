"""The table in the log that says where every block came from and went to."""
import zlib
from typing import List, Mapping, Optional, Tuple, Union

import torch
from torch import Tensor

from lbbt_mm.text_table import render_table
from .arms import ARMS
from .checkpoint import LanguageCheckpoint
from .families import FAMILIES
from .options import LanguageOptions
from .weight_selection import WeightSelection

_COLUMNS = ('block', 'went to', 'arm', 'file', 'parameters', 'dtype', 'std', 'crc32')


class LoadReport:
    """One row for each source block.

    Args:
        options: What was asked for.
        checkpoint: Where tensors are read from, if any are.
    """

    def __init__(self, options: LanguageOptions, checkpoint: Optional[LanguageCheckpoint]) -> None:
        self._options = options
        self._checkpoint = checkpoint
        self._rows: List[Tuple[str, ...]] = []
        self._parameters = 0
        self._selection = ''
        self._draws = False

    def add(self, part: Union[int, str], places: List[str], arm: str, tensors: Mapping[str, Tensor],
            selection: Optional[WeightSelection] = None) -> None:
        """Note one block or another part: where it went, where it came from, and the CRC-32 of its source tensors."""
        if selection:
            self._selection = str(selection)
        is_extra = isinstance(part, int) and part >= self._options.spec.num_blocks
        files = ['drawn'] if ARMS[arm].is_drawn else self._checkpoint.files_of_block(part)
        checksum = 0
        for key in sorted(tensors):
            checksum = zlib.crc32(tensors[key].contiguous().view(torch.uint8).numpy(), checksum)
        count = sum(tensor.numel() for tensor in tensors.values())
        self._parameters += count
        self._draws = self._draws or ARMS[arm].is_drawn
        dtypes = sorted({str(tensor.dtype).replace('torch.', '') for tensor in tensors.values()})
        self._rows.append(('none (extra layer)' if is_extra else str(part).replace('_', ' '), ', '.join(places), arm,
                           ', '.join(files), f'{count:,}', ', '.join(dtypes), _std(tensors), f'{checksum:08x}'))

    def render(self) -> str:
        """The table as text."""
        options, spec = self._options, self._options.spec
        source = f'{options.checkpoint}' + (f' at {options.revision}' if options.revision else '')
        read = f'{self._checkpoint.bytes_read:,} bytes read' if self._checkpoint else 'no weights read'
        drawn = f'; {self._drawn()}' if self._draws else ''
        return render_table(
            f'LanguageInit: arm {options.arm}, seed {options.seed}{drawn}, {source} ({spec.model_type}, '
            f'{spec.num_blocks} blocks, width {spec.block.embed_dims}{self._selection}); {self._parameters:,} parameters, '
            f'{read}', _COLUMNS, self._rows, left=[column for column in _COLUMNS if column not in ('parameters', 'std')])

    def _drawn(self) -> str:
        """What the drawn matrices were asked to have."""
        spec = self._options.drawn_spec()
        std, scale = spec.initializer_range, FAMILIES[spec.model_type].output_scale(spec.num_blocks)
        outputs = f', outputs of a branch {std * scale:.4g}' if scale != 1 else ''
        return f'drawn with standard deviation {std:.4g}{outputs}'


def _std(tensors: Mapping[str, Tensor]) -> str:
    """Standard deviation over all matrices, as they are; ``-`` where there are none."""
    matrices = [tensor.flatten().float() for tensor in tensors.values() if tensor.ndim > 1]
    return f'{torch.cat(matrices).std().item():.4g}' if matrices else '-'
