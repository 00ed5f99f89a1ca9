"""The network of Theorem 4.1: one step of it in closed form, and what the theorem says of many."""
import math

import numpy as np
import pytest
import torch

from lbbt_mm.analysis.alignment import align, eigenspaces, second_moment, transfer
from lbbt_mm.analysis.gaussian_network import GaussianNetwork, train_on_random_labels

SMALL = GaussianNetwork(dimensions=6, samples=200, width=64, batch_size=20)


def last(network, seed, steps):
    return list(train_on_random_labels(network, seed, (steps, )))[-1]


def test_one_step_of_a_linear_network_from_zero():
    """All logits are 0 then, so that E[w w^T] = (lr s)^2 (1 - 1/c) / N Sigma_x for output weights of deviation s.

    Row j moves by lr/N sum_i (a_j^T r_i) x_i with r_i = onehot(y_i) - 1/c, whose covariance is (I - 1 1^T / c) / c, and
    random labels make r_i and x_i independent: the transfer function is tau = lr s sqrt((1 - 1/c) / N) sigma.
    """
    network = SMALL._replace(activation='linear', start_std=0., samples=0, batch_size=50, classes=4, lr=0.3)
    moments = torch.stack([second_moment(last(network, seed, 1).weights) for seed in range(600)])
    expected = 0.3**2 / 64 * (1 - 1 / 4) / 50 * torch.diag(network.sigma**2)
    error = moments.std(0) / math.sqrt(len(moments))
    assert ((moments.mean(0) - expected).abs() < 4.5 * error).all()
    assert (error.diagonal() < 0.06 * expected.diagonal()).all(), 'so close that a wrong factor would be seen'


def test_the_start_is_isotropic():
    weights = torch.cat([last(SMALL, seed, 0).weights for seed in range(50)])
    torch.testing.assert_close(second_moment(weights), torch.eye(6, dtype=torch.float64) / 6, atol=0.02, rtol=0)


def test_alignment_rises_and_random_labels_are_learned():
    network, spaces = GaussianNetwork(dimensions=12, samples=200, width=256), None
    rises = []
    for seed in range(3):
        first, end = train_on_random_labels(network, seed, (0, 1000))
        spaces = spaces or eigenspaces(torch.diag(network.sigma**2))
        before, after = (align(second_moment(snapshot.weights), spaces) for snapshot in (first, end))
        rises.append(after.alignment - before.alignment)
        assert first.accuracy < 0.3 and end.accuracy > 0.9 and after.alignment > after.high
    assert min(rises) > 0.05


def test_what_the_inputs_do_not_vary_in_stays_as_it_was():
    """Directions of almost no variance get almost no gradient: the update lies where the inputs do."""
    network = SMALL._replace(largest=1., smallest=1e-4)
    first, end = train_on_random_labels(network, 0, (0, 100))
    tau = transfer(second_moment(end.weights - first.weights), eigenspaces(torch.diag(network.sigma**2)))
    assert tau[-1] < 1e-3 * tau[0]


def test_the_same_seed_is_the_same_training():
    one, again, other = (last(SMALL, seed, 20).weights for seed in (3, 3, 4))
    assert torch.equal(one, again) and not torch.equal(one, other)


def test_inputs_can_be_new_at_each_step():
    snapshot = last(SMALL._replace(samples=0), 0, 5)
    assert math.isnan(snapshot.accuracy) and torch.isfinite(snapshot.weights).all()


@pytest.mark.parametrize('change', (dict(activation='gelu'), dict(optimizer='adam', lr=1e-3)))
def test_other_activations_and_optimizers_train(change):
    first, end = train_on_random_labels(SMALL._replace(**change), 0, (0, 300))
    assert end.accuracy > first.accuracy and np.isfinite(end.weights.numpy()).all()
