"""Where in a vision transformer something is inserted: behind a block, or between the embedding and the first block."""
from typing import Callable, Union

from torch import Tensor, nn

Place = Union[int, str]

#: What mmpretrain's, mmaction's and our own backbones call the list of their blocks.
_LISTS = ('layers', 'blocks')


def find_blocks(backbone: nn.Module) -> nn.ModuleList:
    """The blocks of a backbone whose blocks map tokens ``(B, N, C)`` to tokens.

    Raises:
        ValueError: If it has none.
    """
    found = [getattr(backbone, name, None) for name in _LISTS]
    found = [blocks for blocks in found if isinstance(blocks, nn.ModuleList) and len(blocks)]
    if len(found) != 1 or not isinstance(getattr(backbone, 'embed_dims', None), int):
        raise ValueError(f'{type(backbone).__name__} is not a backbone of tokens with one width; expected one with '
                         f'embed_dims and a list of blocks called {" or ".join(_LISTS)}, such as VisionTransformer. Choose '
                         'another backbone.')
    return found[0]


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


def insert(blocks: nn.ModuleList, index: int, function: Callable[[Tensor], Tensor]) -> None:
    """Have a function change the tokens at a place, by a hook; the backbone's code and names stay.

    Args:
        blocks: The backbone's blocks.
        index: What :func:`block_index` gave.
        function: Called with tokens ``(B, N, C)``; a bound method, so that copies of the model call their own.
    """
    hooked = _Inserted(function)
    if index < 0:
        blocks[0].register_forward_pre_hook(hooked.before)
    else:
        blocks[index].register_forward_hook(hooked.behind)


class _Inserted:
    """A function as two kinds of hook."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        self.function = function

    def before(self, block: nn.Module, inputs: tuple) -> tuple:
        return (self.function(_tokens(block, inputs[0])), *inputs[1:])

    def behind(self, block: nn.Module, inputs: tuple, output: Tensor) -> Tensor:
        return self.function(_tokens(block, output))


def _tokens(block: nn.Module, x: object) -> Tensor:
    if not isinstance(x, Tensor) or x.ndim != 3:
        found = f'a tensor of shape {tuple(x.shape)}' if isinstance(x, Tensor) else f'a {type(x).__name__}'
        raise ValueError(f'{type(block).__name__} gives {found}; expected tokens (B, N, C). Choose a backbone of tokens, '
                         'such as VisionTransformer.')
    return x
