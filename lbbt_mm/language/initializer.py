"""LanguageInit: copies language-model blocks into a vision model, strictly, and says what it did."""
import io
import zlib
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple

import torch
from mmengine.logging import print_log
from mmengine.model.weight_init import update_init_info
from rich import box
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from lbbt_mm.registry import WEIGHT_INITIALIZERS
from .arm_tensors import read_arm_block, read_arm_part
from .arms import ARMS, EXTRA_LAYERS_ARM
from .errors import CheckpointError
from .families import FAMILIES, residual_scale
from .options import LanguageOptions, disagreements
from .overwrite_guard import OverwriteGuard
from .source import LanguageCheckpoint, open_checkpoint
from .spec import LanguageModelSpec
from .weight_selection import WeightSelection


@WEIGHT_INITIALIZERS.register_module()
class LanguageInit:
    """Fill transformer blocks from a language model's blocks.

    Place it in the ``init_cfg`` of the module that holds the blocks, or of a parent whose later steps leave them
    alone: the first training forward fails if something overwrote what was copied.

    Args:
        language: The ``language`` dict; see :class:`lbbt_mm.language.options.LanguageOptions`.
        targets: Dotted path of a ModuleList of LanguageBlocks -> the key of ``language`` that selects its source
            blocks. Defaults to ``{'blocks': 'blocks'}``.
        others: Dotted path of a norm or of a position table ``(1, N, C)`` -> the language model's part that fills it,
            ``final_norm`` or ``position_table`` (its first N positions). Defaults to None.

    Example:
        >>> init_cfg = dict(type='lbbt_mm.LanguageInit', language=dict(checkpoint='openai-community/gpt2'),
        ...                 targets={'encoder.layers': 'encoder_blocks'})
    """

    def __init__(self,
                 language: Mapping[str, Any],
                 targets: Optional[Mapping[str, str]] = None,
                 others: Optional[Mapping[str, str]] = None) -> None:
        self.targets = dict(targets or {'blocks': 'blocks'})
        self.others = dict(others or {})
        self.options = LanguageOptions.from_dict(language, tuple(dict.fromkeys(self.targets.values())))

    def __call__(self, module: nn.Module) -> None:
        """Initialise ``module``'s blocks in place.

        Raises:
            CheckpointError: If the checkpoint is unusable or disagrees with ``language.config``.
            ValueError: If a tensor does not fit the block it is meant for.
        """
        options = self.options
        if not ARMS[options.arm].reads_weights and options.checkpoint and Path(options.checkpoint).expanduser().exists():
            self._open()  # these arms read no weights; where the checkpoint is at hand it still has to be the config's
        if ARMS[options.arm].leaves_host:
            print_log(f"LanguageInit: arm={options.arm!r}, the blocks keep the host model's own initialisation.",
                      logger='current')
            return
        spec = options.drawn_spec() if self._draws(module) else options.spec
        checkpoint = self._open() if ARMS[options.arm].reads_weights else None
        report = _Report(options, checkpoint)
        copied: Dict[str, Tensor] = {}
        for index, layers, arm in self._plan(module):
            # a block's source tensors are let go before the next block is read
            copied.update(self._fill_layers(module, spec, checkpoint, report, index, layers, arm))
        for path, part in self.others.items():
            tensors = read_arm_part(options.arm, spec, checkpoint, part, options.seed)
            report.add_part(part, path, tensors)
            copied.update(copy_part(module, path, tensors))
        print_log('\n' + report.render(), logger='current')
        if hasattr(module, '_params_init_info'):
            update_init_info(module, f'Initialized by LanguageInit, arm {options.arm} of {options.checkpoint}')
        OverwriteGuard.attach(module, copied)

    def _draws(self, module: nn.Module) -> bool:
        """Whether a block or part is drawn from the language model's own kind of initialisation."""
        return ARMS[self.options.arm].is_drawn or any(ARMS[arm].is_drawn for _, _, arm in self._plan(module))

    def _fill_layers(self, module: nn.Module, spec: LanguageModelSpec, checkpoint: Optional[LanguageCheckpoint],
                     report: '_Report', index: int, layers: List[str], arm: str) -> Dict[str, Tensor]:
        options, whole, selection = self.options, spec, None
        if options.fit == 'select':  # the blocks were built as a part of the language model's
            spec = replace(spec, block=module.get_submodule(layers[0]).spec)
            selection = WeightSelection(options.spec.block, spec.block)
        checkpoint = checkpoint if ARMS[arm].reads_weights else None
        tensors = read_arm_block(arm, whole, checkpoint, index, options.seed, selection)
        report.add(index, layers, arm, tensors, selection)
        return {
            f'{path}.{name}': parameter
            for path in layers
            for name, parameter in copy_block(module.get_submodule(path), spec, index, tensors).items()
        }

    def _open(self) -> LanguageCheckpoint:
        options = self.options
        checkpoint = open_checkpoint(options.checkpoint, options.revision)
        differences = disagreements(options.spec, checkpoint.spec)
        if differences:
            raise CheckpointError(f'{options.checkpoint}: language.config and the checkpoint disagree: '
                                  f'{"; ".join(differences)}. Correct one of them, or set language.config=None to read '
                                  'it from the checkpoint.')
        return checkpoint

    def _plan(self, module: nn.Module) -> List[Tuple[int, List[str], str]]:
        """Which source block goes to which layers: (block index, layer paths, arm), each block read once."""
        layers_of_block: Dict[Tuple[int, str], List[str]] = defaultdict(list)
        for path, key in self.targets.items():
            indices = self.options.block_indices(key)
            num_layers = self.options.num_layers(key, len(module.get_submodule(path)))
            for layer in range(num_layers):
                if layer < len(indices):
                    block = (indices[layer], self.options.arm)
                else:
                    block = (self.options.spec.num_blocks + layer, EXTRA_LAYERS_ARM)
                layers_of_block[block].append(f'{path}.{layer}')
        return [(index, layers, arm) for (index, arm), layers in layers_of_block.items()]


