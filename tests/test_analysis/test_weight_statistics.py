"""Every number equals what numpy and scipy give for the whole tensor, or its closed form."""
import math

import numpy as np
import pytest
import scipy.stats
import torch

from lbbt_mm.analysis import bit_patterns, weight_statistics
from lbbt_mm.analysis.weight_statistics import DISTANCES, NORMAL_QUARTILE, Rules, combine, density_edges, describe

DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]


def sample(kind: str, size: int = 40001) -> torch.Tensor:
    draw = torch.Generator().manual_seed(0)
    normal, uniform = torch.randn(size, generator=draw), torch.rand(size, generator=draw)
    return {'normal': normal * 0.3, 'heavy': 0.03 + 0.1 * normal / uniform.sqrt(), 'skewed': normal.exp(),
            'far from zero': 1 + 0.01 * normal, 'positive': uniform,
            'pruned': torch.where(uniform < 0.3, 0., normal)}[kind]


def dense(values: torch.Tensor, rules: Rules) -> dict:
    """The definitions, written down for all values at once."""
    x = values.flatten().double().numpy()
    median, mad = np.median(x), scipy.stats.median_abs_deviation(x)
    largest, k = np.sort(abs(x))[::-1], int(rules.tail * x.size)
    return dict(weights=x.size, outliers_absolute=(abs(x) > rules.absolute).sum(),
                outliers_std=(abs(x - x.mean()) > rules.std * x.std()).sum(),
                outliers_robust=(NORMAL_QUARTILE * abs(x - median) / mad > rules.robust).sum(), largest=largest[0],
                mean=x.mean(), std=x.std(), median=median, mad=mad, kurtosis=scipy.stats.kurtosis(x),
                hill=1 / np.log(largest[:k] / largest[k]).mean() if k >= 10 else math.nan)


def in_pieces(values: torch.Tensor, size: int = 7001):
    return lambda: values.split(size)


@pytest.mark.parametrize('held', [True, False])
@pytest.mark.parametrize('kind', ['normal', 'heavy', 'skewed', 'far from zero', 'positive', 'pruned'])
@pytest.mark.parametrize('dtype', DTYPES)
def test_every_number_is_that_of_the_whole_tensor(dtype, kind, held, monkeypatch):
    monkeypatch.setattr(weight_statistics, '_HELD', 2**25 if held else 0)
    values, rules = sample(kind).to(dtype), Rules(absolute=0.7, std=2.5, robust=3.5, tail=0.02)
    found = describe(in_pieces(values), rules)
    assert {name: found[name] for name in dense(values, rules)} == pytest.approx(
        dense(values.float() if dtype is torch.float64 else values, rules), rel=1e-9, abs=1e-12)
    assert found['outliers_absolute'] > 0 or kind == 'normal'


@pytest.mark.parametrize('kind', ['normal', 'heavy', 'far from zero'])
@pytest.mark.parametrize('dtype', DTYPES)
def test_large_parts_are_counted_in_another_way_with_the_same_result(dtype, kind, monkeypatch):
    values = sample(kind).to(dtype)
    by_torch = describe(in_pieces(values))
    monkeypatch.setattr(bit_patterns, 'FEW', 1)
    monkeypatch.setattr(weight_statistics, '_IN_CACHE', 500)
    found = describe(in_pieces(values))
    for name, value in by_torch.items():
        assert found[name] == (pytest.approx(value, rel=1e-12, abs=1e-15) if isinstance(value, float) else value), name
    assert {name: found[name] for name in dense(values, Rules())} == pytest.approx(
        dense(values.float() if dtype is torch.float64 else values, Rules()), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16, torch.float16])
def test_a_tensor_of_equal_numbers_and_of_many_parts(dtype):
    """One pattern is there more often than a 32-bit float counts to."""
    size = 2**24 + 2**22 + 1
    found = describe(lambda: [torch.tensor([-2.], dtype=dtype).expand(size)])
    assert (found['weights'], found['outliers_absolute'], found['mean'], found['std']) == (size, size, -2, 0)


