"""Low-rank updates beside frozen linear layers."""
from copy import deepcopy

import torch
from torch import nn

from lbbt_mm.models.rectifiers.low_rank import LowRankUpdates
from tests.closeness import assert_close


class Updated(nn.Module):
    """A block and its updates."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.block = nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.Linear(8, 6))
        self.plain = deepcopy(self.block)
        self.updates = LowRankUpdates(self.block, rank=2)

    def forward(self, x):
        return self.block(x)


def test_at_the_start_nothing_changes_and_names_stay():
    model, x = Updated(), torch.randn(3, 6)
    assert torch.equal(model(x), model.plain(x))
    assert model.block.state_dict().keys() == model.plain.state_dict().keys()


def test_an_update_is_the_product_of_two_thin_matrices_on_top_of_the_weight():
    model, x = Updated(), torch.randn(3, 6)
    with torch.no_grad():
        for key in model.updates.up:
            model.updates.up[key].normal_()
        for key, layer in zip(('0', '2'), (model.plain[0], model.plain[2])):
            layer.weight += model.updates.up[key] @ model.updates.down[key]
    assert torch.linalg.matrix_rank(model.plain[0].weight - model.block[0].weight, rtol=1e-4) == 2
    assert_close(model(x), model.plain(x), depth=4)


def test_a_copy_has_updates_of_its_own():
    model = Updated()
    copied = deepcopy(model)
    with torch.no_grad():
        model.updates.up['0'].normal_()
    x = torch.randn(3, 6)
    assert torch.equal(copied(x), copied.plain(x)) and not torch.equal(model(x), model.plain(x))
