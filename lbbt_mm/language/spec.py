"""What a language-model block is, in numbers: the one description that every component is built from."""
from dataclasses import dataclass, field, replace
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

BlockSelection = Union[None, int, str, Sequence[Union[int, str]]]

#: Module of a LanguageBlock -> the axes of its weight; a bias has the first of them. See :meth:`BlockSpec.axis`.
_AXES = {
    'norm1': ('channels', ),
    'norm2': ('channels', ),
    'attn.q_norm': ('head', ),
    'attn.k_norm': ('head', ),
    'attn.qkv': ('qkv', 'channels'),
    'attn.proj': ('channels', 'heads'),
    'mlp.fc1': ('hidden', 'channels'),
    'mlp.fc2': ('channels', 'units'),
}


@dataclass(frozen=True)
class RotarySpec:
    """Rotary position embedding (RoFormer, arXiv 2104.09864) as a language model was trained with it.

    Args:
        theta: Base of the geometric sequence of wavelengths.
        rope_type: ``default``, or the name of a context-extension rule of transformers
            (``llama3``, ``linear``, ...).
        parameters: The rule's own parameters, as in the Hugging Face config.
        max_positions: Longest context; some rules derive their parameters from it.
    """
    theta: float
    rope_type: str = 'default'
    parameters: Mapping[str, Any] = field(default_factory=dict, hash=False)
    max_positions: Optional[int] = field(default=None, compare=False)


@dataclass(frozen=True)
class BlockSpec:
    """Shape and function of one transformer block of a language model.

    Args:
        embed_dims: Width C of the residual stream.
        num_heads: Query heads.
        num_kv_heads: Key and value heads; fewer than ``num_heads`` means grouped-query attention.
        head_dims: Channels per head (``num_heads * head_dims`` may differ from ``embed_dims``).
        ffn_dims: Hidden units of the feed-forward network.
        norm: ``layer`` (LayerNorm) or ``rms`` (RMSNorm).
        norm_eps: Epsilon of the norms.
        activation: Hugging Face name of the activation, for example ``gelu_new`` or ``silu``.
        gated: Whether the feed-forward network is ``fc2(act(gate(x)) * up(x))``.
        qkv_bias: Whether the query, key and value projections have a bias.
        proj_bias: Whether the attention output projection has a bias.
        ffn_bias: Whether the feed-forward projections have a bias.
        qk_norm: Whether queries and keys are RMS-normalised per head.
        rotary: The rotary positions the model was trained with, if any.
        norm_order: Where the norms stand: ``pre``, before each branch, or ``post``, after each residual sum.
        attn_scale: Factor on the attention logits; ``None`` is ``head_dims ** -0.5``.
        window: Tokens that a token sees in the language model, itself included, where that attends in sliding windows. Here
            every token sees all others, so a longer sequence is refused.
    """
    embed_dims: int
    num_heads: int
    num_kv_heads: int
    head_dims: int
    ffn_dims: int
    norm: str
    norm_eps: float
    activation: str
    gated: bool
    qkv_bias: bool
    proj_bias: bool
    ffn_bias: bool
    qk_norm: bool = False
    rotary: Optional[RotarySpec] = None
    norm_order: str = 'pre'
    attn_scale: Optional[float] = None
    window: Optional[int] = None

    @property
    def qkv_dims(self) -> List[int]:
        """Output widths of the query, key and value projections."""
        return [self.num_heads * self.head_dims] + 2 * [self.num_kv_heads * self.head_dims]

    def axis(self, name: str) -> List[int]:
        """Sizes of what an axis of a parameter is made of, one after the other.

        Args:
            name: ``channels`` of the residual stream, ``qkv`` rows and ``heads``' outputs, channels of one ``head``,
                ``hidden`` rows (gate and up projection in a gated block) and hidden ``units``.
        """
        return dict(channels=[self.embed_dims], head=[self.head_dims], heads=self.qkv_dims[:1], qkv=self.qkv_dims,
                    hidden=[self.ffn_dims] * (2 if self.gated else 1), units=[self.ffn_dims])[name]

    @property
    def parameters(self) -> Dict[str, Tuple[str, ...]]:
        """Names of a LanguageBlock's parameters, without cross-attention, and the axes of each."""
        biases = {'norm1': self.norm == 'layer', 'norm2': self.norm == 'layer', 'attn.qkv': self.qkv_bias,
                  'attn.proj': self.proj_bias, 'mlp.fc1': self.ffn_bias, 'mlp.fc2': self.ffn_bias}
        found = {}
        for module, axes in _AXES.items():
            if module in biases or self.qk_norm:
                found[f'{module}.weight'] = axes
            if biases.get(module):
                found[f'{module}.bias'] = axes[:1]
        return found


