"""Neuron activation ratios against the formulas written out, and what control images keep of real ones."""
import math

import pytest
import torch

from lbbt_mm.analysis.activation import VARIANTS, ActivationRatio, control_images, summarise


def activations(images=7, tokens=5, neurons=11):
    return torch.randn(images, tokens, neurons) + 0.3 * torch.randn(neurons)


def counted(variant, *batches, tokens=None):
    ratio = ActivationRatio(variant)
    for batch in batches:
        ratio.add(batch, tokens)
    return ratio


def test_the_paper_s_ratio_is_equations_5_and_6():
    hidden = activations()
    active = 0
    for image in hidden:
        for neuron in range(11):
            active += sum(float(image[token, neuron]) for token in range(5)) / 5 > 0
    assert counted('paper', hidden).summary()['ratio'] == pytest.approx(active / (7 * 11))


def test_the_public_code_s_ratio_is_that_of_its_lines():
    output = activations()
    magnitude = torch.abs(output).mean(dim=1)
    expected = (magnitude > magnitude.mean() * 0.6).float().mean(dim=0)
    ratio = counted('public', output)
    assert torch.allclose(ratio.rates().float(), expected) and 0 < ratio.summary()['ratio'] < 1


@pytest.mark.parametrize('variant', VARIANTS)
def test_batches_make_no_difference(variant):
    hidden = activations()
    hidden[:3] *= 5  # batches of another scale: the public threshold is that of all images
    whole, parts = counted(variant, hidden), counted(variant, hidden[:3], hidden[3:4], hidden[4:])
    assert torch.equal(whole.rates(), parts.rates()) and whole.images == parts.images == 7


@pytest.mark.parametrize('variant', VARIANTS)
def test_padding_does_not_count(variant):
    hidden = activations(images=2)
    real = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    padded = hidden.clone()
    padded[1, 3:] = 100.
    apart = counted(variant, hidden[:1], hidden[1:, :3])
    assert torch.equal(counted(variant, padded, tokens=real).rates(), apart.rates())


@pytest.mark.parametrize('variant', VARIANTS)
@pytest.mark.parametrize('value', (math.nan, math.inf))
def test_what_is_not_finite_gives_no_number(variant, value):
    broken = activations()
    broken[2, 1, 4] = value
    assert all(math.isnan(number) for number in counted(variant, activations(), broken).summary().values())


def test_a_neuron_at_rest_is_not_active():
    """As all of a ReLU's that its input does not reach."""
    hidden = torch.zeros(2, 3, 4)
    hidden[1, 2, 0] = 1e-6
    assert counted('paper', hidden).rates().tolist() == [0.5, 0, 0, 0]


def test_without_images_there_is_no_ratio():
    with pytest.raises(ValueError, match='no image was counted; expected one at least'):
        ActivationRatio().rates()


@pytest.mark.parametrize('rates, expected', [
    # three of four neurons are on or off whatever the image; the variance within is 0.25 / 4, the whole 0.625 * 0.375
    ([1., 1., 0., 0.5], dict(ratio=0.625, always=0.5, never=0.25, between_images=0.0625 / (0.625 * 0.375))),
    ([0.5, 0.5], dict(ratio=0.5, always=0., never=0., between_images=1.)),
    ([1., 0.], dict(ratio=0.5, always=0.5, never=0.5, between_images=0.)),
])
def test_the_summary_says_how_much_differs_from_image_to_image(rates, expected):
    assert summarise(torch.tensor(rates, dtype=torch.float64)) == pytest.approx(expected)


def test_where_no_pair_differs_there_is_no_variance_to_divide():
    assert math.isnan(summarise(torch.ones(3, dtype=torch.float64))['between_images'])


def generator():
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize('shape', ((4, 3, 6, 5), (3, 6, 5)))
def test_pixels_are_the_image_s_own_in_other_places(shape):
    images = torch.randint(0, 256, shape, dtype=torch.uint8)
    found = control_images(images, 'pixels', generator())
    assert found.shape == images.shape and found.dtype == torch.uint8 and not torch.equal(found, images)

    def colours(image):
        return sorted(map(tuple, image.flatten(1).T.tolist()))

    for real, other in zip(images.reshape(-1, 3, 6, 5), found.reshape(-1, 3, 6, 5)):
        assert colours(real) == colours(other), 'whole pixels, of the same image'


def test_noise_has_the_mean_deviation_and_range_of_each_channel():
    images = (torch.tensor([60., 120., 180.])[:, None, None] + 10 * torch.randn(2, 3, 64, 64)).round().to(torch.uint8)
    found = control_images(images, 'noise', generator())
    assert found.dtype == torch.uint8 and not torch.equal(found, images)
    for statistic, tolerance in ((torch.mean, 1.), (torch.std, 1.)):
        assert torch.allclose(statistic(found.float(), (-1, -2)), statistic(images.float(), (-1, -2)), atol=tolerance)
    assert (found.amax((-1, -2)) <= images.amax((-1, -2))).all() and (found.amin((-1, -2)) >= images.amin((-1, -2))).all()


def test_constant_images_are_the_mean_colour():
    images = torch.randn(2, 3, 4, 4)
    found = control_images(images, 'constant', generator())
    assert torch.allclose(found, images.mean((-1, -2), keepdim=True).expand_as(images))


def test_real_images_are_as_they_are_and_others_have_a_name():
    images = torch.randn(1, 3, 2, 2)
    assert control_images(images, 'real', generator()) is images
    with pytest.raises(ValueError, match="Images 'blurred': expected one of real, pixels, noise, constant"):
        control_images(images, 'blurred', generator())


def test_the_same_seed_draws_the_same_images():
    images = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)
    for kind in ('pixels', 'noise'):
        assert torch.equal(control_images(images, kind, generator()), control_images(images, kind, generator()))
