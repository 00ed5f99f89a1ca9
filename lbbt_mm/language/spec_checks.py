"""Sizes, numbers and names of a language model, checked before anything is allocated or built by them."""
from typing import TYPE_CHECKING, Any, Mapping

from lbbt_mm.argument_checks import is_number, is_whole, number, whole_number
from .activations import ACTIVATIONS
from .errors import CheckpointError
from .rotary import inverse_frequencies
from .spec import LanguageModelSpec

if TYPE_CHECKING:
    from .families import Family

#: Beyond these no language model is; the largest one published has 96 blocks, width 12,288 and matrices of 6e8 numbers.
_MOST_BLOCKS, _WIDEST, _MOST_POSITIONS, _LARGEST_MATRIX = 10_000, 2**20, 2**30, 2**32
#: No model is drawn with more, and much more is infinite in half precision.
_LARGEST_STD = 10


def check_block_count(fields: Mapping[str, Any], where: str) -> None:
    """Check the number of blocks before transformers makes lists as long as that.

    Raises:
        CheckpointError: If it is no such number.
    """
    for key in ('num_hidden_layers', 'n_layer'):
        if fields.get(key) is not None:
            _check_size(where, key, fields[key], _MOST_BLOCKS)


def check_spec(spec: LanguageModelSpec, family: 'Family', where: str) -> None:
    """Check what was read from a config of others.

    Args:
        spec: The language model.
        family: Its family.
        where: Where it was read, for the message.

    Raises:
        CheckpointError: Names the first field that cannot be.
    """
    block = spec.block
    _check_sizes(spec, where)
    for name in ('qkv_bias', 'proj_bias', 'ffn_bias', 'gated', 'qk_norm'):
        if not isinstance(getattr(block, name), bool):
            _refuse(where, name, getattr(block, name), 'True or False')
    if not isinstance(block.activation, str) or block.activation not in ACTIVATIONS:
        raise CheckpointError(f'{where}: {family.activation}={block.activation!r:.60} is not supported; expected one of '
                              f'{", ".join(ACTIVATIONS)}. Choose a language model that uses one of those.')
    if spec.initializer_range is not None:
        check_std(f'{where}: {family.std}', spec.initializer_range)
    _check_number(where, 'norm_eps', block.norm_eps)
    if block.norm_eps > 1:
        _refuse(where, 'norm_eps', block.norm_eps, 'a small number, 1 at most')
    if block.num_heads % block.num_kv_heads:
        raise CheckpointError(f'{where}: {block.num_heads} query heads cannot share {block.num_kv_heads} key/value heads; '
                              'expected a divisor. Correct num_key_value_heads.')
    try:
        family.check(block)
        if block.rotary is not None:
            _check_number(where, 'rope_theta', block.rotary.theta)
            inverse_frequencies(block.rotary, block.head_dims, block.num_heads)
    except CheckpointError:
        raise
    except ValueError as error:
        raise CheckpointError(f'{where}: {error}. Correct it in the config, or take another checkpoint.') from None


def check_std(name: str, value: Any) -> None:
    """Refuse what is no standard deviation to draw weights with.

    Raises:
        CheckpointError: Names it.
    """
    if not is_number(value, above=0, most=_LARGEST_STD):
        raise CheckpointError(f'{name}={value!r:.60}; expected a standard deviation, '
                              f'{number(above=0, most=_LARGEST_STD)}. Correct it.')


def _check_sizes(spec: LanguageModelSpec, where: str) -> None:
    block = spec.block
    _check_size(where, 'num_blocks', spec.num_blocks, _MOST_BLOCKS)
    _check_size(where, 'the longest context', spec.num_positions, _MOST_POSITIONS)
    for name in ('embed_dims', 'num_heads', 'num_kv_heads', 'head_dims', 'ffn_dims'):
        _check_size(where, name, getattr(block, name), _WIDEST)
    for window in spec.windows.values():
        _check_size(where, 'sliding_window', window, _MOST_POSITIONS)
    if block.rotary is not None and block.head_dims % 2:
        _refuse(where, 'head_dims', block.head_dims, 'an even number, which rotary positions take')
    for name, rows in (('query, key and value', sum(block.qkv_dims)), ('feed-forward', block.ffn_dims)):
        if rows * block.embed_dims > _LARGEST_MATRIX:
            raise CheckpointError(f'{where}: its {name} matrix would have {rows:,} x {block.embed_dims:,} numbers; expected '
                                  f'at most {_LARGEST_MATRIX:,}. Correct the sizes in its config.')


def _check_size(where: str, name: str, value: Any, most: int) -> None:
    if not is_whole(value, 1, most):
        _refuse(where, name, value, whole_number(1, most))


def _check_number(where: str, name: str, value: Any) -> None:
    if not is_number(value, least=0):
        _refuse(where, name, value, number(least=0))


def _refuse(where: str, name: str, value: Any, expected: str) -> None:
    raise CheckpointError(f'{where}: {name}={value!r:.60}; expected {expected}. Correct it in the config.')
