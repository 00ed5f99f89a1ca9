"""Weight selection: a narrower block made of evenly spaced channels, heads and hidden units of a language model's block.

Source: "Initializing Models with Larger Ones" (arXiv 2311.18823), section 3, uniform selection. There each tensor is
thinned on its own; here one choice of channels, heads and hidden units holds for all tensors of all blocks, so that
what one tensor writes is what the next one reads.
"""
from dataclasses import dataclass, replace
from typing import Dict, List, Mapping, Optional, Tuple

import torch
from torch import Tensor

from .families import TensorRule
from .spec import BlockSpec

def select_spec(source: BlockSpec, embed_dims: int, num_heads: Optional[int] = None,
                ffn_dims: Optional[int] = None) -> BlockSpec:
    """The spec of a narrower block.

    Query heads keep sharing key/value heads in groups of the source's size. Rotary positions are left out: they belong
    to heads of the source's width.

    Args:
        source: The language model's block.
        embed_dims: Width of the narrower block.
        num_heads: Its query heads. Defaults to None: as many as fill ``embed_dims`` with the source's head width.
        ffn_dims: Its hidden units. Defaults to None: the source's, in proportion to the width.

    Returns:
        BlockSpec: The narrower block's spec.

    Raises:
        ValueError: If the source has fewer channels, heads or hidden units, or the heads cannot be grouped or divided.
    """
    group = source.num_heads // source.num_kv_heads
    if num_heads is None:
        num_heads = max(1, embed_dims // source.head_dims)
    if ffn_dims is None:
        ffn_dims = source.ffn_dims * embed_dims // source.embed_dims
    for name, wanted in dict(embed_dims=embed_dims, num_heads=num_heads, ffn_dims=ffn_dims).items():
        available = getattr(source, name)
        if not 1 <= wanted <= available:
            raise ValueError(f"fit='select' cannot take {name}={wanted} from a language model with {available}; expected 1 "
                             f"to {available}. Choose a wider language model, a narrower head, or fit='project'.")
    _check_heads(source, embed_dims, num_heads)
    return replace(
        source,
        embed_dims=embed_dims,
        num_heads=num_heads,
        num_kv_heads=num_heads // group,
        head_dims=embed_dims // num_heads,
        ffn_dims=ffn_dims,
        rotary=None)


def _check_heads(source: BlockSpec, embed_dims: int, num_heads: int) -> None:
    """Refuse a number of heads that the source cannot give, and say which it can."""
    group = source.num_heads // source.num_kv_heads
    possible = [heads for heads in range(group, source.num_heads + 1, group)
                if embed_dims % heads == 0 and embed_dims // heads <= source.head_dims]
    if num_heads not in possible:
        expected = f'one of {", ".join(map(str, possible))}' if possible else 'another embed_dims: no number fits this one'
        raise ValueError(f"fit='select': num_heads={num_heads} with embed_dims={embed_dims}; expected {expected}. Heads "
                         f"have to divide the width, to have {source.head_dims} channels at most, as the language model's, "
                         f'and to be whole groups of {group} that share key/value heads there.')


@dataclass(frozen=True)
class WeightSelection:
    """Takes a narrower block's tensors from a language model's.

    Args:
        source: The language model's block.
        target: The narrower block, from :func:`select_spec`.
    """
    source: BlockSpec
    target: BlockSpec

    def __str__(self) -> str:
        source, target = self.source, self.target
        return (f'; selected {target.embed_dims} channels, {target.num_heads} of {source.num_heads} heads of '
                f'{target.head_dims}, {target.ffn_dims} of {source.ffn_dims} hidden units')

    def select(self, rules: List[TensorRule], tensors: Mapping[str, Tensor], prefix: str) -> Dict[str, Tensor]:
        """Thin the tensors of one block.

        Args:
            rules: The family's copying rules for the source block.
            tensors: Its tensors by canonical checkpoint name.
            prefix: What those names start with.

        Returns:
            dict[str, Tensor]: Under the same names, exact sub-tensors in the checkpoint's orientation.
        """
        selected = {}
        for rule in rules:
            rows, *columns = self.indices(rule.target)
            start = 0
            for name in rule.sources:
                tensor = tensors[prefix + name].T if rule.transpose else tensors[prefix + name]
                # sources are stacked along the first axis; each has its own share of the rows
                share = rows[(rows >= start) & (rows < start + len(tensor))] - start
                start += len(tensor)
                thinned = tensor.index_select(0, share)
                for index in columns:
                    thinned = thinned.index_select(1, index)
                selected[prefix + name] = (thinned.T if rule.transpose else thinned).contiguous()
        return selected

    def indices(self, parameter: str) -> Tuple[Tensor, ...]:
        """Which entries of a full-width LanguageBlock parameter are taken, an index an axis.

        Args:
            parameter: Its name, for example ``attn.qkv.weight``.
        """
        return tuple(map(self._axis, self.source.parameters[parameter]))

    def _axis(self, axis: str) -> Tensor:
        source, target = self.source, self.target
        if axis == 'heads':
            return self._query_rows()
        if axis == 'qkv':
            keys = _rows_of(_evenly(source.num_kv_heads, target.num_kv_heads), source, target)
            queries, width, _ = source.qkv_dims
            return torch.cat((self._query_rows(), queries + keys, queries + width + keys))
        size, wanted = source.axis(axis)[0], target.axis(axis)[0]
        return torch.cat([part * size + _evenly(size, wanted) for part in range(len(source.axis(axis)))])

    def _query_rows(self) -> Tensor:
        """Whole groups of query heads, those whose key/value heads are taken."""
        group = self.source.num_heads // self.source.num_kv_heads
        groups = _evenly(self.source.num_kv_heads, self.target.num_kv_heads)
        heads = (groups[:, None] * group + torch.arange(group)).flatten()
        return _rows_of(heads, self.source, self.target)


def _rows_of(heads: Tensor, source: BlockSpec, target: BlockSpec) -> Tensor:
    return (heads[:, None] * source.head_dims + _evenly(source.head_dims, target.head_dims)).flatten()


def _evenly(available: int, wanted: int) -> Tensor:
    """``wanted`` whole numbers evenly spaced over ``range(available)``, 0 first."""
    return torch.arange(wanted) * available // wanted
