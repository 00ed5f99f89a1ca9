"""Weights that are held fast are buffers: they compute what parameters did, and nothing that trains looks at them."""
import torch
from torch import nn

from lbbt_mm.models.rectifiers.held_weights import checksum, hold


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 4), nn.GELU(), nn.LayerNorm(4))


def test_a_held_module_computes_the_same_and_lets_gradients_through():
    free, held = network(), network()
    hold(held)
    x, y = (torch.ones(2, 4, requires_grad=True) for _ in range(2))
    free(x).pow(3).sum().backward()
    held(y).pow(3).sum().backward()
    assert torch.equal(x.grad, y.grad) and x.grad.abs().sum() > 0
    assert not list(held.parameters()) and held.state_dict().keys() == free.state_dict().keys()


def test_a_checksum_sees_one_bit_another_type_and_another_name():
    modules = [network() for _ in range(4)]
    modules[1][0].weight.data.view(torch.int32)[0, 0] ^= 1
    modules[2].to(torch.bfloat16)
    modules[3] = nn.Sequential(nn.Identity(), *modules[3])
    for module in modules:
        hold(module)
    found = [checksum(module) for module in modules]
    assert len(set(found)) == 4
    again = network()
    hold(again)
    assert checksum(again) == found[0]
