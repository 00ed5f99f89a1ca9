"""SyncedBatchNorm: torch's batch norm with one process; with several see test_sharelock_over_ranks.py."""
import pytest
import torch
from torch import nn

from lbbt_mm.models.layers import synced_batch_norm
from lbbt_mm.models.layers.synced_batch_norm import SyncedBatchNorm
from tests.closeness import assert_close


@pytest.fixture
def as_if_one_of_several(monkeypatch):
    """The path of several ranks, whose sums over ranks are this process's own."""
    monkeypatch.setattr(synced_batch_norm, 'get_world_size', lambda: 2)


@pytest.mark.parametrize('affine', [True, False])
def test_the_path_of_several_ranks_is_torch_s_batch_norm(affine, as_if_one_of_several):
    torch.manual_seed(0)
    features = torch.randn(9, 4) * 3 + 100
    ours, theirs = SyncedBatchNorm(4, affine=affine), nn.BatchNorm1d(4, affine=affine)
    if affine:
        with torch.no_grad():
            ours.weight.uniform_(0.5, 2)
            ours.bias.normal_()
        theirs.load_state_dict(ours.state_dict())
    of_ours, of_theirs = (features.clone().requires_grad_() for _ in range(2))
    direction = torch.randn(9, 4)
    found, expected = ours(of_ours), theirs(of_theirs)
    assert_close(found, expected, terms=9, size=100)
    (found * direction).sum().backward()
    (expected * direction).sum().backward()
    assert_close(of_ours.grad, of_theirs.grad, size=10)
    for (name, mine), other in zip(ours.named_parameters(), theirs.parameters()):
        assert_close(mine.grad, other.grad, size=100, msg=name)
    for name, value in theirs.state_dict().items():
        assert_close(ours.state_dict()[name], value, msg=name)


def test_a_cumulative_average(as_if_one_of_several):
    ours, theirs = SyncedBatchNorm(4, momentum=None), nn.BatchNorm1d(4, momentum=None)
    for features in torch.randn(3, 5, 4):
        ours(features)
        theirs(features)
    assert_close(ours.running_var, theirs.running_var)
    assert_close(ours.running_mean, theirs.running_mean, size=1)


def test_what_is_not_synced_is_each_rank_s_own(as_if_one_of_several, monkeypatch):
    monkeypatch.setattr(synced_batch_norm, 'all_reduce', None)
    SyncedBatchNorm(4, synced=False)(torch.randn(5, 4))
    SyncedBatchNorm(4).eval()(torch.randn(5, 4))
