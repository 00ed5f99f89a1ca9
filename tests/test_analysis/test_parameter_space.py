"""Points of a parameter space are written in place, and a model gets its own back."""
import pytest
import torch
from torch import nn

from lbbt_mm.analysis.parameter_space import first_not_finite, parameters_kept, write_point


@pytest.fixture
def parameters():
    torch.manual_seed(0)
    return dict(nn.Linear(3, 2).named_parameters())


def test_a_point_is_the_origin_and_steps_along_directions(parameters):
    origin = {name: torch.ones_like(parameter) for name, parameter in parameters.items()}
    both = {name: torch.full_like(parameter, 2.) for name, parameter in parameters.items()}
    places = {name: parameter.data_ptr() for name, parameter in parameters.items()}
    write_point(parameters, origin, (3., both), (-1., {'bias': both['bias']}))
    assert parameters['weight'].eq(7.).all(), 'a direction that lacks a tensor leaves it'
    assert parameters['bias'].eq(5.).all()
    assert places == {name: parameter.data_ptr() for name, parameter in parameters.items()}, 'written in place'
    assert origin['weight'].eq(1.).all() and both['bias'].eq(2.).all()


@pytest.mark.parametrize('fails', [False, True])
def test_parameters_get_their_values_back(parameters, fails):
    before = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    with pytest.raises(RuntimeError) if fails else torch.no_grad():
        with parameters_kept(parameters) as origin:
            write_point(parameters, origin, (1., origin))
            assert torch.equal(parameters['weight'], 2 * before['weight'])
            if fails:
                raise RuntimeError
    for name, tensor in before.items():
        assert torch.equal(parameters[name], tensor) and parameters[name].requires_grad


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_the_first_tensor_with_a_number_that_is_not_finite_is_named(value):
    tensors = dict(a=torch.ones(2), b=torch.tensor([0., value]), c=torch.tensor([value]))
    assert first_not_finite(tensors) == 'b'
    assert first_not_finite(dict(a=tensors['a'])) == ''
