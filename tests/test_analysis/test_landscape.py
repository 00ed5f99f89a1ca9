"""The plane of figure 4: directions, losses and what is counted on it."""
import pytest
import torch

from lbbt_mm.analysis.landscape import (GROUPS, local_minima, orthogonal_direction, plane_losses, training_direction,
                                        unit_direction)
from lbbt_mm.analysis.parameter_space import parameters_kept

START = dict(conv=torch.randn(4, 3, 2), bias=torch.randn(4), scalar=torch.ones(1), frozen=torch.ones(2))
END = dict(START, conv=START['conv'] + torch.randn(4, 3, 2), bias=START['bias'] + 1., scalar=torch.tensor([3.]))


def flat(tensors):
    return torch.cat([tensor.flatten() for tensor in tensors.values()])


def draw(like='step', by='layer', seed=0):
    step = training_direction(START, END)
    return step, orthogonal_direction(step, step if like == 'step' else START, by, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize('like', ['step', 'weights'])
@pytest.mark.parametrize('by', GROUPS)
def test_the_second_direction_is_orthogonal_after_it_is_scaled(by, like):
    step, other = draw(like, by)
    assert list(other) == ['conv', 'bias', 'scalar']
    assert abs(flat(step) @ flat(other)) < 1e-5 * flat(step).norm() * flat(other).norm()
    assert flat(other).norm() > 0.5


def test_each_tensor_of_the_second_direction_is_as_long_as_the_first_s():
    step, other = draw(by='layer')
    for name in ('conv', 'bias'):
        torch.testing.assert_close(other[name].norm(), step[name].norm())
        assert abs((other[name] * step[name]).sum()) < 1e-5
    assert other['scalar'] == 0  # nothing is orthogonal to a number


def test_each_filter_of_the_second_direction_is_as_long_as_the_weights():
    """Li et al., section 4."""
    step, other = draw('weights', 'filter')
    torch.testing.assert_close(other['conv'].flatten(1).norm(dim=1), START['conv'].flatten(1).norm(dim=1))
    torch.testing.assert_close(other['bias'].norm(), START['bias'].norm())
    assert (other['conv'] * step['conv']).flatten(1).sum(1).abs().max() < 1e-5


def test_as_a_whole_the_second_direction_is_as_long_as_the_first():
    step, other = draw(by='global')
    torch.testing.assert_close(flat(other).norm(), flat(step).norm())


def test_a_filter_that_did_not_move_has_no_part_in_the_second_direction():
    end = dict(START, conv=START['conv'] + torch.tensor([1., 0., 2., 3.])[:, None, None])
    step = training_direction(START, end)
    other = orthogonal_direction(step, step, 'filter', torch.Generator().manual_seed(0))
    assert not other['conv'][1].any() and other['conv'][0].any() and not flat(other).isnan().any()


def test_directions_are_those_of_their_seed():
    assert torch.equal(flat(draw(seed=3)[1]), flat(draw(seed=3)[1]))
    assert not torch.equal(flat(draw(seed=3)[1]), flat(draw(seed=4)[1]))


def test_the_public_code_s_directions_have_norm_one():
    torch.testing.assert_close(flat(unit_direction(START, torch.Generator().manual_seed(0))).norm(), torch.tensor(1.))


def test_what_did_not_move_takes_no_part():
    assert list(training_direction(START, END)) == ['conv', 'bias', 'scalar']
    with pytest.raises(ValueError, match='no tensor differs between the two ends'):
        training_direction(START, START)


@pytest.mark.parametrize('end, found', [
    (dict(START, conv=torch.ones(4, 3)), r'^conv is \(4, 3, 2\) at one end of the direction and \(4, 3\) at the other'),
    (dict(START, extra=torch.ones(1)), '^extra is absent at one end of the direction and'),
    ({}, '^conv is .* and absent at the other'),
    (dict(START, bias=torch.tensor([1., float('nan'), 0., 0.])), '^bias has values that are not finite'),
])
def test_ends_that_make_no_direction(end, found):
    with pytest.raises(ValueError, match=found):
        training_direction(START, end)


def test_an_unknown_group():
    with pytest.raises(ValueError, match="by='row': expected one of layer, filter, global"):
        draw(by='row')


def test_losses_of_a_quadratic_are_those_of_the_formula():
    """L = |theta|^2 / 2, and sides of the same length that are orthogonal."""
    step, other = draw(by='global')
    parameters = {name: torch.nn.Parameter(START[name].clone()) for name in step}
    with parameters_kept(parameters) as origin:
        alphas = [-0.5, 0., 1., 2.]
        losses = plane_losses(lambda: 0.5 * flat(parameters).detach().square().sum(), parameters, origin, (step, other),
                              alphas, 0.75)
    theta, length = flat(origin), flat(step).square().sum()
    expected = [0.5 * theta @ theta + a * theta @ flat(step) + 0.75 * theta @ flat(other) + (a * a + 0.75**2) / 2 * length
                for a in alphas]
    torch.testing.assert_close(torch.tensor(losses), torch.stack(expected), rtol=1e-4, atol=1e-4)
    assert all(torch.equal(parameters[name], START[name]) for name in step)  # given back


def test_minima_are_inner_points_below_all_their_neighbours():
    x = torch.linspace(0, 4 * torch.pi, 41)
    waves = x.cos()[:, None] + x.cos()[None]
    assert local_minima(waves.tolist()) == 4
    assert local_minima((x[:, None] + x[None]).tolist()) == 0
    waves[10, 11] = float('nan')  # beside one of the four
    assert local_minima(waves.tolist()) == 3
