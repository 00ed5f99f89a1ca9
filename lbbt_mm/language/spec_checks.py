"""Sizes and numbers of a language model, checked before anything is allocated by them."""
import math
from typing import Any, Dict, Mapping

from .errors import CheckpointError
from .spec import LanguageModelSpec

#: Beyond these no language model is; GPT-3 has 96 blocks, width 12,288 and matrices of 6e8 numbers.
_MOST_BLOCKS, _WIDEST, _MOST_POSITIONS, _LARGEST_MATRIX = 10_000, 2**20, 2**30, 2**32


def check_block_count(fields: Mapping[str, Any], where: str) -> None:
    """Check the number of blocks before transformers makes lists as long as that.

    Raises:
        CheckpointError: If it is no such number.
    """
    for key in ('num_hidden_layers', 'n_layer'):
        if fields.get(key) is not None:
            _check_size(where, key, fields[key], _MOST_BLOCKS)


def check_spec(spec: LanguageModelSpec, where: str) -> None:
    """Check the types and sizes that were read from a config of others.

    Args:
        spec: The language model.
        where: Where it was read, for the message.

    Raises:
        CheckpointError: Names the first field that cannot be.
    """
    block = spec.block
    _check_size(where, 'num_blocks', spec.num_blocks, _MOST_BLOCKS)
    _check_size(where, 'the longest context', spec.num_positions, _MOST_POSITIONS)
    for name in ('embed_dims', 'num_heads', 'num_kv_heads', 'head_dims', 'ffn_dims'):
        _check_size(where, name, getattr(block, name), _WIDEST)
    for name, rows, columns in (('query, key and value', sum(block.qkv_dims), block.embed_dims),
                                ('feed-forward', block.ffn_dims, block.embed_dims)):
        if rows * columns > _LARGEST_MATRIX:
            raise CheckpointError(f'{where}: its {name} matrix would have {rows:,} x {columns:,} numbers; expected at most '
                                  f'{_LARGEST_MATRIX:,}. Correct the sizes in its config.')
    for name in ('qkv_bias', 'proj_bias', 'ffn_bias', 'gated', 'qk_norm'):
        if not isinstance(getattr(block, name), bool):
            _refuse(where, name, getattr(block, name), 'True or False')
    if not isinstance(block.activation, str):
        _refuse(where, 'activation', block.activation, 'a name')
    numbers: Dict[str, Any] = dict(norm_eps=block.norm_eps)
    if block.rotary is not None:
        numbers['rope_theta'] = block.rotary.theta
        if block.head_dims % 2:
            _refuse(where, 'head_dims', block.head_dims, 'an even number, which rotary positions take')
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
            _refuse(where, name, value, 'a number above 0')
    if block.norm_eps > 1:
        _refuse(where, 'norm_eps', block.norm_eps, 'a small number, 1 at most')
    for window in spec.windows.values():
        _check_size(where, 'sliding_window', window, _MOST_POSITIONS)


def _check_size(where: str, name: str, value: Any, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= most:
        _refuse(where, name, value, f'a whole number from 1 to {most:,}')


def _refuse(where: str, name: str, value: Any, expected: str) -> None:
    raise CheckpointError(f'{where}: {name}={value!r:.60}; expected {expected}. Correct it in the config.')
