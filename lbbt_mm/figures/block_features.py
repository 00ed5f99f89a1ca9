"""Features behind every block of a trained vision transformer."""
from typing import Any, Iterable, List, Tuple

import torch
from torch import Tensor, nn

from .image_sizes import of_one_size
from .preprocessing import preprocess

#: Which tokens stand for an image.
TOKENS = ('auto', 'class', 'mean')


def check_tokens(backbone: nn.Module, tokens: str, label: str) -> str:
    """Which tokens of a backbone stand for an image.

    Args:
        backbone: The backbone.
        tokens: ``class`` for the class token, ``mean`` for the mean of the patches; ``auto`` for the class token where there
            is one, as in the public code of Huh et al.
        label: What figures call the model.

    Returns:
        str: ``class`` or ``mean``.

    Raises:
        ValueError: If a class token is asked for, and there is none.
    """
    there = getattr(backbone, 'cls_token', None) is not None
    if tokens == 'class' and not there:
        raise ValueError(f'{label}: its {type(backbone).__name__} has no class token. Take the mean of the patches.')
    return tokens if tokens != 'auto' else 'class' if there else 'mean'


@torch.no_grad()
def read_block_features(model: nn.Module, batches: Iterable[Tuple[Any, List[Any]]], tokens: str, label: str) -> Tensor:
    """What each block gives for each image, in front of what is inserted behind the block and of the final norm.

    Args:
        model: A model with a ``backbone`` of blocks, in evaluation mode.
        batches: Images and data samples, as :meth:`OpenedRun.images` gives them.
        tokens: See :func:`check_tokens`.
        label: What figures call the model.

    Returns:
        Tensor: ``(blocks, N, C)``, float32, on the CPU. Blocks behind the last that runs are left out.

    Raises:
        ValueError: If the model has no such backbone.
    """
    from lbbt_mm.models.blocks import token_blocks
    try:
        backbone = model.backbone
        blocks = token_blocks(backbone)
    except (AttributeError, ValueError) as error:
        raise ValueError(f'{label}: {error}') from None
    tokens = check_tokens(backbone, tokens, label)
    extra = getattr(backbone, 'num_extra_tokens', int(getattr(backbone, 'cls_token', None) is not None))
    parts, states = [], {}
    handles = [block.register_forward_hook(lambda block, args, output, index=index: states.update({index: output}),
                                           prepend=True) for index, block in enumerate(blocks)]
    try:
        for images, samples in batches:
            order, found = [], []
            for places in of_one_size(images):  # none is padded, which would be a part of its features
                states.clear()
                backbone(preprocess(model, [images[place] for place in places],
                                    [samples[place] for place in places])['inputs'])
                found.append(torch.stack([_pool(states[index], tokens, extra) for index in sorted(states)]).cpu())
                order += places
            parts.append(torch.cat(found, dim=1)[:, torch.tensor(order).argsort()])
    finally:
        for handle in handles:
            handle.remove()
    return torch.cat(parts, dim=1)


def _pool(states: Tensor, tokens: str, extra: int) -> Tensor:
    return (states[:, 0] if tokens == 'class' else states[:, extra:].mean(1)).float()
