"""The matrix products of a transformer and nothing else: no implementation of it is faster.

(One qualification: attention's products are done for all heads at once here, and their score matrices leave the cache;
a kernel that keeps them there can be a little faster at that part. Causal attention is counted in full, and a kernel can
leave out nearly half of it.)
"""
from collections import Counter
from dataclasses import dataclass
from typing import Callable, Iterator, Tuple

import torch

from lbbt_mm.language.spec import BlockSpec

# (how many at once, rows, summed over, columns)
Product = Tuple[int, int, int, int]


@dataclass(frozen=True)
class TransformerSize:
    """Sizes of an encoder and a decoder of equal depth.

    Args:
        width: Channels C.
        num_heads: Attention heads.
        ffn_dims: Hidden units.
        num_layers: Layers of the encoder, and of the decoder.
        batch: Images B.
        height: Rows of the feature map.
        columns: Columns of the feature map; ``height * columns`` tokens.
        queries: Object queries.
    """
    width: int
    num_heads: int
    ffn_dims: int
    num_layers: int
    batch: int
    height: int
    columns: int
    queries: int

    @property
    def tokens(self) -> int:
        """Encoder tokens of one image."""
        return self.height * self.columns


def count_products(size: TransformerSize, training: bool) -> Counter:
    """Which products one call needs.

    Args:
        size: Sizes of the transformer.
        training: Whether the two products of each one's backward pass are counted too.

    Returns:
        Counter: :data:`Product` -> how often, in all layers.
    """
    forward = Counter([*_encoder_layer(size), *_decoder_layer(size)])
    counts: Counter = Counter()
    for (stack, rows, inner, columns), count in forward.items():
        counts[stack, rows, inner, columns] += count * size.num_layers
        if training:
            for gradient in _gradients((stack, rows, inner, columns)):
                counts[gradient] += count * size.num_layers
    return counts


@dataclass(frozen=True)
class Work:
    """Matrix products by what they are for.

    Args:
        forward: Of the forward pass.
        activations: Of the gradients that are handed on towards the input.
        weights: Of the parameters' gradients.
    """
    forward: Counter
    activations: Counter
    weights: Counter

    @property
    def all(self) -> Counter:
        """All of them."""
        return self.forward + self.activations + self.weights

    def times(self, forward: int, activations: int, weights: int) -> 'Work':
        """Each kind a number of times, as in a stack of equal blocks that are trained in part."""
        return Work(*(Counter({product: count * times for product, count in counts.items() if times})
                      for counts, times in ((self.forward, forward), (self.activations, activations),
                                            (self.weights, weights))))

    def __add__(self, other: 'Work') -> 'Work':
        return Work(self.forward + other.forward, self.activations + other.activations, self.weights + other.weights)


def linear_work(rows: int, inner: int, columns: int) -> Work:
    """Work of a linear layer, or of a patch embedding, for ``rows`` tokens."""
    product = (1, rows, inner, columns)
    left, right = _gradients(product)
    return Work(Counter([product]), Counter([left]), Counter([right]))


def block_work(spec: BlockSpec, batch: int, tokens: int) -> Work:
    """Work of one LanguageBlock without cross-attention.

    Args:
        spec: What the block is.
        batch: Images B.
        tokens: Tokens of an image.

    Returns:
        Work: Attention's own products have two activations as factors, and so two activation gradients and no weight's.
    """
    rows, heads = batch * tokens, batch * spec.num_heads
    attention = Counter([(heads, tokens, spec.head_dims, tokens), (heads, tokens, tokens, spec.head_dims)])
    gradients = Counter(gradient for product in attention.elements() for gradient in _gradients(product))
    return sum((linear_work(rows, spec.embed_dims, sum(spec.qkv_dims)),
                linear_work(rows, spec.qkv_dims[0], spec.embed_dims),
                linear_work(rows, spec.embed_dims, spec.ffn_dims * (2 if spec.gated else 1)),
                linear_work(rows, spec.ffn_dims, spec.embed_dims)), Work(attention, gradients, Counter()))


def giga_flops(counts: Counter) -> float:
    """Floating-point operations in units of 1e9, a multiplication and an addition counted as two."""
    return sum(2e-9 * stack * rows * inner * columns * count
               for (stack, rows, inner, columns), count in counts.items())


def floor_call(counts: Counter, dtype: torch.dtype) -> Callable[[], None]:
    """A function that computes the products into memory set aside beforehand."""
    buffers = {(stack, rows, inner, columns): (torch.ones(stack, rows, inner, dtype=dtype),
                                               torch.ones(stack, inner, columns, dtype=dtype),
                                               torch.empty(stack, rows, columns, dtype=dtype))
               for stack, rows, inner, columns in counts}

    @torch.no_grad()
    def call() -> None:
        for product, (left, right, out) in buffers.items():
            for _ in range(counts[product]):
                if product[0] == 1:
                    torch.mm(left[0], right[0], out=out[0])
                else:
                    torch.bmm(left, right, out=out)

    return call


def _gradients(product: Product) -> Tuple[Product, Product]:
    """The products that give the gradients of the left and of the right factor."""
    stack, rows, inner, columns = product
    return (stack, rows, columns, inner), (stack, inner, rows, columns)


def _encoder_layer(size: TransformerSize) -> Iterator[Product]:
    rows = size.batch * size.tokens
    yield from _self_attention(size, size.tokens)
    yield from _feed_forward(size, rows)


def _decoder_layer(size: TransformerSize) -> Iterator[Product]:
    rows = size.batch * size.queries
    yield from _self_attention(size, size.queries)
    yield 1, rows, size.width, size.width  # cross-attention's queries
    yield from 2 * [(1, size.batch * size.tokens, size.width, size.width)]  # its keys and values
    yield from _attention(size, size.queries, size.tokens)
    yield from _feed_forward(size, rows)


def _self_attention(size: TransformerSize, tokens: int) -> Iterator[Product]:
    rows = size.batch * tokens
    yield 1, rows, size.width, 2 * size.width  # queries and keys, which see the positions
    yield 1, rows, size.width, size.width  # values, which do not
    yield from _attention(size, tokens, tokens)


def _attention(size: TransformerSize, queries: int, keys: int) -> Iterator[Product]:
    heads, head_dims = size.batch * size.num_heads, size.width // size.num_heads
    yield heads, queries, head_dims, keys
    yield heads, queries, keys, head_dims
    yield 1, size.batch * queries, size.width, size.width  # output projection


def _feed_forward(size: TransformerSize, rows: int) -> Iterator[Product]:
    yield 1, rows, size.width, size.ffn_dims
    yield 1, rows, size.ffn_dims, size.width
