"""LanguageInit: copies language-model blocks into a vision model, strictly, and says what it did."""
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple, Union

from mmengine.logging import print_log
from mmengine.model.weight_init import update_init_info
from torch import Tensor, nn

from lbbt_mm.mmengine_internals import is_initialising
from lbbt_mm.registry import WEIGHT_INITIALIZERS
from .arm_tensors import read_arm_block
from .arms import ARMS, EXTRA_LAYERS_ARM
from .block_copy import copy_block, copy_part
from .checkpoint import LanguageCheckpoint
from .errors import CheckpointError
from .load_report import LoadReport
from .options import LanguageOptions, disagreements
from .overwrite_guard import OverwriteGuard
from .source import open_checkpoint
from .spec import LanguageModelSpec
from .weight_selection import WeightSelection

Part = Union[int, str]


@WEIGHT_INITIALIZERS.register_module()
class LanguageInit:
    """Fill transformer blocks from a language model's blocks.

    Place it in the ``init_cfg`` of the module that holds the blocks, or of a parent whose later steps leave them
    alone: the first training forward fails if something but a checkpoint overwrote what was copied.

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
        self.options = LanguageOptions.from_dict(language, tuple(dict.fromkeys(self.targets.values())), offers_fit=True)
        absent = [part for part in self.options.fresh if part not in ('blocks', *self.others.values())]
        if absent:
            raise ValueError(f'language.fresh: {absent[0]} does not come from the language model here; expected some of '
                             f'{", ".join(("blocks", *self.others.values()))}. Remove it, or take that part from there.')

    def __call__(self, module: nn.Module) -> None:
        """Initialise ``module``'s blocks in place.

        Raises:
            CheckpointError: If the checkpoint is unusable or disagrees with ``language.config``.
            ValueError: If a tensor does not fit the block it is meant for.
        """
        copied = self.fill(module)
        if copied:
            OverwriteGuard.attach(module, copied)

    def fill(self, module: nn.Module) -> Dict[str, Tensor]:
        """Initialise ``module``'s blocks in place, without watching what comes after.

        Returns:
            dict[str, Tensor]: What was filled, by name within ``module``.

        Raises:
            CheckpointError: See :meth:`__call__`.
            ValueError: See :meth:`__call__`.
        """
        options = self.options
        if not ARMS[options.arm].reads_weights and options.checkpoint and Path(options.checkpoint).expanduser().exists():
            self._open()  # these arms read no weights; where the checkpoint is at hand it still has to be the config's
        if ARMS[options.arm].leaves_host:
            print_log(f"LanguageInit: arm={options.arm!r}, the blocks keep the host model's own initialisation.",
                      logger='current')
            return {}
        plan = self._plan(module)
        spec = options.drawn_spec() if any(ARMS[arm].is_drawn for _, arm in plan) else options.spec
        checkpoint = self._open() if ARMS[options.arm].reads_weights else None
        report = LoadReport(options, checkpoint)
        copied: Dict[str, Tensor] = {}
        for (part, arm), paths in plan.items():
            # a part's source tensors are let go before the next one is read
            copied.update(self._fill(module, spec, checkpoint, report, part, arm, paths))
        print_log('\n' + report.render(), logger='current')
        if is_initialising(module):
            update_init_info(module, f'Initialized by LanguageInit, arm {options.arm} of {options.checkpoint}')
        return copied

    def _fill(self, module: nn.Module, spec: LanguageModelSpec, checkpoint: Optional[LanguageCheckpoint],
              report: LoadReport, part: Part, arm: str, paths: List[str]) -> Dict[str, Tensor]:
        is_block, own, selection = isinstance(part, int), spec, None
        if is_block and self.options.fit == 'select':  # the blocks were built as a part of the language model's
            own = replace(spec, block=module.get_submodule(paths[0]).spec)
            selection = WeightSelection(spec.block, own.block)
        tensors = read_arm_block(arm, spec, checkpoint, part, self.options.seed, selection)
        report.add(part, paths, arm, tensors, selection)
        filled = {}
        for path in paths:
            found = (copy_block(module.get_submodule(path), own, part, tensors) if is_block
                     else copy_part(module, path, tensors))
            filled.update({f'{path}.{name}' if name else path: parameter for name, parameter in found.items()})
        return filled

    def _open(self) -> LanguageCheckpoint:
        options = self.options
        checkpoint = open_checkpoint(options.checkpoint, options.revision)
        differences = disagreements(options.spec, checkpoint.spec)
        if differences:
            raise CheckpointError(f'{options.checkpoint}: language.config and the checkpoint disagree: '
                                  f'{"; ".join(differences)}. Correct one of them, or set language.config=None to read '
                                  'it from the checkpoint.')
        return checkpoint

    def _plan(self, module: nn.Module) -> Dict[Tuple[Part, str], List[str]]:
        """Which part, a block's index or a name, of which arm goes to which places; each is read once."""
        plan: Dict[Tuple[Part, str], List[str]] = defaultdict(list)
        for path, key in self.targets.items():
            indices = self.options.block_indices(key)
            for layer in range(self.options.num_layers(key, len(module.get_submodule(path)))):
                block = ((indices[layer], self.options.arm_of('blocks')) if layer < len(indices)
                         else (self.options.spec.num_blocks + layer, EXTRA_LAYERS_ARM))
                plan[block].append(f'{path}.{layer}')
        for path, part in self.others.items():
            plan[part, self.options.arm_of(part)].append(path)
        return plan
