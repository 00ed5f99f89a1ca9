"""SigmoidPairLoss: the formula of SigLIP, whatever the size of its blocks."""
import pytest
import torch
import torch.nn.functional as F

from lbbt_mm.models.losses import SigmoidPairLoss
from lbbt_mm.registry import MODELS
from tests.closeness import assert_close


def unit(*shape: int) -> torch.Tensor:
    return F.normalize(torch.randn(*shape), dim=-1).requires_grad_()


def published(image, text, scale, bias):
    """Algorithm 1 of 2303.15343."""
    logits = scale * image @ text.t() + bias
    labels = 2 * torch.eye(len(logits)) - 1
    return -F.logsigmoid(labels * logits).sum() / len(logits)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.mark.parametrize('chunk_size', [1, 7, 20, 1024])
@pytest.mark.parametrize('settings', [dict(), dict(scale=3., bias=0.5)])
def test_loss_and_gradients_are_the_published_formula_s(chunk_size, settings):
    image, text = unit(20, 6), unit(20, 6)
    loss = SigmoidPairLoss(**settings, learn_scale=True, chunk_size=chunk_size)
    found, expected = loss(image, text), published(image, text, loss.scale, loss.bias)
    assert_close(found, expected)
    parts = image, text, loss.log_scale, loss.bias
    for ours, theirs in zip(torch.autograd.grad(3 * found, parts), torch.autograd.grad(3 * expected, parts)):
        assert_close(ours, theirs, depth=2)


def test_a_large_scale_does_not_overflow():
    image = unit(4, 6)
    loss = SigmoidPairLoss(1000.)(image, -image)
    assert loss.isfinite() and loss > 500


def test_its_config_is_the_same_loss():
    image, text = unit(6, 4), unit(6, 4)
    loss = SigmoidPairLoss(7., -3.)
    assert_close(MODELS.build(loss.config())(image, text), loss(image, text))


def test_scale_and_bias_are_fixed_unless_they_are_to_be_learned():
    assert not list(SigmoidPairLoss().parameters())
    assert {name for name, _ in SigmoidPairLoss(learn_scale=True).named_parameters()} == {'log_scale', 'bias'}


@pytest.mark.parametrize('settings, message', [(dict(scale=-1), 'scale=-1; expected a number above 0'),
                                               (dict(bias=None), 'bias=None; expected a number')])
def test_settings_that_cannot_be(settings, message):
    with pytest.raises(ValueError, match=message):
        SigmoidPairLoss(**settings)