@pytest.mark.parametrize('kind', ['normal', 'heavy', 'skewed'])
@pytest.mark.parametrize('size', [2, 3, 50, 499])
@pytest.mark.parametrize('dtype', DTYPES[:3])
def test_small_tensors_too(dtype, size, kind):
    values = sample(kind, size).to(dtype)
    wanted = dense(values, Rules(robust=3))
    found = describe(in_pieces(values, 3), Rules(robust=3))
    assert {name: found[name] for name in wanted} == pytest.approx(wanted, rel=1e-9, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize('size', [5, 6, 1000, 1001])
def test_of_an_even_number_the_median_is_the_mean_of_both_in_the_middle(size):
    for dtype in DTYPES:
        values = sample('normal', size).to(dtype)
        found = describe(in_pieces(values, 3))
        assert found['median'] == pytest.approx(np.median(values.double().numpy()), rel=1e-6)
        assert found['mad'] == pytest.approx(scipy.stats.median_abs_deviation(values.double().numpy()), rel=1e-6)


@pytest.mark.parametrize('dtype, most', [(torch.bfloat16, 1), (torch.float16, 1), (torch.float32, 3)])
def test_16_bits_need_one_pass_and_32_bits_few(dtype, most, monkeypatch):
    monkeypatch.setattr(weight_statistics, '_HELD', 0)
    for kind in ('normal', 'heavy', 'pruned'):
        passes, pieces = [], [sample(kind).to(dtype)]
        describe(lambda passes=passes, pieces=pieces: passes.append(1) or pieces)
        assert 1 <= len(passes) <= most


@pytest.mark.parametrize('dtype', DTYPES)
def test_pieces_may_be_of_any_size_and_shape(dtype):
    values = sample('heavy', 2000).to(dtype)
    whole = describe(lambda: [values])
    apart = torch.stack([values, values], 1)[:, 0]
    other = describe(lambda: [values[:1].view(1, 1), values[1:1001].view(10, 100), values[:0], apart[1001:]])
    assert other.keys() == whole.keys()
    for name, value in whole.items():
        assert other[name] == (pytest.approx(value, rel=1e-12) if isinstance(value, float) else value), name


@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize('value', [1., 0., 0.1, -3.])
def test_equal_numbers_have_no_kurtosis_and_no_outliers_but_absolute_ones(value, dtype):
    found = describe(lambda: [torch.full((5000, ), value, dtype=dtype)])
    assert all(math.isnan(found[name]) for name in ('kurtosis', 'outliers_std', 'outliers_robust', 'hill'))
    assert found['std'] == found['mad'] == 0 and found['further'] == []
    assert found['outliers_absolute'] == (5000 if value == -3 else 0)


def test_both_zeros_are_one_number():
    found = describe(lambda: [torch.tensor([0., -0.] * 50)])
    assert math.isnan(found['kurtosis']) and found['std'] == 0


def test_where_more_than_half_is_equal_there_is_no_robust_rule():
    values = torch.zeros(1000)
    values[:10] = 5
    found = describe(lambda: [values], Rules(std=6))
    assert math.isnan(found['outliers_robust']) and found['mad'] == 0
    assert found['outliers_std'] == 10 and not math.isnan(found['kurtosis'])


def test_a_number_at_the_threshold_is_no_outlier():
    for dtype in DTYPES:
        values = torch.tensor([-1.5, -1, -0.5, 0, 0.5, 1, 1.0078125] * 3, dtype=dtype)
        assert describe(lambda values=values: [values])['outliers_absolute'] == 6


@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize('value', [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_refused(value, dtype):
    values = sample('normal', 1000).to(dtype)
    values[17] = value
    with pytest.raises(ValueError, match='holds NaN or infinity; expected finite numbers'):
        describe(lambda: [values])


def test_no_number_at_all_is_refused():
    with pytest.raises(ValueError, match='is empty; expected weights'):
        describe(lambda: [torch.zeros(0)])


# ---------------------------------------------------------------------------------------------------------- closed forms
def test_kurtosis_in_closed_form():
    assert describe(lambda: [torch.tensor([-1., 1.] * 100)])['kurtosis'] == pytest.approx(-2)
    size = 4096
    uniform = describe(lambda: [torch.arange(size).float()])['kurtosis']
    assert uniform == pytest.approx(-6 * (size**2 + 1) / (5 * (size**2 - 1)), rel=1e-9)


@pytest.mark.parametrize('index', [1.5, 3., 8.])
def test_hill_finds_the_index_of_a_pareto_tail(index):
    quantiles = (torch.arange(1, 200001).double() / 200000)**(-1 / index)
    sign = torch.tensor([1., -1.]).repeat(100000)
    assert describe(lambda: [quantiles * sign])['hill'] == pytest.approx(index, rel=0.01)


def test_a_tail_of_fewer_than_ten_or_of_equal_numbers_has_no_index():
    values = sample('normal', 999)
    assert math.isnan(describe(lambda: [values])['hill'])
    assert not math.isnan(describe(lambda: [values], Rules(tail=0.02))['hill'])
    assert math.isnan(describe(lambda: [values.sign()], Rules(tail=0.1))['hill'])


# --------------------------------------------------------------------------------------------------- what is drawn of them
@pytest.mark.parametrize('dtype', DTYPES)
def test_density_counts_each_value_in_the_bin_that_holds_it(dtype):
    values = sample('heavy', 3000).to(dtype)
    low, high = density_edges()
    signs = np.where(np.arange(4096) < 2048, 1, -1)
    x = values.float().double().numpy()
    counts = {str(bin): int(((np.sign(x) * signs[bin] > 0) & (low[bin] <= abs(x)) & (abs(x) <= high[bin])).sum())
              for bin in range(4096)}
    assert describe(lambda: [values])['density'] == {bin: count for bin, count in counts.items() if count}


def test_weights_further_from_the_mean_are_counted():
    values = sample('heavy').bfloat16()
    x = values.double().numpy()
    assert describe(in_pieces(values))['further'] == [
        int((abs(x - x.mean()) > distance * x.std()).sum()) for distance in DISTANCES]
    about = describe(in_pieces(sample('heavy')))['further']  # to 1 % of the distance
    x = sample('heavy').double().numpy()
    for count, distance in zip(about, DISTANCES):
        more, fewer = ((abs(x - x.mean()) > factor * distance * x.std()).sum() for factor in (0.99, 1.01))
        assert fewer <= count <= more


# --------------------------------------------------------------------------------------------------------------- together
def test_several_tensors_together():
    tensors = [sample('normal', 5000), 1 + sample('heavy', 3000), torch.ones(2000)]
    found, x = combine([describe(lambda part=part: [part]) for part in tensors]), torch.cat(tensors).double().numpy()
    assert (found['tensors'], found['weights']) == (3, 10000)
    assert found['outliers_absolute'] == (abs(x) > 1).sum() and found['largest'] == abs(x).max()
    assert found['std'] == pytest.approx(x.std())
    each = [dense(part, Rules()) for part in tensors[:2]]
    assert found['outliers_std'] == sum(part['outliers_std'] for part in each)
    assert (found['outliers_absolute_of'], found['outliers_std_of']) == (10000, 8000)  # the third has equal numbers
    assert found['kurtosis'] == pytest.approx(each[0]['kurtosis'], rel=1e-6)  # 5,000 of the 8,000 that have one


def test_tensors_without_a_number_are_a_gap():
    found = combine([describe(lambda: [torch.ones(100)])] * 2)
    assert all(math.isnan(found[name]) for name in ('outliers_std', 'outliers_robust', 'kurtosis', 'hill'))
    assert found['outliers_absolute'] == found['outliers_robust_of'] == 0
