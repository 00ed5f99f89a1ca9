"""MLPProjection: ShareLock's layers, and what of them a config changes."""
import pytest
import torch
from torch import nn

from lbbt_mm.models.projections import MLPProjection
from lbbt_mm.registry import MODELS
from tests.closeness import assert_close


def kinds(projection):
    return [type(layer).__name__ for layer in projection.layers]


def test_the_published_layers():
    projection = MODELS.build(dict(type='lbbt_mm.MLPProjection', in_channels=12, out_channels=5, hidden_channels=7))
    inner = ['Linear', 'SyncedBatchNorm', 'Dropout', 'ReLU']
    assert kinds(projection) == inner * 3 + ['Linear']
    linears = [layer for layer in projection.layers if isinstance(layer, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in linears] == [(12, 7), (7, 7), (7, 7), (7, 5)]
    assert all(layer.p == 0.2 for layer in projection.layers if isinstance(layer, nn.Dropout))


def test_the_width_between_is_4096_unless_a_config_says_another():
    with torch.device('meta'):
        count = sum(part.numel() for part in MLPProjection(4096, 1024).parameters())
    assert count == 3 * (4096 * 4096 + 4096 + 2 * 4096) + 4096 * 1024 + 1024


def test_dropout_in_front_of_a_relu_is_dropout_behind_it():
    """As the public code has it; forward and backward."""
    projection = MLPProjection(12, 5, hidden_channels=7, num_layers=2)
    linear, norm, dropout, _, last = projection.layers
    features = torch.randn(6, 12)
    results = []
    for forward in (projection, lambda features: last(dropout(norm(linear(features)).relu()))):
        torch.manual_seed(0)
        found = forward(features)
        results.append([found, *torch.autograd.grad(found.square().sum(), projection.parameters())])
    assert_close(*results)
    assert (dropout(torch.ones(100)) == 0).any()


def test_one_layer_is_a_linear_map():
    projection = MLPProjection(12, 5, num_layers=1)
    assert kinds(projection) == ['Linear']
    a, b = torch.randn(2, 3, 12)
    bias = projection.layers[0].bias
    assert_close(projection(a + b), projection(a) + projection(b) - bias, depth=2)


def test_norm_dropout_and_activation_are_the_config_s():
    projection = MLPProjection(12, 5, hidden_channels=7, num_layers=2, dropout=0, norm=False, activation='GELU')
    assert kinds(projection) == ['Linear', 'Identity', 'GELU', 'Dropout', 'Linear']
    features = torch.randn(4, 12)
    assert torch.equal(projection(features), projection(features)), 'nothing is dropped'
    slope = MLPProjection(12, 5, num_layers=2, activation=dict(type='LeakyReLU', negative_slope=0.3)).layers[2]
    assert slope.negative_slope == 0.3


def test_names_in_checkpoints_do_not_depend_on_what_is_left_out():
    full, plain = (set(MLPProjection(12, 5, num_layers=3, **settings).state_dict())
                   for settings in (dict(), dict(dropout=0, norm=False)))
    assert plain < full


def test_every_parameter_gets_a_gradient():
    projection = MLPProjection(12, 5, hidden_channels=7)
    projection(torch.randn(8, 12)).square().sum().backward()
    assert all(part.grad is not None for part in projection.parameters())


def test_in_evaluation_a_sample_does_not_depend_on_the_others():
    projection = MLPProjection(12, 5, hidden_channels=7)
    features = torch.randn(8, 12)
    projection(features)
    projection.eval()
    assert_close(projection(features[:1]), projection(features)[:1])


def test_a_batch_of_one_has_no_variance():
    with pytest.raises(ValueError, match='BatchNorm: found 1 sample in a training batch; expected at least 2'):
        MLPProjection(12, 5, hidden_channels=7)(torch.randn(1, 12))
    MLPProjection(12, 5, hidden_channels=7, norm=False)(torch.randn(1, 12))


@pytest.mark.parametrize('shape', [(3, 11), (3, 4, 12)])
def test_features_of_another_width(shape):
    with pytest.raises(ValueError, match=r'expected \(N, 12\). Set in_channels to the width of the store'):
        MLPProjection(12, 5)(torch.zeros(shape))


@pytest.mark.parametrize('settings, message', [
    (dict(num_layers=0), 'num_layers=0; expected a whole number'), (dict(in_channels=None), 'in_channels=None'),
    (dict(hidden_channels=2.5), 'hidden_channels=2.5'), (dict(dropout=1.), 'dropout=1.0; expected a number')])
def test_settings_that_cannot_be(settings, message):
    with pytest.raises(ValueError, match=message):
        MLPProjection(**{**dict(in_channels=4, out_channels=3), **settings})
