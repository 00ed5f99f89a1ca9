"""Where in a vision transformer something is inserted: behind a block, or between the embedding and the first block."""
import copy
from itertools import chain
from typing import Callable, Tuple, Union

import torch
from torch import Tensor, nn

from lbbt_mm.models.blocks import UnfitBackbone, token_blocks

Place = Union[int, str]

def block_index(place: Place, depth: int) -> int:
    """The block that a place is behind.

    Args:
        place: ``embedding`` (in front of all blocks), ``first``, ``middle``, ``last``, or the index of a block; a negative
            one counts from the end.
        depth: Number of blocks.

    Returns:
        int: Its index; -1 in front of all.

    Raises:
        ValueError: If there is no such block.
    """
    named = dict(embedding=-1, first=0, middle=(depth - 1) // 2, last=depth - 1)
    if isinstance(place, str) and place in named:
        return named[place]
    if type(place) is not int or not -depth <= place < depth:
        raise ValueError(f'insert_after={place!r}: expected {", ".join(map(repr, named))}, or the index of one of {depth} '
                         f'blocks, {-depth} to {depth - 1}.')
    return place % depth


def check_place(backbone: nn.Module, index: int) -> None:
    """Refuse a backbone of images that has no tokens of its one width at a place, before any work is done.

    A pass of shapes alone tells: of a copy without numbers, so that weights, statistics and random state stay as they are.
    Where that cannot be run, nothing is said here; the first pass says it.

    Args:
        backbone: The backbone, with nothing inserted yet.
        index: What :func:`block_index` gave.

    Raises:
        UnfitBackbone: If it has none.
    """
    try:
        copied = _without_numbers(backbone)
        copied.eval()  # mmpretrain's returns nothing
        insert(token_blocks(copied), index, _stop, backbone.embed_dims)
        with torch.no_grad():
            copied(torch.empty(2, 3, *_image_size(backbone), device='meta'))
    except UnfitBackbone:
        raise
    except Exception:  # the place was reached, or the copy does not run
        pass


def insert(blocks: nn.ModuleList, index: int, function: Callable[[Tensor], Tensor], width: int) -> None:
    """Have a function change the tokens at a place, by a hook; the backbone's code and names stay.

    Args:
        blocks: The backbone's blocks.
        index: What :func:`block_index` gave.
        function: Called with tokens ``(B, N, C)``; a bound method, so that copies of the model call their own.
        width: C.
    """
    hooked = _Inserted(function, width)
    if index < 0:
        blocks[0].register_forward_pre_hook(hooked.before)
    else:
        blocks[index].register_forward_hook(hooked.behind)


class _Inserted:
    """A function as two kinds of hook."""

    def __init__(self, function: Callable[[Tensor], Tensor], width: int) -> None:
        self.function, self.width = function, width

    def before(self, block: nn.Module, inputs: tuple) -> tuple:
        return (self.function(_tokens(block, inputs[0], 'takes', self.width)), *inputs[1:])

    def behind(self, block: nn.Module, inputs: tuple, output: Tensor) -> Tensor:
        return self.function(_tokens(block, output, 'gives', self.width))


def _tokens(block: nn.Module, x: object, does: str, width: int) -> Tensor:
    # a trace would take the width for a number of the batch, and warn
    if not isinstance(x, Tensor) or x.ndim != 3 or not torch.jit.is_tracing() and x.shape[-1] != width:
        found = f'a tensor of shape {tuple(x.shape)}' if isinstance(x, Tensor) else f'a {type(x).__name__}'
        raise UnfitBackbone(f'{type(block).__name__} {does} {found}; expected tokens (B, N, {width}). Choose a backbone of '
                            'tokens, such as VisionTransformer.')
    return x


def _stop(tokens: Tensor) -> Tensor:
    raise StopIteration


def _image_size(backbone: nn.Module) -> Tuple[int, int]:
    """Height and width of images as the backbone, or its embedding of patches, says; else 224."""
    said = (getattr(part, name, None) for part in backbone.modules() for name in ('img_size', 'init_input_size'))
    size = next(filter(None, said), 224)
    return (size, size) if isinstance(size, int) else size


def _without_numbers(backbone: nn.Module) -> nn.Module:
    """A copy whose parameters and buffers are on the meta device."""
    memo = {}
    for tensor in chain(backbone.parameters(), backbone.buffers()):
        empty = torch.empty_like(tensor, device='meta')
        memo[id(tensor)] = nn.Parameter(empty, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else empty
    return copy.deepcopy(backbone, memo)