@dataclass(frozen=True)
class LanguageModelSpec:
    """A language model as far as its blocks are concerned.

    Args:
        model_type: Hugging Face ``model_type``, the key into :data:`lbbt_mm.language.families.FAMILIES`.
        block: Description of one block.
        num_blocks: How many blocks the model has.
        initializer_range: Standard deviation of the model's own random initialisation; None where its config does not
            state it. transformers' default is not put in its place: models have more than twice that.
        num_positions: Longest context; the length of the position table, in families that learn one.
        config: The Hugging Face config fields this was read from.
        windows: Block -> its sliding window, for the blocks that have one.
        has_final_norm: Whether a norm follows the last block.
    """
    model_type: str
    block: BlockSpec
    num_blocks: int
    initializer_range: Optional[float]
    num_positions: int
    config: Dict[str, Any] = field(hash=False, compare=False)
    windows: Mapping[int, int] = field(default_factory=dict, hash=False)
    has_final_norm: bool = True

    def chosen_block(self, indices: Sequence[int]) -> BlockSpec:
        """What a block is, with the narrowest sliding window among those chosen."""
        return replace(self.block, window=min((self.windows[index] for index in indices if index in self.windows),
                                              default=None))


def parse_blocks(selection: BlockSelection, num_blocks: int, name: str = 'blocks') -> List[int]:
    """Turn a block selection that reads like Python into block indices.

    Args:
        selection: ``None`` (all), an index (``-1``, ``'-1'``), a slice as a string (``'0:12'``, ``'::2'``),
            or a list of those.
        num_blocks: Number of blocks that the language model has.
        name: The config key, for messages.

    Returns:
        list[int]: Indices in ``range(num_blocks)``, in the order asked for.

    Raises:
        ValueError: If the selection cannot be read, is empty, or reaches beyond the model's blocks.
    """
    if selection is None:
        return list(range(num_blocks))
    if isinstance(selection, (list, tuple)):
        indices = [i for part in selection for i in parse_blocks(part, num_blocks, name)]
    else:
        indices = _parse_part(selection, num_blocks, name)
    if not indices:
        raise ValueError(f'{name}={selection!r} selects no block; the language model has {num_blocks} '
                         f'(0 to {num_blocks - 1}). Widen the selection, for example to \'0:{num_blocks}\'.')
    return indices


def _parse_part(selection: Union[int, str], num_blocks: int, name: str) -> List[int]:
    """The blocks of one index or slice."""
    try:
        if isinstance(selection, (bool, float)):
            raise ValueError
        bounds = [int(part) if part.strip() else None for part in str(selection).split(':')]
        indices = range(num_blocks)[slice(*bounds)] if len(bounds) > 1 else [bounds[0] % num_blocks]
    except (TypeError, ValueError):
        raise ValueError(f'{name}={selection!r} is not a block selection. Expected an index (-1), a slice of whole '
                         "numbers ('0:12', '::2') or a list of those ([0, 5, 23]).") from None
    # Python clips a slice silently; a clipped selection here would be a smaller model than asked for.
    last = num_blocks if len(bounds) > 1 else num_blocks - 1
    if any(bound is not None and not -num_blocks <= bound <= last for bound in bounds[:2]):
        raise ValueError(f'{name}={selection!r} is out of range: the language model has {num_blocks} blocks '
                         f'(0 to {num_blocks - 1}, or -{num_blocks} to -1). Choose fewer blocks or a deeper language model.')
    return list(indices)


def plain(value: Any) -> Any:
    """Copy mmengine's ConfigDict, and what is in it, into plain dicts and lists, which others can serialise."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value
