"""Answers of a quadratic loss to noise and to steps, for which there are formulas."""
import math

import pytest
import torch

from lbbt_mm.analysis.parameter_space import first_not_finite
from lbbt_mm.analysis.sensitivity import gradient_predictiveness, noise_area, noise_curve, parameter_sensitivity

WEIGHTS = dict(a=torch.tensor([3., -1., 2.]), b=torch.tensor([[0.5, -2.]]))
CURVATURE = dict(a=torch.tensor([1., 4., 0.]), b=torch.tensor([[10., -3.]]))


class Quadratic:
    """L = sum of h theta^2 / 2, whose gradient is h theta."""

    def __init__(self):
        self.parameters = {name: tensor.clone() for name, tensor in WEIGHTS.items()}

    def loss(self):
        return float(sum((CURVATURE[name] * tensor**2).sum() / 2 for name, tensor in self.parameters.items()))

    def gradient(self):
        return {name: CURVATURE[name] * tensor for name, tensor in self.parameters.items()}

    def is_as_it_was(self):
        return all(torch.equal(self.parameters[name], WEIGHTS[name]) for name in WEIGHTS)


def test_noise_adds_half_the_curvature_times_its_variance():
    quadratic, scales = Quadratic(), [0.1, 0.2, 0.4]
    curves = torch.tensor([noise_curve(quadratic.loss, quadratic.parameters, scales, torch.Generator().manual_seed(seed))
                           for seed in range(2000)])
    each = sum(float(CURVATURE[name].sum() * WEIGHTS[name].square().mean()) for name in WEIGHTS) / 2
    expected = torch.tensor([each * scale**2 for scale in scales])
    torch.testing.assert_close(curves.mean(0), expected, rtol=0.1, atol=0)
    assert quadratic.is_as_it_was()


def test_noise_has_a_mirror_image():
    """A linear loss: what one adds the other takes away, in each draw."""
    parameters = dict(a=torch.ones(5))
    curve = noise_curve(lambda: float(parameters['a'].sum()), parameters, [0.5], torch.Generator())
    assert curve[0] == pytest.approx(0, abs=1e-6)


def test_the_area_of_a_parabola():
    scales = torch.linspace(0, 0.3, 301)[1:].tolist()
    assert noise_area(scales, [2 * scale**2 for scale in scales]) == pytest.approx(2 * 0.3**2 / 3, rel=1e-4)
    assert noise_area([0.5], [3.]) == 1.5


def test_the_gradient_changes_by_the_hessian_times_the_step():
    quadratic = Quadratic()
    first = torch.cat([part.flatten() for part in quadratic.gradient().values()])
    curvature, theta = (torch.cat([part.flatten() for part in tensors.values()]) for tensors in (CURVATURE, WEIGHTS))
    changes, cosines = [], []
    for length in (0.01, 0.02):
        second = first - length * theta.norm() / first.norm() * curvature * first
        changes.append(float((second - first).norm() / first.norm()))
        cosines.append(float(torch.nn.functional.cosine_similarity(second, first, dim=0)))
    change, cosine = gradient_predictiveness(quadratic.gradient, quadratic.parameters, [0.01, 0.02])
    assert change == pytest.approx(sum(changes) / 2, rel=1e-4)
    assert cosine == pytest.approx(sum(cosines) / 2, rel=1e-4)
    assert quadratic.is_as_it_was()


def test_without_a_gradient_there_is_nothing_to_predict():
    parameters = dict(a=torch.ones(2))
    assert all(map(math.isnan, gradient_predictiveness(lambda: dict(a=torch.zeros(2)), parameters, [0.1])))


def test_the_most_sensitive_parameter():
    assert parameter_sensitivity(Quadratic().gradient()) == dict(a=4., b=6.)


def test_the_first_tensor_that_is_not_finite():
    assert first_not_finite(dict(a=torch.ones(1), b=torch.tensor([1., math.inf]), c=torch.tensor(math.nan))) == 'b'
    assert first_not_finite(WEIGHTS) == ''
