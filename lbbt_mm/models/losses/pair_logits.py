"""Logits between all images and all texts, a block of rows at a time.

16,384 pairs have 268 million logits, 1 GiB in float32, and a loss as it is usually written holds several such arrays for
its backward pass. Here a loss sees a block of rows, and in the backward pass the same block again.
"""
from typing import Callable, Iterator, NamedTuple, Optional, Tuple

import torch
from mmengine.dist import all_gather, all_reduce, get_rank, get_world_size
from torch import Tensor


class Block(NamedTuple):
    """Rows of the logits."""
    rows: slice
    #: Column of each row's own text.
    own: Tensor
    #: Of shape (rows, pairs of all ranks); a buffer that the next block overwrites.
    logits: Tensor


class PairLogits:
    """``scale * image @ text.T``: the rows of this rank's images against the texts of all ranks.

    Args:
        image: This rank's ``(n, D)``.
        texts: All ranks' ``(N, D)``, in the order of ranks.
        scale: A number, as a tensor of no dimension.
        chunk_size: Rows of a block.
    """

    def __init__(self, image: Tensor, texts: Tensor, scale: Tensor, chunk_size: int) -> None:
        self.image, self.texts, self.scale, self.chunk_size = image, texts, scale, chunk_size
        self.ranks = len(texts) // len(image)
        self.first = get_rank() * len(image) if self.ranks > 1 else 0

    def blocks(self) -> Iterator[Block]:
        """Each block of rows, in order."""
        buffer = self.image.new_empty(min(self.chunk_size, len(self.image)), len(self.texts))
        for start in range(0, len(self.image), self.chunk_size):
            rows = slice(start, min(start + self.chunk_size, len(self.image)))
            logits = buffer[:rows.stop - rows.start]
            torch.mm(self.image[rows], self.texts.t(), out=logits).mul_(self.scale)
            own = torch.arange(rows.start, rows.stop, device=self.image.device) + self.first
            yield Block(rows, own, logits)

    def gradients(self, of_block: Callable[[Block], Tensor], of_scale: bool) -> Tuple[Tensor, Tensor, Optional[Tensor]]:
        """Gradients of image, of this rank's text and of the scale.

        With several ranks they are the ranks' number of times the gradients of the loss: data-parallel training takes the
        mean over ranks, and each of them has the part of its own pairs.

        Args:
            of_block: From a block to the loss's gradient with respect to its logits, of the same shape.
            of_scale: Whether the scale trains.

        Returns:
            tuple[Tensor, Tensor, Tensor | None]: Of shapes ``(n, D)``, ``(n, D)`` and ``()``.
        """
        image, texts = torch.empty_like(self.image), torch.zeros_like(self.texts)
        scale = torch.zeros_like(self.scale) if of_scale else None
        for block in self.blocks():
            similar = block.logits / self.scale if of_scale else None  # the block's logits are overwritten
            grad = of_block(block)
            if of_scale:
                scale += (grad * similar).sum()
            grad = grad.mul_(self.scale)
            torch.mm(grad, self.texts, out=image[block.rows])
            texts.addmm_(grad.t(), self.image[block.rows])
        if self.ranks > 1:
            all_reduce(texts)
        own = texts[self.first:self.first + len(self.image)]
        return image * self.ranks, own * self.ranks, scale * self.ranks if of_scale else None


def texts_of_all_ranks(text: Tensor, gather: bool) -> Tensor:
    """This rank's ``(n, D)`` to all ranks' ``(N, D)``, without a gradient: the losses' backward passes know of the ranks.

    Raises:
        ValueError: If ranks have different numbers of pairs.
    """
    if not gather or get_world_size() == 1:
        return text
    counts = [int(count) for count in all_gather(torch.tensor([len(text)], device=text.device))]
    if len(set(counts)) > 1:
        raise ValueError(f'Contrastive loss: ranks have batches of {counts} pairs; expected equal ones. Use a sampler that '
                         'gives every rank as many samples as any other, as lbbt_mm.PairSampler does.')
    return torch.cat(all_gather(text.contiguous()))
