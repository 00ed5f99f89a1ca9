"""InfoNCELoss: the textbook's formula, whatever the size of its blocks."""
import math

import pytest
import torch
import torch.nn.functional as F

from lbbt_mm.models.losses import InfoNCELoss
from lbbt_mm.models.losses.info_nce_loss import _InfoNCE
from lbbt_mm.registry import MODELS
from tests.closeness import assert_close


def unit(*shape: int) -> torch.Tensor:
    return F.normalize(torch.randn(*shape), dim=-1).requires_grad_()


def textbook(image, text, scale):
    logits = scale * image @ text.t()
    labels = torch.arange(len(logits))
    return (F.cross_entropy(logits, labels) + F.cross_entropy(logits.t(), labels)) / 2


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.mark.parametrize('chunk_size', [1, 7, 20, 1024])
@pytest.mark.parametrize('scale', [14.29, 80.])
def test_loss_and_gradients_are_the_textbook_s(chunk_size, scale):
    image, text = unit(20, 6), unit(20, 6)
    loss = InfoNCELoss(scale, learn_scale=True, chunk_size=chunk_size)
    found, expected = loss(image, text), textbook(image, text, loss.scale)
    assert_close(found, expected)
    parts = image, text, loss.log_scale
    for ours, theirs in zip(torch.autograd.grad(3 * found, parts), torch.autograd.grad(3 * expected, parts)):
        assert_close(ours, theirs, depth=2)


def test_the_gradient_is_that_of_finite_differences():
    """Which no formula of ours is in; in float64 the function is exact enough for it."""
    parts = torch.randn(5, 3), torch.randn(5, 3), torch.tensor(3.)
    image, text, scale = (part.double().requires_grad_() for part in parts)
    torch.autograd.gradcheck(lambda *parts: _InfoNCE.apply(*parts, 2, False), (image, text, scale), rtol=1e-5, atol=1e-7)


def test_chunked_equals_whole_at_a_thousand_pairs():
    image, text = unit(1000, 64), unit(1000, 64)
    whole, chunked = (InfoNCELoss(chunk_size=size)(image, text) for size in (1000, 96))
    assert abs(whole - chunked) < 1e-5
    for ours, theirs in zip(*(torch.autograd.grad(value, (image, text)) for value in (whole, chunked))):
        assert (ours - theirs).abs().max() < 1e-5 * theirs.abs().max()


def test_pairs_that_all_look_alike_cost_the_logarithm_of_their_number():
    same = F.normalize(torch.ones(8, 3), dim=-1)
    assert InfoNCELoss()(same, same).item() == pytest.approx(math.log(8), rel=1e-6)


def test_a_large_scale_does_not_overflow():
    image = unit(4, 6)
    loss = InfoNCELoss(100.)(image, -image)
    assert loss.isfinite() and loss > 50


def test_a_fixed_scale_is_no_parameter_and_stands_in_checkpoints_as_a_learned_one_does():
    fixed, learned = InfoNCELoss(), InfoNCELoss(5., learn_scale=True)
    assert not list(fixed.parameters()) and [name for name, _ in learned.named_parameters()] == ['log_scale']
    fixed.load_state_dict(learned.state_dict())
    assert fixed.scale.item() == pytest.approx(5)


def test_a_learned_scale_stays_below_clip_s_bound():
    loss = InfoNCELoss(99., learn_scale=True)
    with torch.no_grad():
        loss.log_scale += 3
    assert loss.scale.item() == pytest.approx(100)


def test_its_config_is_the_same_loss():
    image, text = unit(6, 4), unit(6, 4)
    loss = InfoNCELoss(7., learn_scale=True)
    with torch.no_grad():
        loss.log_scale += 0.5
    assert_close(MODELS.build(loss.config())(image, text), loss(image, text))


def test_autocast_does_not_coarsen_the_logits():
    image, text = unit(20, 6), unit(20, 6)
    with torch.autocast('cpu', torch.bfloat16):
        found = InfoNCELoss()(image.bfloat16(), text.bfloat16())
    assert found.dtype == torch.float32
    assert_close(found, textbook(image.bfloat16().float(), text.bfloat16().float(), 14.29))


@pytest.mark.parametrize('settings, message', [
    (dict(scale=0), 'scale=0; expected a number above 0'), (dict(scale=float('nan')), 'scale=nan'),
    (dict(chunk_size=0), 'chunk_size=0; expected a whole number, 1 or more'), (dict(chunk_size=1.5), 'chunk_size=1.5')])
def test_settings_that_cannot_be(settings, message):
    with pytest.raises(ValueError, match=message):
        InfoNCELoss(**settings)


@pytest.mark.parametrize('shapes', [((4, 3), (5, 3)), ((4, 3), (4, 2)), ((0, 3), (0, 3)), ((3, ), (3, ))])
def test_images_and_texts_that_do_not_fit(shapes):
    with pytest.raises(ValueError, match=r'expected two equal shapes \(N, D\)'):
        InfoNCELoss()(*(torch.zeros(shape) for shape in shapes))
