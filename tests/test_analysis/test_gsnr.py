"""The gradient signal-to-noise ratio, against Eqs. 2 and 3 written out, and what it is without a signal."""
import math

import pytest
import torch

from lbbt_mm.analysis.gsnr import GradientMoments, Gsnr, block_gsnr, gsnr_floor, mean_gsnr

SHAPES = (4, 3), (5, )


def moments_of(gradients, chunk=None, one_by_one=False):
    """Moments of gradients ``(B, *shape)``, added in chunks, or one after another in the same memory."""
    moments = GradientMoments(gradients[0])
    for rows in gradients.split(chunk or len(gradients)):
        buffer = torch.empty_like(rows[0])
        moments.add([(..., (buffer.copy_(row) for row in rows))] if one_by_one else rows.clone())
    return moments


def by_equations(blocks):
    """Eq. 2 for each parameter, and the mean of Eq. 3 over those of a block, in float64."""
    ratios = []
    for gradients in blocks:
        mean, mean_of_squares = gradients.double().mean(0), gradients.double().square().mean(0)
        ratios.append((mean.square() / (mean_of_squares - mean.square())).flatten())
    return float(torch.cat(ratios).mean())


@pytest.mark.parametrize('way', (dict(), dict(chunk=4), dict(one_by_one=True), dict(chunk=3, one_by_one=True)))
def test_a_block_has_the_ratio_of_the_equations(way):
    gradients = [torch.randn(10, *shape) + 0.3 for shape in SHAPES]
    found = block_gsnr(moments_of(part, **way) for part in gradients)
    assert found.gsnr == pytest.approx(by_equations(gradients), rel=1e-5)
    assert found.floor == 1 / 7 and found.corrected == found.gsnr - 1 / 7 and found.scaled == 10 * found.gsnr
    assert (found.parameters, found.zero_variance) == (17, 0)


def test_the_mean_and_variance_of_two_ranks_are_those_of_all_samples():
    gradients = torch.randn(10, 4, 3) + 0.5
    one, other = moments_of(gradients[:6]), moments_of(gradients[6:])
    mean = gradients.double().mean(0)
    squares = other.squares + 4 * (other.mean - mean).square()
    theirs = iter((torch.tensor(4.), 4 * other.mean, squares))
    one.join_ranks(lambda tensor: tensor + next(theirs).double())
    assert one.count == 10
    torch.testing.assert_close(one.mean, mean.float())
    torch.testing.assert_close(one.squares, (gradients.double() - mean).square().sum(0).float())


@pytest.mark.parametrize('one_by_one', (False, True))
def test_gradients_far_from_zero_keep_their_variance(one_by_one):
    """E(g^2) - E(g)^2 in float32 has no digit left there."""
    gradients = 1000 + torch.randn(64, 50)
    naive = gradients.square().mean(0) - gradients.mean(0).square()
    exact = gradients.double().var(0, correction=0)
    assert ((naive - exact).abs() / exact).max() > 0.05
    moments = moments_of(gradients, 16, one_by_one)
    torch.testing.assert_close((moments.squares / 64).double(), exact, rtol=1e-4, atol=0)


@pytest.mark.parametrize('way', (dict(), dict(chunk=3), dict(one_by_one=True)))
def test_parameters_whose_samples_agree_are_counted_apart(way):
    """Of three thirds in float32 the sum is not three times a third; the variance is 0 all the same."""
    varied = torch.randn(7, 2)
    gradients = torch.cat([varied, torch.full((7, 1), 0.1), torch.full((7, 1), 1 / 3), torch.zeros(7, 1)], dim=1)
    found = block_gsnr([moments_of(gradients, **way)])
    assert (found.parameters, found.zero_variance) == (5, 3)
    assert found.gsnr == pytest.approx(by_equations([varied]), rel=1e-5)


def test_a_block_without_any_variance_has_no_ratio():
    found = block_gsnr([moments_of(torch.ones(5, 4))])
    assert math.isnan(found.gsnr) and math.isnan(found.corrected) and (found.parameters, found.zero_variance) == (4, 4)


def test_what_is_not_a_number_shows():
    gradients = torch.randn(5, 4)
    gradients[2, 1] = float('nan')
    found = block_gsnr([moments_of(gradients)])
    assert math.isnan(found.gsnr) and found.zero_variance == 0


@pytest.mark.parametrize('batch_size', (8, 32, 256))
def test_gradients_without_a_signal_lie_at_the_floor(batch_size):
    found = block_gsnr([moments_of(torch.randn(batch_size, 100_000), 32)])
    assert found.floor == 1 / (batch_size - 3)
    assert found.gsnr == pytest.approx(found.floor, rel=0.03)
    assert abs(found.corrected) < 0.03 * found.floor
    assert found.scaled == pytest.approx(batch_size / (batch_size - 3), rel=0.03)


@pytest.mark.parametrize('name', ('heavy tails', 'mostly zero', 'signs', 'one sample each'))
def test_no_distribution_without_a_signal_lies_below_one_over_b_minus_1(name):
    """The paper's values do, by factors of 10 and more."""
    sign = torch.randn(16, 100_000).sign()
    drawn = torch.rand(16, 100_000)
    size = {'heavy tails': drawn**-2, 'mostly zero': (drawn < 0.1).float(), 'signs': torch.ones_like(drawn),
            'one sample each': torch.eye(16).repeat(1, 6250)}[name]
    found = block_gsnr([moments_of(sign * size)])
    assert found.gsnr > 0.99 / 15
    if name == 'one sample each':
        assert found.gsnr == pytest.approx(1 / 15, rel=1e-4)


@pytest.mark.parametrize('batch_size', (1, 3))
def test_three_samples_are_too_few(batch_size):
    message = f'over {batch_size} samples: .* no finite ratio there; expected 4 samples or more in a batch. Take a larger'
    with pytest.raises(ValueError, match=message):
        block_gsnr([moments_of(torch.randn(batch_size, 5))])
    assert gsnr_floor(4) == 1


def test_an_epoch_has_the_mean_of_its_batches():
    batches = [Gsnr(0.5, 0.2, 0.3, 4., 17, 0), Gsnr(0.1, 0.2, -0.1, 0.8, 17, 3)]
    found = mean_gsnr(batches)
    assert found == Gsnr(pytest.approx(0.3), 0.2, pytest.approx(0.1), pytest.approx(2.4), 17, 1.5)


def test_a_batch_without_any_variance_is_not_in_the_mean():
    """As the first one of a network whose head starts at zero."""
    nothing = block_gsnr([moments_of(torch.zeros(8, 5, 1))])
    assert math.isnan(nothing.gsnr) and nothing.zero_variance == nothing.parameters == 5
    other = Gsnr(0.5, 0.2, 0.3, 4., 5, 1)
    assert mean_gsnr([nothing, other]) == Gsnr(0.5, 0.2, 0.3, 4., 5, 3)
    assert math.isnan(mean_gsnr([nothing, nothing]).gsnr)
    diverged = Gsnr(float('nan'), 0.2, float('nan'), float('nan'), 5, 0)
    assert math.isnan(mean_gsnr([diverged, other]).gsnr), 'what is not a number shows'