@torch.no_grad()
def copy_block(block: nn.Module, spec, index: int, tensors: Mapping[str, Tensor]) -> Dict[str, nn.Parameter]:
    """Copy one source block into one LanguageBlock, in place.

    A block with cross-attention takes the self-attention's tensors for it too (LBBT, "Extend to Vision Dense
    Prediction Tasks"), and ``ln_1`` for the norm before it.

    Args:
        block: The LanguageBlock.
        spec: The :class:`LanguageModelSpec` of the source.
        index: Index of the source block.
        tensors: Its tensors by canonical checkpoint name.

    Returns:
        dict[str, Parameter]: The parameters that were filled, by name within the block.

    Raises:
        ValueError: If a parameter is missing, left over, or of another shape than its source.
    """
    family = FAMILIES[spec.model_type]
    prefix = family.block_prefix.format(i=index)
    parameters = dict(block.named_parameters())
    with_cross = any(name.startswith('cross_attn.') for name in parameters)
    filled = {}
    for rule in family.rules(spec.block):
        stacked = [tensors[prefix + source.name] for source in rule.sources]
        stacked = [tensor.T if rule.transpose else tensor for tensor in stacked]
        for target in [rule.target] + ([_cross_name(rule.target)] if with_cross else []):
            if target is not None:
                _fill(parameters, target, stacked, prefix + rule.sources[0].name)
                filled[target] = parameters[target]
    left_over = sorted(set(parameters) - set(filled))
    if left_over:
        raise ValueError(f'block parameter {left_over[0]!r} has no tensor in a {spec.model_type} block; expected every '
                         'parameter to be filled. The block was built from another spec than the weights have.')
    return filled


@torch.no_grad()
def copy_part(module: nn.Module, path: str, tensors: Mapping[str, Tensor]) -> Dict[str, nn.Parameter]:
    """Copy a part outside the blocks, in place: a norm, or the first rows of a position table.

    Args:
        module: The module that is initialised.
        path: Dotted path of the norm or of the table.
        tensors: The part's tensors by canonical checkpoint name.

    Returns:
        dict[str, Parameter]: The parameters that were filled, by name within the module.

    Raises:
        ValueError: If a parameter is missing, left over, or does not fit its source.
    """
    parameters = {name: parameter for name, parameter in module.named_parameters()
                  if name == path or name.startswith(path + '.')}
    sources = {path if name.startswith('wpe') else f'{path}.{name.rsplit(".", 1)[-1]}': (name, tensor)
               for name, tensor in tensors.items()}
    if sources.keys() != parameters.keys():
        raise ValueError(f'{path!r} has the parameters {sorted(parameters)}, its source gives {sorted(sources)}. The module '
                         'was built from another spec than the weights have.')
    for target, (name, tensor) in sources.items():
        parameter = parameters[target]
        rows = parameter.shape[1] if parameter.ndim == 3 else len(parameter)
        if tensor.shape[1:] != parameter.shape[2:] or len(tensor) < rows or parameter.ndim == 1 and len(tensor) != rows:
            raise ValueError(f'tensor {name!r} of shape {tuple(tensor.shape)} cannot fill {target!r} of shape '
                             f'{tuple(parameter.shape)}. Choose a language model with as many positions, or larger patches.')
        parameter.copy_(tensor[:rows].view_as(parameter))
    return parameters


