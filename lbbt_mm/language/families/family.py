"""What tells one family of language models from another."""
from dataclasses import dataclass, field
from typing import Any, Callable, Collection, Dict, List, Mapping, Optional, Tuple

import torch
from torch import Tensor
from transformers import PretrainedConfig

from ..spec import BlockSpec, LanguageModelSpec


@dataclass(frozen=True)
class TensorRule:
    """How one LanguageBlock parameter is filled from a block's tensors.

    Args:
        target: Parameter name within LanguageBlock.
        sources: Tensors that fill it, stacked along its first dimension: name within the block -> shape in the checkpoint.
        transpose: Whether the checkpoint stores the matrices transposed (GPT-2's Conv1D).
    """
    target: str
    sources: Mapping[str, Tuple[int, ...]]
    transpose: bool = False


@dataclass(frozen=True)
class Family:
    """What tells one family of language models from another.

    Args:
        block_spec: Reads a :class:`BlockSpec` from the Hugging Face config.
        block_prefix: Name of block ``i`` in the canonical tensor names, with ``{i}``.
        root_prefixes: What checkpoints put before ``block_prefix``, most common first.
        modules: Module of a LanguageBlock -> the block's modules in a checkpoint that are stacked in it.
        transposed: Whether checkpoints store matrices transposed (GPT-2's Conv1D).
        final_norm: Names of the tensors of the norm behind the last block.
        has_final_norm: Whether a model has that norm.
        position_table: Name of the learned position table, in families that have one.
        first_position: Row of that table that is the first token's; those before it are no positions.
        gguf_names: Key of a GGUF file's metadata, without the architecture's name -> Hugging Face config field.
        complete_gguf: What else follows of the config: ``(fields, metadata, names of tensors) -> fields``.
        sizes: What a config has to state, each by any of these names; a size that is left out is the family's default, and
            another model in silence.
        ignored: Names within a block that are buffers, not parameters.
        output_scale: What the family's own random initialisation multiplies the standard deviation of the matrices that
            write to the residual stream by, from the number of blocks.
        windows: Block -> sliding window, of those that attend in one.
        activation: What its config calls the activation.
        std: What its config calls the standard deviation of the model's own random initialisation.
        architecture: What llama.cpp calls it; None where llama.cpp cannot have it.
        check: Refuses a spec that the family cannot have.
        from_gguf: Undoes what llama.cpp's converter did to a tensor: ``(name, tensor, spec) -> tensor``.
    """
    block_spec: Callable[[PretrainedConfig], BlockSpec]
    block_prefix: str
    root_prefixes: Tuple[str, ...]
    modules: Mapping[str, Tuple[str, ...]]
    final_norm: Tuple[str, ...]
    architecture: Optional[str] = None
    gguf_names: Mapping[str, str] = field(default_factory=dict)
    transposed: bool = False
    activation: str = 'hidden_act'
    std: str = 'initializer_range'
    has_final_norm: Callable[[PretrainedConfig], bool] = lambda config: True
    position_table: Optional[str] = None
    first_position: int = 0
    sizes: Tuple[Tuple[str, ...], ...] = ()
    ignored: Tuple[str, ...] = ()
    output_scale: Callable[[int], float] = lambda num_blocks: 1.
    complete_gguf: Callable[[Dict[str, Any], Mapping[str, Any], Collection[str]], Dict[str, Any]] = (
        lambda config, metadata, tensors: config)
    windows: Callable[[PretrainedConfig], Dict[int, int]] = lambda config: {}
    check: Callable[[BlockSpec], None] = lambda block: None
    from_gguf: Callable[[str, Tensor, BlockSpec], Tensor] = lambda name, tensor, spec: tensor

    def rules(self, spec: BlockSpec) -> List[TensorRule]:
        """How each parameter of a block is filled."""
        rules = []
        for target, (first, *others) in spec.parameters.items():
            module, kind = target.rsplit('.', 1)
            names, rows = self.modules[module], spec.axis(first)
            columns = [sum(spec.axis(axis)) for axis in others]
            transpose = self.transposed and bool(columns)
            shapes = [(size, *columns) for size in (rows if len(names) > 1 else [sum(rows)])]
            rules.append(TensorRule(target, {f'{name}.{kind}': shape[::-1] if transpose else shape
                                             for name, shape in zip(names, shapes)}, transpose))
        return rules

    def random_tensor(self, spec: LanguageModelSpec, name: str, shape: Tuple[int, ...],
                      generator: torch.Generator) -> Tensor:
        """Draw one tensor as the language model's own random initialisation does.

        Norm weights are one, biases zero, matrices normal with the model's ``initializer_range``, scaled where they write
        to the residual stream.

        Args:
            spec: The language model, which states an ``initializer_range``.
            name: The tensor's name in the checkpoint.
            shape: Its shape there.
            generator: Source of randomness.
        """
        if name.endswith('.bias'):
            return torch.zeros(shape)
        if len(shape) == 1:
            return torch.ones(shape)
        std = spec.initializer_range
        if name.endswith(tuple(f'{output}.weight' for output in self.modules['attn.proj'] + self.modules['mlp.fc2'])):
            std *= self.output_scale(spec.num_blocks)
        return torch.randn(shape, generator=generator) * std


def whole_heads(width: str, heads: str) -> Callable[[BlockSpec], None]:
    """A check that heads whose width is a quotient fill the stream; a remainder would silently drop channels.

    Args:
        width: What the family's config calls the width of the stream.
        heads: What it calls the number of heads.
    """

    def check(block: BlockSpec) -> None:
        if block.embed_dims % block.num_heads:
            raise ValueError(f'width {block.embed_dims} does not divide into {block.num_heads} heads. Correct {width} or '
                             f'{heads}')

    return check
