"""LanguageRectifier: a linear layer, frozen language-model blocks, a norm, and a linear layer back.

Sources: "Frozen Language Models are Gradient Coherence Rectifiers in Vision Transformers", Eq. 6, and its forerunner,
arXiv 2310.12973.
"""
import re
from contextlib import nullcontext
from typing import Any, Dict, Mapping, Optional

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from lbbt_mm.argument_checks import check_choice
from lbbt_mm.language.arms import ARMS
from lbbt_mm.language.errors import CheckpointError
from lbbt_mm.language.initializer import LanguageInit
from lbbt_mm.language.options import LanguageOptions
from lbbt_mm.language.spec import BlockSpec
from lbbt_mm.models.freezing import freeze
from lbbt_mm.models.initializers.init_steps import steps_of, trunc_normal_parts, with_language_init
from lbbt_mm.models.layers import RotaryEmbedding, block_stack, build_norm
from lbbt_mm.registry import MODELS
from .held_weights import checksum, hold
from .low_rank import LowRankUpdates

#: Where a state dict that leaves the blocks out says what they were.
BLOCKS_KEY = 'lbbt_mm_blocks'
_DTYPES = {None: None, 'float32': torch.float32, 'bfloat16': torch.bfloat16, 'float16': torch.float16}


@MODELS.register_module()
class LanguageRectifier(BaseModule):
    """Maps tokens to the language model's width, runs frozen blocks of it over them, and maps them back.

    What the paper's text leaves open is as in its forerunner's public code: mappers are linear layers without bias, there
    are no positions and no mask, a norm of unit weight stands behind the blocks, and no residual branch leads around them.
    The class token is a token like any other.

    Frozen blocks are buffers, not parameters: no optimizer has them, and gradients flow through them.

    Args:
        language: ``checkpoint, revision, config, blocks, arm, seed, fresh, init_std``; see
            :class:`lbbt_mm.language.options.LanguageOptions`. ``blocks`` is usually one, such as ``-1``. The arm ``mappers``
            leaves the blocks out, and keeps the layers around them.
        in_channels: Width of the tokens. Defaults to None, which :class:`lbbt_mm.RectifiedClassifier` fills in.
        attention: ``bidirectional`` or ``causal``. Defaults to ``bidirectional``.
        position: ``none``, or ``rotary``: the language model's own, over the tokens in their order. Defaults to ``none``.
        final_norm: ``unit`` (of the language model's kind, with unit weights and eps 1e-6), ``language`` (its own final
            norm, frozen) or None. Defaults to ``unit``.
        mapper: ``linear``, or ``mlp``: two linear layers with a GELU between them, on each side. Defaults to ``linear``.
        mapper_bias: Whether mappers have biases. Defaults to False.
        residual: Whether the input is added to the output. Defaults to False.
        trains: What of the blocks trains: ``none``, ``low_rank:R`` (an update of rank R beside each of their linear layers)
            or ``all``. Defaults to ``none``.
        dtype: Type of number that frozen blocks are held and run in, whatever autocast says: ``bfloat16``, ``float16`` or
            ``float32``. Defaults to None, held in the model's and run in autocast's.
        saves_blocks: Whether checkpoints hold the frozen blocks. Without them they are read from the language model when a
            checkpoint is loaded, and have to be the same to the bit. Defaults to True.
        attention_kernel: See :func:`lbbt_mm.models.layers.attention.attend`. Defaults to ``auto``.
        with_cp: Whether to recompute the blocks' activations in the backward pass. Defaults to False.
        init_cfg: Initialisation. With a ``Pretrained`` step no language weights are read.

    Raises:
        ValueError: If an option has a value that it cannot have.
    """

    def __init__(self,
                 language: Mapping[str, Any],
                 in_channels: Optional[int] = None,
                 attention: str = 'bidirectional',
                 position: str = 'none',
                 final_norm: Optional[str] = 'unit',
                 mapper: str = 'linear',
                 mapper_bias: bool = False,
                 residual: bool = False,
                 trains: str = 'none',
                 dtype: Optional[str] = None,
                 saves_blocks: bool = True,
                 attention_kernel: str = 'auto',
                 with_cp: bool = False,
                 init_cfg: Any = None) -> None:
        options = LanguageOptions.from_dict(language, offers_no_blocks=True)
        _check(options, in_channels, position, final_norm, mapper, trains, dtype, saves_blocks)
        has_blocks = ARMS[options.arm].has_blocks
        places = dict(targets=dict(blocks='blocks'), others=dict(norm='final_norm') if final_norm == 'language' else {})
        steps = [trunc_normal_parts('input', 'output'), *steps_of(init_cfg)]
        super().__init__(init_cfg=with_language_init(steps, language, **places) if has_blocks else steps)
        spec = options.block('blocks')
        self.language, self.position, self.attention, self.residual = options, position, attention, residual
        self.in_channels, self.embed_dims, self.saves_blocks = in_channels, spec.embed_dims, saves_blocks
        with torch.random.fork_rng(devices=[]):  # what is built here draws nothing from the run's numbers, whatever the arm
            self.input = _mapper(mapper, in_channels, spec.embed_dims, mapper_bias)
            self.blocks = block_stack(spec, options.num_layers('blocks') if has_blocks else 0, attention=attention,
                                      attention_kernel=attention_kernel, with_cp=with_cp)
            self.norm = _norm(spec, final_norm if has_blocks or final_norm is None else 'unit')
            self.output = _mapper(mapper, spec.embed_dims, in_channels, mapper_bias)
            self.low_rank = LowRankUpdates(self.blocks, int(trains.split(':')[1])) if ':' in trains else None
        self.rotary = RotaryEmbedding(spec) if position == 'rotary' and has_blocks else None
        self._dtype = _DTYPES[dtype]
        self._hold(self.norm, *(() if trains == 'all' else (self.blocks, )))
        self._language_init = LanguageInit(language, **places) if has_blocks else None
        self._register_state_dict_hook(_leave_out_blocks)
        self._register_load_state_dict_pre_hook(self._restore_blocks)

    def _hold(self, *parts: nn.Module) -> None:
        if self._dtype is not None:
            self.blocks.to(self._dtype)
        for part in parts:
            hold(part)
            freeze(part, lambda name: False)

    def forward(self, x: Tensor) -> Tensor:
        """Rectify.

        Args:
            x: Tokens ``(B, N, C)``.

        Returns:
            Tensor: Tokens ``(B, N, C)``.
        """
        hidden = self.input(x)
        given = hidden.dtype
        if self._dtype is not None and len(self.blocks):
            hidden = hidden.to(self._dtype)
        rotary = None if self.rotary is None else self.rotary(torch.arange(x.shape[1], device=x.device))
        # a type that is given is the one that it runs in, whatever autocast says
        with nullcontext() if self._dtype is None else torch.autocast(x.device.type, enabled=False):
            for block in self.blocks:
                hidden = block(hidden, rotary=rotary)
        out = self.output(self.norm(hidden.to(given)))
        return x + out if self.residual else out

    def _restore_blocks(self, state_dict: Dict[str, Tensor], prefix: str, local_metadata: Mapping, *args) -> None:
        """Fill in the blocks that a state dict says it has left out."""
        found = local_metadata.get(BLOCKS_KEY)
        if not found or not len(self.blocks) or any(name.startswith(f'{prefix}blocks.') for name in state_dict):
            return
        if checksum(self.blocks) != found:
            self._language_init.fill(self)
        here = checksum(self.blocks)
        if here != found:
            raise CheckpointError(
                f'The checkpoint leaves its frozen blocks out; expected blocks of checksum {found}, found {here} for arm '
                f'{self.language.arm} of {self.language.checkpoint}. Give the language model, blocks, arm, seed and dtype '
                'that it was trained with.')
        state_dict.update((f'{prefix}blocks.{name}', tensor) for name, tensor in self.blocks.named_buffers())


