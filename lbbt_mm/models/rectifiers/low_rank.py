"""Low-rank updates beside the frozen linear layers of language blocks (LoRA, arXiv 2106.09685, section 4.1)."""
from functools import partial
from typing import Tuple

import torch.nn.functional as F
from mmengine.model.weight_init import trunc_normal_
from torch import Tensor, nn


class LowRankUpdates(nn.Module):
    """Adds ``up(down(x))`` to every linear layer of a module, through hooks, so that the layers keep their names.

    The layers compute what they did before, until training has moved ``up`` from zero.

    Args:
        blocks: The module whose linear layers are updated.
        rank: Inner width of the updates.
    """

    def __init__(self, blocks: nn.Module, rank: int) -> None:
        super().__init__()
        self.down, self.up = nn.ParameterDict(), nn.ParameterDict()
        for name, layer in blocks.named_modules():
            if isinstance(layer, nn.Linear):
                key = name.replace('.', '_')
                self.down[key] = nn.Parameter(layer.weight.new_empty(rank, layer.in_features, dtype=None).float())
                self.up[key] = nn.Parameter(layer.weight.new_zeros(layer.out_features, rank).float())
                trunc_normal_(self.down[key], std=0.02)
                layer.register_forward_hook(partial(self._add, key))

    def _add(self, key: str, layer: nn.Module, inputs: Tuple[Tensor], output: Tensor) -> Tensor:
        x = inputs[0]
        return output + F.linear(F.linear(x, self.down[key].to(x.dtype)), self.up[key].to(x.dtype))
