"""Prototypes: the direction of each class, which a zero-shot classifier compares images with (CLIP, Sec. 3.1.4)."""
import hashlib
import json
from pathlib import Path
from typing import Any, Callable, Dict, Optional, Protocol, Union

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from lbbt_mm.files.whole_files import whole_file

#: Prompts that are embedded at once.
_AT_ONCE = 4096
_NAME, _FACTS = 'prototypes', 'made_of'


class Rows(Protocol):
    """Features on the disk, such as :class:`lbbt_mm.files.feature_store.FeatureStore`."""

    def rows(self, indices: Tensor) -> Tensor:
        """Features of some rows."""

    def __len__(self) -> int:
        """How many rows there are."""


@torch.no_grad()
def class_prototypes(embed: Callable[[Tensor], Tensor], features: Union[Tensor, Rows], num_classes: int) -> Tensor:
    """The mean of the embeddings of a class's prompts, brought to unit length.

    Args:
        embed: Gives embeddings of unit length ``(N, D)`` of text features ``(N, C)``.
        features: Features of the prompts, ``(num_classes * T, C)``, class by class, as
            :func:`lbbt_mm.datasets.prompt_templates.class_prompts` orders them.
        num_classes: How many classes there are.

    Returns:
        Tensor: ``(num_classes, D)``.

    Raises:
        ValueError: If the prompts are no whole number for each class, or a prototype has no direction.
    """
    count, left = divmod(len(features), num_classes)
    if left or not count:
        raise ValueError(f'{len(features)} prompts of {num_classes} classes; expected as many for each, one at least.')
    read = (lambda rows: features[rows]) if isinstance(features, Tensor) else features.rows
    sums = None
    for rows in torch.arange(len(features)).split(_AT_ONCE):
        found = embed(read(rows))
        sums = found.new_zeros(num_classes, found.shape[1]) if sums is None else sums
        sums.index_add_(0, (rows // count).to(found.device), found)
    lengths = sums.norm(dim=1)
    odd = (~torch.isfinite(lengths) | (lengths < 1e-6 * count)).nonzero()
    if len(odd):
        raise ValueError(f'the prompts of class {int(odd[0])} give no direction (their embeddings are not finite, or cancel '
                         'out). The projection diverged; use an earlier checkpoint of it.')
    return F.normalize(sums, dim=-1)


def cached_prototypes(folder: Path, facts: Dict[str, Any], make: Callable[[], Tensor]) -> Tensor:
    """Prototypes that were made before of the same things, or new ones, which are kept.

    Args:
        folder: Where they are kept, a file for each set.
        facts: What they are made of, as JSON can hold it: the language model, the prompts, the projection.
        make: Makes them, ``(C, D)``.

    Returns:
        Tensor: ``(C, D)``, on the CPU if they were kept.
    """
    text = json.dumps(facts, sort_keys=True)
    path = Path(folder) / f'{_NAME}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.safetensors'
    kept = _read(path, text)
    if kept is not None:
        return kept
    made = make()
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as file:
        file.write(save({_NAME: made.detach().float().cpu().contiguous()}, {_FACTS: text}))
    return made


def projection_checksum(projection: nn.Module) -> str:
    """What tells one projection from another: 64 hexadecimal digits of all of its numbers.

    Args:
        projection: The module.
    """
    digest = hashlib.sha256()
    for name, tensor in projection.state_dict().items():
        digest.update(repr((name, tuple(tensor.shape), str(tensor.dtype))).encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def _read(path: Path, facts: str) -> Optional[Tensor]:
    """What a file of ours holds; None where it is absent or damaged, or says that it is of something else."""
    try:
        with safe_open(path, 'pt') as file:
            found = file.get_tensor(_NAME) if (file.metadata() or {}).get(_FACTS) == facts else None
    except (OSError, SafetensorError):
        return None
    return found if found is not None and bool(torch.isfinite(found).all()) else None
