"""Looks into transformer blocks from outside while they run; a block that nobody looks into is as it was."""
import inspect
from typing import Any, Callable, List, Mapping, Optional, Set, Tuple

import torch
import torch.nn.functional as F
from mmcv.cnn.bricks.transformer import FFN
from torch import Tensor, nn

from lbbt_mm.argument_checks import check_choice
from .language_block import LanguageBlock

#: What can be looked at: of the feed-forward network the activated gate or what its down projection gets, and the output of
#: self-attention
UNITS = ('gate', 'product', 'attention')


class BlockWatch:
    """Shows hidden units or attention outputs of blocks, as they run, to a function.

    Hidden units are what comes out of the activation, before dropout. Of a plain network ``'gate'`` and ``'product'`` are
    the same, ``act(fc1(x))``; of a gated one ``'gate'`` is ``act(gate(x))``, and ``'product'`` is ``act(gate(x)) * up(x)``.

    Args:
        blocks: Name -> block: LanguageBlocks, and blocks of other vision transformers, see :func:`can_be_watched`.
        look: Called with a block's name, what it has, ``(B, N, F)`` without gradients, and which tokens are none of padding,
            ``(B, N)`` or None for all.
        units: One of :data:`UNITS`. Defaults to ``'gate'``.
        once: Whether a block is shown the first time it runs and not again, as where its activations are recomputed in the
            backward pass. Defaults to False.

    Example:
        >>> with BlockWatch(measured_blocks(model), lambda name, units, tokens: print(name, units.shape)):
        >>>     model(images)
    """

    def __init__(self, blocks: Mapping[str, nn.Module], look: Callable[[str, Tensor, Optional[Tensor]], None],
                 units: str = 'gate', once: bool = False) -> None:
        check_choice('BlockWatch: units', units, UNITS)
        self._look, self._units, self._once = look, units, once
        self._seen: Set[str] = set()
        self._handles: List[Any] = []
        for name, block in blocks.items():
            self._watch(name, block)

    def __enter__(self) -> 'BlockWatch':
        return self

    def __exit__(self, *error: Any) -> None:
        self.remove()

    def remove(self) -> None:
        """Look no more."""
        while self._handles:
            self._handles.pop().remove()

    def _watch(self, name: str, block: nn.Module) -> None:
        arguments, signature = {}, inspect.signature(block.forward)
        watched, units_of = _place(block, self._units)

        def remember(module: nn.Module, args: tuple, kwargs: dict) -> None:
            arguments.update(mask=signature.bind(*args, **kwargs).arguments.get('mask'))

        @torch.no_grad()
        def show(module: nn.Module, inputs: tuple, output: Tensor) -> None:
            if not (self._once and name in self._seen):
                self._seen.add(name)
                self._look(name, units_of(output.detach()), _are_real(arguments['mask'], len(output)))

        self._handles += [block.register_forward_pre_hook(remember, with_kwargs=True), watched.register_forward_hook(show)]


def can_be_watched(block: nn.Module) -> bool:
    """Whether :class:`BlockWatch` knows where a block has its hidden units and its attention.

    It does of LanguageBlocks, and of blocks with a module ``attn`` and a feed-forward network ``ffn`` or ``mlp`` of mmcv
    (FFN of two layers) or mmpretrain (SwiGLUFFN), as mmpretrain's and mmaction's vision transformers have.
    """
    return isinstance(block, LanguageBlock) or isinstance(getattr(block, 'attn', None), nn.Module) and (
        _feed_forward(block) is not None)


def _feed_forward(block: nn.Module) -> Optional[nn.Module]:
    """The feed-forward network of a block that is no LanguageBlock, if its units are known."""
    found = getattr(block, 'ffn', getattr(block, 'mlp', None))
    plain = isinstance(found, FFN) and found.num_fcs == 2 and not _is_gated(found)
    return found if plain or _is_gated(found) else None


def _is_gated(network: Any) -> bool:
    """Whether it is mmpretrain's: ``w3(norm(silu(gate) * up))``, gate and up being the two halves of ``w12(x)``."""
    return any(kind.__name__ == 'SwiGLUFFN' for kind in type(network).__mro__) and hasattr(network, 'w12')


def _place(block: nn.Module, units: str) -> Tuple[nn.Module, Callable[[Tensor], Tensor]]:
    """The module of a block whose output tells its units, and how."""
    if units == 'attention':
        return block.attn, lambda output: output
    if isinstance(block, LanguageBlock):
        return block.mlp.fc1, lambda output: _hidden(output, block.mlp.act, block.mlp.gated, units)
    network = _feed_forward(block)
    if _is_gated(network):
        return network.w12, lambda output: _hidden(output, F.silu, True, units)
    return network.layers[0][1], lambda output: output  # the activation itself


def _hidden(output: Tensor, act: Callable[[Tensor], Tensor], gated: bool, units: str) -> Tensor:
    """Hidden units, of the output of the first linear layer."""
    if not gated:
        return act(output)
    gate, up = output.chunk(2, dim=-1)
    return act(gate) * up if units == 'product' else act(gate)


def _are_real(mask: Optional[Tensor], size: int) -> Optional[Tensor]:
    """The tokens ``(B, N)`` that any token may look at, of a mask ``(B or 1, 1, 1 or N, N)``: the others are padding."""
    return None if mask is None else mask.any(dim=2)[:, 0].expand(size, -1)
