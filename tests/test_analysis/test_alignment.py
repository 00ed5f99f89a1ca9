"""Alignment of covariances against what is known of small ones in closed form."""
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import ortho_group

from lbbt_mm.analysis.alignment import (PatchMoments, align, eigenspaces, second_moment, smoothness, transfer)


def turned(values, seed: int = 0) -> torch.Tensor:
    """A covariance with these eigenvalues, along directions that no axis is one of."""
    basis = basis_of(len(values), seed)
    return basis @ torch.diag(torch.tensor(values, dtype=torch.float64)) @ basis.T


def basis_of(size: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(ortho_group.rvs(size, random_state=seed))


class TestAlign:

    def test_the_same_eigenvectors_are_alignment_one_whatever_the_eigenvalues(self):
        spaces = eigenspaces(turned([9., 4., 1., 0.25]))
        for values in ([9., 4., 1., 0.25], [1., 2., 3., 4.], [0., 0., 5., 0.]):
            found = align(turned(values), spaces)
            assert found.alignment == pytest.approx(1, abs=1e-9) and found.overlap == pytest.approx(1, abs=1e-9)
            assert found.alignment > found.high and found.overlap > found.overlap_chance

    def test_two_dimensions_turned_by_an_angle(self):
        """The traceless part of a 2x2 covariance at angle t has cos(2t) of its length on the diagonal; chance is a half."""
        spaces = eigenspaces(torch.diag(torch.tensor([4., 1.])))
        for angle in (0., 0.3, math.pi / 4, 1.2):
            basis = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
            found = align(basis @ torch.diag(torch.tensor([3., 1.])) @ basis.T, spaces)
            assert found.alignment == pytest.approx(2 * (math.cos(2 * angle)**2 - 0.5), abs=1e-6)
            assert found.overlap == pytest.approx(max(math.cos(angle)**2, math.sin(angle)**2), abs=1e-6)

    @pytest.mark.parametrize('values', ([9., 4., 3., 2., 1., 0.5], [4., 4., 4., 1., 1., 0.], [1., 1., 1., 1., 1., 0.]))
    def test_random_rotations_are_at_zero_on_average(self, values):
        """The closed-form chance, with eigenspaces of several dimensions too."""
        spaces, weights = eigenspaces(torch.diag(torch.tensor(values))), torch.tensor([5., 3., 2., 1., 0.2, 0.1])
        found = []
        for seed in range(800):
            basis = basis_of(6, seed).float()
            found.append(align(basis @ torch.diag(weights) @ basis.T, spaces, rotations=1).alignment)
        assert abs(np.mean(found)) < 4 * np.std(found) / math.sqrt(len(found))
        high = align(torch.diag(weights), spaces, rotations=800).high
        assert np.mean(np.array(found) <= high) == pytest.approx(0.95, abs=0.03)

    def test_isotropic_weights_are_at_chance(self):
        """Their covariance differs from a multiple of the identity by the noise of 400 vectors, which has no direction."""
        spaces = eigenspaces(turned(np.logspace(1, -2, 20).tolist()))
        generator = torch.Generator().manual_seed(0)
        found = [align(second_moment(torch.randn(400, 20, generator=generator)), spaces, rotations=1).alignment
                 for _ in range(200)]
        assert abs(np.mean(found)) < 4 * np.std(found) / math.sqrt(200) < 0.02

    def test_a_multiple_of_the_identity_has_no_direction(self):
        spaces = eigenspaces(turned([3., 2., 1.]))
        for moment in (2 * torch.eye(3), torch.zeros(3, 3)):
            assert all(math.isnan(value) for value in align(moment, spaces))

    def test_scales_of_inputs_and_weights_do_not_count(self):
        moment = second_moment(torch.randn(50, 4, generator=torch.Generator().manual_seed(1)))
        first, second = (align(scale * moment, eigenspaces(scale * turned([8., 4., 2., 1.]))) for scale in (1., 1e6))
        assert first == pytest.approx(second)

    def test_inside_an_eigenspace_any_basis_will_do(self):
        """Sigma_x has eigenvalues 4, 4, 1: turning the weights in the plane of the first two changes nothing."""
        spaces = eigenspaces(torch.diag(torch.tensor([4., 4., 1.])))
        turn = torch.eye(3, dtype=torch.float64)
        turn[:2, :2] = basis_of(2, 3)
        for values in ([5., 5., 1.], [5., 2., 1.]):
            moment = torch.diag(torch.tensor(values, dtype=torch.float64))
            before, after = align(moment, spaces), align(turn @ moment @ turn.T, spaces)
            assert before[:1] == pytest.approx(after[:1]) and before.overlap == pytest.approx(after.overlap) == 1
        assert align(torch.diag(torch.tensor([5., 5., 1.])), spaces).alignment == pytest.approx(1)
        assert before.alignment < 1, 'what differs inside an eigenspace is no alignment with it'

    def test_fewer_weight_vectors_than_dimensions(self):
        """Three vectors along three of six eigenvectors are aligned; three others are as rotations are."""
        spaces = eigenspaces(turned([6., 5., 4., 3., 2., 1.], seed=5))
        found = align(second_moment(spaces.vectors[:, [0, 2, 5]].T * torch.tensor([[3.], [2.], [1.]])), spaces)
        assert found.alignment == pytest.approx(1) and found.overlap == pytest.approx(1)
        other = align(second_moment(basis_of(6, 9)[:3]), spaces, rotations=500)
        assert other.alignment < found.alignment and 0 < other.overlap < 1


    def test_weights_that_are_not_finite_are_refused(self):
        for value in (math.nan, math.inf):
            moment = second_moment(torch.tensor([[value, 1., 2.], [0., 1., 2.]]))
            with pytest.raises(ValueError, match='covariance of the weights holds NaN or infinite numbers: the training'):
                align(moment, eigenspaces(turned([3., 2., 1.])))


class TestEigenspaces:

    def test_values_sizes_and_a_basis(self):
        covariance = turned([4., 1., 1., 0.25])
        spaces = eigenspaces(covariance)
        assert spaces.values.tolist() == pytest.approx([4, 1, 0.25]) and spaces.sizes.tolist() == [1, 2, 1]
        whole = spaces.vectors @ torch.diag(spaces.values[spaces.owners]) @ spaces.vectors.T
        torch.testing.assert_close(whole, covariance)

    def test_constant_pixels_are_an_eigenspace_of_zero(self):
        images = torch.rand(10, 1, 8, 8, generator=torch.Generator().manual_seed(0))
        images[:, :, ::2] = 0.5  # half of each patch of two by two
        moments = PatchMoments((2, 2), (2, 2))
        moments.add(images)
        spaces = eigenspaces(moments.covariance())
        assert spaces.values[-1] == 0 and spaces.sizes.tolist() == [1, 1, 2]
        weights = torch.randn(64, 4, generator=torch.Generator().manual_seed(1))
        assert torch.isfinite(transfer(second_moment(weights), spaces)).all()
        assert not math.isnan(align(second_moment(weights), spaces).alignment)

    def test_what_has_no_direction_is_refused(self):
        with pytest.raises(ValueError, match='a multiple of the identity'):
            eigenspaces(2 * torch.eye(5))
        with pytest.raises(ValueError, match='a multiple of the identity'):
            eigenspaces(torch.zeros(5, 5))
        with pytest.raises(ValueError, match='NaN or infinite'):
            eigenspaces(torch.full((2, 2), math.nan))


class TestTransfer:

    def test_a_known_function_of_the_eigenvalues(self):
        """Sigma_w = Sigma_x + 3 Sigma_x^2 gives tau = sqrt(sigma^2 + 3 sigma^4)."""
        covariance = turned([4., 1., 1., 0.25])
        tau = transfer(covariance + 3 * covariance @ covariance, eigenspaces(covariance))
        assert tau.tolist() == pytest.approx([math.sqrt(52), 2, math.sqrt(0.4375)])

    def test_squares_of_tau_add_up_to_the_weights(self):
        weights = torch.randn(7, 4, generator=torch.Generator().manual_seed(0))
        spaces = eigenspaces(turned([4., 1., 1., 0.25]))
        tau = transfer(second_moment(weights), spaces)
        assert float((spaces.sizes * tau**2).sum()) == pytest.approx(float((weights**2).sum() / 7))


class TestPatchMoments:

    def test_in_the_order_of_a_convolution(self):
        """The variance of a convolution's output is w^T Sigma_x w, in batches as at once."""
        generator = torch.Generator().manual_seed(0)
        images, weight = torch.randn(6, 3, 8, 8, generator=generator), torch.randn(5, 3, 4, 4, generator=generator)
        whole, batches = PatchMoments((4, 4), (4, 4)), PatchMoments((4, 4), (4, 4))
        whole.add(images)
        for batch in images.split(4):
            batches.add(batch)
        torch.testing.assert_close(whole.covariance(), batches.covariance())
        outputs = F.conv2d(images.double(), weight.double(), stride=4).transpose(0, 1).flatten(1)
        rows = weight.flatten(1).double()
        torch.testing.assert_close(rows @ whole.covariance() @ rows.T, torch.cov(outputs))

    def test_one_patch_has_no_covariance(self):
        moments = PatchMoments((2, 2), (2, 2))
        moments.add(torch.rand(1, 1, 2, 2))
        with pytest.raises(ValueError, match='1 patches have no covariance'):
            moments.covariance()


class TestSmoothness:
    sigma = np.logspace(0.5, -2, 24)

    def test_a_cubic_of_the_logarithm_is_perfectly_smooth(self):
        x = np.log(self.sigma)
        found = smoothness(self.sigma, 2 + 0.3 * x + 0.1 * x**2 - 0.01 * x**3)
        assert found.r2 == pytest.approx(1) and found.high < 0.5 and found.p == pytest.approx(1 / 1001)

    def test_each_point_is_left_out_in_its_turn(self):
        """The hat matrix's short cut is the fit without the point."""
        tau, x = np.random.default_rng(0).random(24), np.log(self.sigma)
        missed = [tau[i] - np.polyval(np.polyfit(np.delete(x, i), np.delete(tau, i), 3), x[i]) for i in range(24)]
        expected = 1 - np.sum(np.square(missed)) / np.sum((tau - tau.mean())**2)
        assert smoothness(self.sigma, tau, permutations=1).r2 == pytest.approx(expected)

    def test_noise_is_not_smooth(self):
        ps = [smoothness(self.sigma, np.random.default_rng(seed).random(24), 200, seed).p for seed in range(40)]
        assert 0.3 < np.mean(ps) < 0.7 and min(ps) > 0.001, 'p is evenly spread'

    def test_rank_correlation(self):
        assert smoothness(self.sigma, self.sigma**3).rank == pytest.approx(1)
        assert smoothness(self.sigma, 1 / self.sigma).rank == pytest.approx(-1)

    def test_too_few_points_and_a_constant_say_nothing(self):
        for sigma, tau in ((self.sigma[:5], self.sigma[:5]), (self.sigma, np.ones(24)),
                           (np.r_[self.sigma[:5], [0.] * 9], np.arange(14.))):
            assert all(math.isnan(value) for value in smoothness(sigma, tau))

    def test_what_is_not_finite_is_not_smooth(self):
        """A comparison with NaN is False, which would make p the lowest that there is."""
        for value in (math.nan, math.inf):
            assert all(math.isnan(found) for found in smoothness(self.sigma, np.r_[value, self.sigma[1:]]))