def _leave_out_blocks(module: LanguageRectifier, state_dict: Any, prefix: str, local_metadata: Dict[str, Any]) -> None:
    """A state-dict hook: without its frozen blocks, a state dict says what they were."""
    if not module.saves_blocks and len(module.blocks):
        local_metadata[BLOCKS_KEY] = checksum(module.blocks)
        for name in [name for name in state_dict if name.startswith(f'{prefix}blocks.')]:
            del state_dict[name]


def _check(options: LanguageOptions, in_channels: Any, position: str, final_norm: Optional[str], mapper: str, trains: str,
           dtype: Optional[str], saves_blocks: bool) -> None:
    arm = ARMS[options.arm]
    if arm.leaves_host or not (arm.has_blocks or arm.has_mappers):
        raise ValueError(f'LanguageRectifier: language.arm={options.arm!r}: expected an arm with blocks from a language '
                         'model or with mappers alone. Choose another; RectifiedClassifier knows arms without a rectifier.')
    if in_channels is None:
        raise ValueError('LanguageRectifier: in_channels=None; expected the width of the tokens. Write it, or place the '
                         'rectifier in lbbt_mm.RectifiedClassifier, which knows it.')
    check_choice('LanguageRectifier: position', position, ('none', 'rotary'))
    check_choice('LanguageRectifier: final_norm', final_norm, ('unit', 'language', None))
    check_choice('LanguageRectifier: mapper', mapper, ('linear', 'mlp'))
    check_choice('LanguageRectifier: dtype', dtype, _DTYPES)
    if not isinstance(trains, str) or not re.fullmatch(r'none|all|low_rank:0*[1-9]\d*', trains):
        raise ValueError(f"LanguageRectifier: trains={trains!r}: expected 'none', 'all' or 'low_rank:R', R of at least 1.")
    if trains == 'all' and (dtype is not None or not saves_blocks):
        raise ValueError("LanguageRectifier: trains='all' beside dtype or saves_blocks=False: expected blocks that are "
                         "frozen. Remove one of the two, or set trains='low_rank:R'.")
    if final_norm == 'language':
        options.check_final_norm('LanguageRectifier')
    if position == 'rotary' and options.block('blocks').rotary is None:
        raise ValueError(f"LanguageRectifier: position='rotary', but {options.checkpoint or 'the language model'} has no "
                         "rotary positions. Set position='none'.")


def _mapper(kind: str, in_channels: int, out_channels: int, bias: bool) -> nn.Module:
    linear = nn.Linear(in_channels, out_channels, bias=bias)
    if kind == 'linear':
        return linear
    return nn.Sequential(linear, nn.GELU(), nn.Linear(out_channels, out_channels, bias=bias))


def _norm(spec: BlockSpec, kind: Optional[str]) -> nn.Module:
    if kind == 'unit':
        return type(build_norm(spec))(spec.embed_dims, eps=1e-6, elementwise_affine=False)
    return build_norm(spec) if kind else nn.Identity()
