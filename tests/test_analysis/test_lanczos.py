"""Lanczos' iteration and quadratures of spectra, against dense matrices."""
import numpy as np
import pytest
import torch

from lbbt_mm.analysis.hessian import alike, kurtosis, negative_energy, negative_ratio, participation_ratio
from lbbt_mm.analysis.lanczos import Quadrature, estimate, lanczos, pooled

SIZE = 120


def matrix_of(values: torch.Tensor) -> torch.Tensor:
    """A symmetric matrix with these eigenvalues."""
    basis = torch.linalg.qr(torch.randn(len(values), len(values), dtype=torch.float64)).Q
    return basis @ torch.diag(values.double()) @ basis.T


def like_a_hessian() -> torch.Tensor:
    """Many small eigenvalues of both signs, some large ones."""
    return torch.cat([0.1 * torch.randn(SIZE - 6, dtype=torch.float64), torch.tensor([3., 5., 5.5, 9., 20., -2.])])


def draws(matrix: torch.Tensor, number: int, steps: int):
    return [lanczos(matrix, torch.randn(len(matrix), dtype=torch.float64), steps) for _ in range(number)]


def test_outer_values_are_eigenvalues_and_say_how_well():
    values = like_a_hessian()
    found = lanczos(matrix_of(values), torch.randn(SIZE, dtype=torch.float64), 30)
    dense = values.sort().values
    torch.testing.assert_close(found.values[-5:], dense[-5:], rtol=1e-4, atol=0)
    torch.testing.assert_close(found.values[0], dense[0], rtol=1e-4, atol=0)
    distance = (found.values[:, None] - dense[None]).abs().min(1).values
    assert (distance <= found.residuals + 1e-9).all()
    assert found.residuals[-1] < 1e-6 < found.residuals.max()


def test_a_large_eigenvalue_is_found_once():
    """curvlinops' iteration, which does not reorthogonalise, finds it again, and the gap would be 0."""
    papyan = pytest.importorskip('curvlinops.papyan2020traces.spectrum')
    values = torch.cat([torch.linspace(-1, 1, SIZE - 2), torch.tensor([900., 1000.])])
    matrix = matrix_of(values).float()
    ours = lanczos(matrix, torch.randn(SIZE), 40)
    theirs = papyan.fast_lanczos(matrix, 40)[0]
    assert int((ours.values > 950).sum()) == 1 and int((ours.values > 800).sum()) == 2
    assert int((theirs > 950).sum()) > 1
    torch.testing.assert_close(ours.values[-1], theirs[-1].double(), rtol=1e-5, atol=0)


def test_all_steps_find_all_eigenvalues():
    values = torch.tensor([-3., -1., 0.5, 2., 7.])
    found = lanczos(matrix_of(values), torch.randn(5, dtype=torch.float64), 50)
    torch.testing.assert_close(found.values, values.double())
    assert found.residuals.max() < 1e-8


def test_it_stops_where_its_vectors_span_all_that_is_reached():
    """Three different eigenvalues: three steps."""
    values = torch.tensor([2.] * 10 + [5.] * 7 + [0.] * 3)
    found = lanczos(matrix_of(values), torch.randn(20, dtype=torch.float64), 15)
    torch.testing.assert_close(found.values, torch.tensor([0., 2., 5.], dtype=torch.float64))
    assert not lanczos(torch.zeros(4, 4), torch.ones(4), 3).values.any()


@pytest.mark.parametrize('power', [1, 2, 3, 4])
def test_moments_of_a_quadrature_are_those_of_the_start_vector(power):
    """Of ``m`` steps, all up to ``2 m - 1`` are exact."""
    matrix, start = matrix_of(like_a_hessian()), torch.randn(SIZE, dtype=torch.float64)
    found, unit = lanczos(matrix, start, 4), start / start.norm()
    exact = unit @ torch.linalg.matrix_power(matrix, power) @ unit
    torch.testing.assert_close((found.weights * found.values**power).sum(), exact)


@pytest.mark.parametrize('measure', [kurtosis, participation_ratio, negative_ratio, negative_energy])
def test_measures_of_the_density_are_those_of_the_dense_matrix(measure):
    """Within four standard errors, which are not large."""
    values = torch.cat([torch.randn(300, dtype=torch.float64) + 1, torch.tensor([6., 8.])])
    value, error = estimate(draws(matrix_of(values), 40, 30), measure)
    dense = measure(values, alike(values))
    assert abs(value - dense) < 4 * error and error < 0.2 * abs(dense) + 0.05


def test_the_share_of_negative_eigenvalues_is_counted():
    values = torch.cat([torch.full((30, ), -1.), torch.full((70, ), 2.)])
    value, error = estimate(draws(matrix_of(values), 60, 2), negative_ratio)
    assert abs(value - 0.3) < 4 * error < 0.1


def test_the_error_is_the_jackknife_s():
    """Of a mean, that of the mean."""
    first = [Quadrature(torch.tensor([value]), torch.ones(1), torch.zeros(1)) for value in (1., 2., 6.)]
    value, error = estimate(first, lambda values, weights: float((values * weights).sum()))
    assert value == pytest.approx(3) and error == pytest.approx(np.std([1, 2, 6], ddof=1) / 3**0.5)
    assert np.isnan(estimate(first[:1], lambda values, weights: 1.)[1])
    assert pooled(first)[1].sum() == pytest.approx(1)


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_a_product_that_is_not_finite_is_refused(value):
    with pytest.raises(ValueError, match='a product with its Hessian is not finite; expected numbers'):
        lanczos(torch.diag(torch.tensor([1., value])), torch.ones(2), 2)
