"""What a model's data preprocessor makes of images."""
from typing import Any, Dict, List

import torch
from torch import Tensor, nn


@torch.no_grad()
def preprocess(model: nn.Module, images: Tensor, samples: List[Any], training: bool = False) -> Dict[str, Any]:
    """Have the model's data preprocessor normalise images, on the model's device.

    Args:
        model: Any model of an mm codebase.
        images: As :meth:`~lbbt_mm.figures.trained.OpenedRun.images` gives them.
        samples: Their data samples.
        training: Whether it pads images and masks as in training; images are mixed with no others all the same. Defaults to
            False.

    Returns:
        dict: ``inputs`` and ``data_samples``, the arguments of the model's ``forward``.
    """
    processor = model.data_preprocessor
    mixing = getattr(processor, 'batch_augments', None)
    try:
        if mixing is not None:
            processor.batch_augments = None
        return processor(dict(inputs=images, data_samples=samples), training)
    finally:
        if mixing is not None:
            processor.batch_augments = mixing
