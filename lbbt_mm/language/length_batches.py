"""Batches of texts of about one length, so that little of what is computed is padding."""
from typing import List, Sequence

#: A text is at least so long, as a share of the longest of its batch: less than a tenth of a batch is padding.
_SHORTEST = 0.9


def batches_by_length(lengths: Sequence[int], batch_tokens: int) -> List[List[int]]:
    """Put texts into batches in the order of their lengths, the longest first: what does not fit in memory is known at once.

    Args:
        lengths: Tokens of each text.
        batch_tokens: A batch has at most so many tokens, padding among them; or one text.

    Returns:
        list: Indices of the texts of each batch, of whose tokens less than a tenth is padding. Texts of one length stay in
        their order.
    """
    batches: List[List[int]] = []
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        longest = lengths[batches[-1][0]] if batches else 0
        if not batches or longest * (len(batches[-1]) + 1) > batch_tokens or lengths[index] < _SHORTEST * longest:
            batches.append([])
        batches[-1].append(index)
    return batches


def padding_share(lengths: Sequence[int], batches: Sequence[Sequence[int]]) -> float:
    """Share of the tokens of batches that is padding, each batch being as long as its longest text.

    Args:
        lengths: Tokens of each text.
        batches: Indices of the texts of each batch.
    """
    padded = sum(len(batch) * max(lengths[index] for index in batch) for batch in batches)
    return 1 - sum(lengths[index] for batch in batches for index in batch) / padded
