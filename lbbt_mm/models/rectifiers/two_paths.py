"""Main and auxiliary path of a rectified model: one run of what both share, two losses (rectifier paper, Eqs. 8 and 10)."""
from typing import Any, Callable, Dict, Mapping, Sequence, Tuple, Union

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lbbt_mm.models.initializers.init_steps import trunc_normal_parts


def halves(features: Any) -> Tuple[Any, Any]:
    """Features of both paths, of a batch in which those of the auxiliary path follow those of the main one.

    Args:
        features: A tensor ``(2B, ...)``, or tuples or lists of such.

    Returns:
        tuple: The same with tensors ``(B, ...)``, of the main and of the auxiliary path.
    """
    if isinstance(features, Tensor):
        main, auxiliary = features.chunk(2)
        return main, auxiliary
    pairs = [halves(part) for part in features]
    return tuple(type(features)(pair[side] for pair in pairs) for side in (0, 1))


def map_tensors(function: Callable[[Tensor], Tensor], features: Any) -> Any:
    """Apply a function to every tensor in tuples and lists of them."""
    if isinstance(features, Tensor):
        return function(features)
    return type(features)(map_tensors(function, part) for part in features)


def weighted_losses(main: Mapping[str, Tensor], auxiliary: Mapping[str, Tensor],
                    weight: Union[float, Tensor]) -> Dict[str, Tensor]:
    """Both paths' losses as one training step needs and logs them.

    Args:
        main: What the head said of the main path; entries with ``loss`` in their names are losses.
        auxiliary: What it said of the auxiliary path.
        weight: Weight of the auxiliary path, lambda of Eq. 10.

    Returns:
        dict[str, Tensor]: ``loss_main`` and ``loss_aux``, whose sum is the objective ``(1 - lambda) main + lambda aux``;
        ``main_unweighted`` and ``aux_unweighted``; ``lambda``; and other entries, those of the auxiliary path with ``aux_``
        in front.
    """
    values = [sum(value.mean() for name, value in path.items() if 'loss' in name) for path in (main, auxiliary)]
    others = [{name: value for name, value in path.items() if 'loss' not in name} for path in (main, auxiliary)]
    return {
        'loss_main': (1 - weight) * values[0],
        'loss_aux': weight * values[1],
        'main_unweighted': values[0].detach(),
        'aux_unweighted': values[1].detach(),
        'lambda': torch.as_tensor(weight, device=values[0].device).detach().clone(),
        **others[0],
        **{f'aux_{name}': value for name, value in others[1].items()},
    }


def refuse_shared_statistics(parts: Mapping[str, nn.Module]) -> None:
    """Refuse batch norms behind the place where the paths part: they would normalise one path by the other's numbers.

    Args:
        parts: Modules that run for both paths at once, by name.

    Raises:
        ValueError: Names the first of them.
    """
    for where, part in parts.items():
        for name, module in part.named_modules():
            if isinstance(module, _BatchNorm):
                raise ValueError(f'{where}{"." if name else ""}{name} is a {type(module).__name__}, which would take its '
                                 'statistics over both paths of auxiliary training at once; expected none behind the place '
                                 "of insertion. Use a norm of each sample, or path='inserted'.")


class AuxiliaryHead(BaseModule):
    """Deep supervision without language blocks: a head of its own behind as many linear layers as a rectifier's mappers.

    It is the control for an added loss: what a rectifier gains beyond it is due to the blocks, or to sharing the head.

    Args:
        in_channels: Width of the features.
        hidden_channels: Width between the two linear layers: the language model's.
        head: A head like the main path's.
    """

    def __init__(self, in_channels: int, hidden_channels: int, head: nn.Module) -> None:
        super().__init__(init_cfg=trunc_normal_parts('layers'))
        self.layers = nn.Sequential(nn.Linear(in_channels, hidden_channels, bias=False), nn.GELU(),
                                    nn.Linear(hidden_channels, in_channels, bias=False))
        self.head = head

    def loss(self, features: Any, data_samples: Sequence[Any]) -> Dict[str, Tensor]:
        """The head's loss of features ``(B, C)``."""
        return self.head.loss(map_tensors(self._run, features), data_samples)

    def _run(self, x: Tensor) -> Tensor:
        if x.ndim != 2:
            raise ValueError(f'AuxiliaryHead: found features of shape {tuple(x.shape)}; expected pooled ones, (B, C). Set '
                             "the backbone's out_type to cls_token or avg_featmap.")
        return self.layers(x)


def side_by_side(tokens: Tensor, changed: Tensor) -> Tensor:
    """Tokens of both paths as one batch ``(2B, N, C)``."""
    return torch.cat((tokens, changed))