def _cross_name(target: str) -> Optional[str]:
    if target.startswith('attn.'):
        return 'cross_' + target
    return target.replace('norm1', 'cross_norm') if target.startswith('norm1.') else None


def _fill(parameters: Mapping[str, nn.Parameter], target: str, stacked: List[Tensor], source: str) -> None:
    if target not in parameters:
        raise ValueError(f'tensor {source!r} is left over: the block has no parameter {target!r}. The block was built '
                         'from another spec than the weights have.')
    parameter = parameters[target]
    rows = sum(len(tensor) for tensor in stacked)
    if parameter.shape != (rows, *stacked[0].shape[1:]):
        raise ValueError(f'tensor {source!r} gives {target!r} the shape {(rows, *stacked[0].shape[1:])}; the block '
                         f'expects {tuple(parameter.shape)}. The block was built from another spec than the weights have.')
    start = 0
    for tensor in stacked:
        parameter[start:start + len(tensor)].copy_(tensor)
        start += len(tensor)


class _Report:
    """The load report: one row a source block."""

    def __init__(self, options: LanguageOptions, checkpoint: Optional[LanguageCheckpoint]) -> None:
        self._options = options
        self._checkpoint = checkpoint
        self._rows: List[Tuple[str, ...]] = []
        self._parameters = 0
        self._selection = ''
        self._draws = False

    def add(self, index: int, layers: List[str], arm: str, tensors: Mapping[str, Tensor],
            selection: Optional[WeightSelection] = None) -> None:
        """Note one block: where it went, where it came from, and the CRC-32 of its source tensors."""
        if selection:
            self._selection = str(selection)
        files = 'drawn' if ARMS[arm].is_drawn else ', '.join(self._checkpoint.files_of_block(index))
        name = f'{index}' if index < self._options.spec.num_blocks else 'none (extra layer)'
        self._add_row(name, ', '.join(layers), arm, files, tensors)

    def add_part(self, part: str, path: str, tensors: Mapping[str, Tensor]) -> None:
        """Note a part outside the blocks."""
        arm = self._options.arm
        files = 'drawn' if ARMS[arm].is_drawn else ', '.join(self._checkpoint.files_of_part(part))
        self._add_row(part.replace('_', ' '), path, arm, files, tensors)

    def _add_row(self, name: str, went_to: str, arm: str, files: str, tensors: Mapping[str, Tensor]) -> None:
        checksum = 0
        for key in sorted(tensors):
            checksum = zlib.crc32(tensors[key].contiguous().view(torch.uint8).numpy(), checksum)
        count = sum(tensor.numel() for tensor in tensors.values())
        self._parameters += count
        self._draws = self._draws or ARMS[arm].is_drawn
        dtypes = ', '.join(sorted({str(tensor.dtype).replace('torch.', '') for tensor in tensors.values()}))
        self._rows.append((name, went_to, arm, files, f'{count:,}', dtypes, _std(tensors), f'{checksum:08x}'))

    def render(self) -> str:
        """The table as text."""
        options, spec = self._options, self._options.spec
        source = f'{options.checkpoint}' + (f' at {options.revision}' if options.revision else '')
        read = f'{self._checkpoint.bytes_read:,} bytes read' if self._checkpoint else 'no weights read'
        drawn = f'; {self._drawn()}' if self._draws else ''
        table = Table(
            title=f'LanguageInit: arm {options.arm}, seed {options.seed}{drawn}, {source} ({spec.model_type}, '
            f'{spec.num_blocks} blocks, width {spec.block.embed_dims}{self._selection}); {self._parameters:,} parameters, '
            f'{read}',
            box=box.ASCII, title_justify='left')
        for column in ('block', 'went to', 'arm', 'file', 'parameters', 'dtype', 'std', 'crc32'):
            table.add_column(column, justify='right' if column in ('parameters', 'std') else 'left', overflow='fold')
        for row in self._rows:
            table.add_row(*row)
        text = io.StringIO()
        Console(file=text, width=140).print(table)
        return text.getvalue()

    def _drawn(self) -> str:
        """What the drawn matrices were asked to have."""
        spec = self._options.drawn_spec()
        std, scale = spec.initializer_range, residual_scale(spec)
        outputs = f', outputs of a branch {std * scale:.4g}' if scale != 1 else ''
        return f'drawn with standard deviation {std:.4g}{outputs}'


def _std(tensors: Mapping[str, Tensor]) -> str:
    """Standard deviation over all matrices, as they are; ``-`` where there are none."""
    matrices = [tensor.flatten().float() for tensor in tensors.values() if tensor.ndim > 1]
    return f'{torch.cat(matrices).std().item():.4g}' if matrices else '-'
