"""Images of different sizes, as detectors and segmentors have them: which go together, and what of them is padding."""
from typing import Any, Dict, Iterator, List, Sequence, Tuple

from torch import Tensor, nn


def stackable(model: nn.Module, images: Sequence[Tensor], samples: List[Any],
              training: bool = False) -> Iterator[Tuple[Sequence[Tensor], List[Any]]]:
    """Split a batch into parts that the model's data preprocessor can put into one tensor.

    mmseg's takes images of one size, in training after it has padded them to its ``size``; others pad to the largest.

    Args:
        model: Any model of an mm codebase.
        images: As :meth:`~lbbt_mm.figures.trained.OpenedRun.images` gives them.
        samples: Their data samples.
        training: Whether they are to be padded as in training. Defaults to False.

    Yields:
        tuple: Images and their data samples.
    """
    processor = model.data_preprocessor
    of_mmseg = any(kind.__name__ == 'SegDataPreProcessor' for kind in type(processor).__mro__)
    least = getattr(processor, 'size', None) if training else (0, 0)
    if not of_mmseg or least is None:
        yield images, samples
        return
    for indices in of_one_size(images, least):
        yield [images[index] for index in indices], [samples[index] for index in indices]


def of_one_size(images: Sequence[Tensor], least: Sequence[int] = (0, 0)) -> Iterator[List[int]]:
    """Which images of a batch are of one size, by their places.

    Args:
        images: ``(C, H, W)`` each.
        least: Height and width to which smaller ones are padded. Defaults to (0, 0).
    """
    groups: Dict[Tuple[int, ...], List[int]] = {}
    for index, image in enumerate(images):
        groups.setdefault(tuple(map(max, image.shape[-2:], least)), []).append(index)
    yield from groups.values()


def without_padding(inputs: Tensor, samples: List[Any]) -> Iterator[Tensor]:
    """Images of a batch without what was added below and to the right of them.

    Args:
        inputs: Preprocessed images ``(B, C, H, W)``.
        samples: Their data samples, whose ``img_shape`` is an image's size; one without it is not padded.

    Yields:
        Tensor: ``(b, C, h, w)``: all of the batch, or an image each where one is padded.
    """
    whole = tuple(inputs.shape[-2:])
    sizes = [tuple(sample.get('img_shape', whole)[:2]) for sample in samples]
    if all(size == whole for size in sizes):
        yield inputs
        return
    for image, (height, width) in zip(inputs, sizes):
        yield image[None, :, :height, :width]
