"""Batches of any form: how many samples there are, some of them, and tensors by which can be differentiated."""
from typing import Any, Callable, List, Mapping, Sequence, Tuple

from torch import Tensor


def count_samples(batch: Any) -> int:
    """How many samples a batch has.

    Args:
        batch: A tensor or a list of samples, or a dict or tuple of such. Of a dict ``data_samples`` tell, else its first.

    Raises:
        ValueError: If it is nothing of the kind.
    """
    if isinstance(batch, Mapping) and batch:
        return count_samples(batch['data_samples'] if batch.get('data_samples') is not None else next(iter(batch.values())))
    if isinstance(batch, tuple) and batch:
        return count_samples(batch[0])
    if isinstance(batch, list) or isinstance(batch, Tensor) and batch.ndim:
        return len(batch)
    raise ValueError(f'A batch is a {type(batch).__name__}; expected tensors or lists with an entry for each sample, or a '
                     'dict or tuple of them.')


def take_samples(batch: Any, indices: Sequence[int]) -> Any:
    """Some samples of a batch, in the form of the batch.

    Args:
        batch: As for :func:`count_samples`; what does not have as many entries as there are samples is kept.
        indices: Which ones.
    """
    size = count_samples(batch)

    def some(part: Any) -> Any:
        if isinstance(part, Tensor):
            return part[list(indices)] if part.ndim and len(part) == size else part
        if isinstance(part, list) and len(part) == size:
            return [part[index] for index in indices]
        return _inside(part, some)

    return some(batch)


def with_gradients(batch: Any) -> Tuple[Any, List[Tensor]]:
    """A batch whose images a loss can be differentiated by.

    Args:
        batch: As for :func:`count_samples`.

    Returns:
        tuple: The batch, and those of its tensors that hold real numbers for each sample, anew.
    """
    size, leaves = count_samples(batch), []

    def anew(part: Any) -> Any:
        if isinstance(part, Tensor):
            if not (part.is_floating_point() and part.ndim and len(part) == size):
                return part
            leaves.append(part.detach().requires_grad_())
            return leaves[-1].clone()  # a model may change it in place
        return _inside(part, anew)

    return anew(batch), leaves


def _inside(part: Any, change: Callable[[Any], Any]) -> Any:
    if isinstance(part, Mapping):
        return {key: change(value) for key, value in part.items()}
    return type(part)(map(change, part)) if type(part) in (list, tuple) else part
