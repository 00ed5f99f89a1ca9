"""The Hessian's numbers as a table: what was not found is a gap with its reason."""
import math

import pandas as pd
import pytest
import torch

from lbbt_mm.analysis.lanczos import Quadrature

pytest.importorskip('curvlinops')
from lbbt_mm.figures import hessian, hessian_numbers  # noqa: E402


def test_of_a_gap_in_one_run_there_is_no_mean():
    frame = pd.DataFrame(dict(label='a', checkpoint=list('pqr'), measure='m', of='x', value=[1., 3., math.nan],
                              standard_error=0.))
    assert hessian_numbers.summarise(frame)['a'].tolist() == ['-']
    assert hessian_numbers.summarise(frame[:2])['a'].tolist() == ['2 ± 1.4']


def spectrum(values, residuals=0.):
    values = torch.tensor(values, dtype=torch.float64)
    return Quadrature(values, torch.full_like(values, 1 / len(values)), torch.zeros_like(values) + torch.tensor(residuals))


@pytest.mark.parametrize('values, residuals, leading, given, note', [
    ([-5., -1., 1., 2., 4.], 0., 3, 'decay gap leading', ''),
    ([-5., -1., 1., 2., 4.], 0., 4, 'gap leading', '3 found; take more --steps'),
    ([1., 2., 4.], 0., 4, 'gap', '3 found; there are no more different ones'),
    ([-5., -1., 1., 2., 4.], [0.4, 0., 0., 0., 0.], 3, 'decay gap leading', ''),  # of -5, 8 %
    ([-5., -1., 1., 2., 4.], [0.6, 0., 0., 0., 0.], 3, 'decay gap', 'known to within 12% of its magnitude only'),
    ([-5., -1., 1., 2., 4.], [0., 0., 0.2, 0., 0.], 3, 'gap leading', 'known to within 20% of its magnitude only'),
    ([-5., -4., -3., 1., 2.], [0., 0., 0., 3., 0.], 3, 'leading', 'one is known to within 100% or more of its magnitude'),
    ([-5., -4., -3., 1., 2.], [0., 0., 0., 0.3, 0.], 3, 'leading', 'known to within 30% of its magnitude only'),
])
def test_fewer_eigenvalues_or_others_are_a_gap(values, residuals, leading, given, note):
    """One draw that has not found them is enough."""
    args = hessian.parse_args(['a', '--leading', str(leading), '--steps', '5'])
    gradient = dict(loss=1., change=1., cosine=1., sensitivity=dict(w=1.))
    draws = dict(lanczos=[spectrum(sorted(abs(v) for v in range(1, 9))), spectrum(values, residuals)], gradient=[gradient],
                 trace=[1.], noise=[[0.] * len(args.noise)])
    frame = pd.DataFrame(hessian_numbers.numbers(draws, args))
    named = {'decay': frame.measure == 'eigenvalue decay rate', 'gap': frame.measure == 'spectral gap',
             'leading': (frame.of == f'leading {leading}') & ~frame.measure.str.startswith('distance')}
    for name, rows in named.items():
        assert frame[rows].value.notna().all() == frame[rows].value.notna().any() == (name in given.split()), name
        assert (frame[rows].note == '').all() == (name in given.split())
    assert any(note in said for said in frame.note) and frame[frame.of == 'all'].value.notna().all()
