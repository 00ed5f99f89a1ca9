"""Tables of outliers: groups are sums of their tensors, and rates are of what was looked at."""
import pandas as pd
import pytest
import torch

from lbbt_mm.analysis.tensor_kinds import find_places
from lbbt_mm.analysis.weight_statistics import Rules, describe
from lbbt_mm.figures.outlier_tables import Tables

RULES = Rules(absolute=0.5)


@pytest.fixture
def state():
    generator = torch.Generator().manual_seed(0)
    return {'backbone.layers.0.attn.qkv.weight': torch.randn(40, 50, generator=generator),
            'backbone.layers.1.attn.qkv.weight': 3 * torch.randn(40, 50, generator=generator),
            'backbone.layers.1.ln1.weight': torch.ones(20), 'backbone.strange': torch.randn(30, generator=generator)}


def tables_of(state, models=('a', ), rule='std', left_out=()):
    places = find_places(state)
    rows = [dict(model=model, tensor=name, **places[name]._asdict(), shape='x'.join(map(str, tensor.shape)),
                 **describe(lambda tensor=tensor: iter([tensor]), RULES))
            for model in models for name, tensor in state.items()]
    return Tables(rows, dict.fromkeys(models, list(left_out)), RULES, rule)


def test_groups_are_all_each_kind_and_each_layer(state):
    groups = tables_of(state).groups.set_index(['by', 'group'])
    assert list(groups.index) == [('all', ''), ('kind', 'norm'), ('kind', 'attention qkv'), ('kind', 'other'),
                                  ('layer', 'outside'), ('layer', '0'), ('layer', '1')]
    above = {name: int((tensor.abs() > 0.5).sum()) for name, tensor in state.items()}
    assert groups.loc[('all', ''), 'outliers_absolute'] == sum(above.values())
    assert groups.loc[('layer', '1'), 'outliers_absolute'] == sum(above[name] for name in state if '.1.' in name)
    assert groups.loc[('layer', '1'), 'module'] == 'backbone.layers.1' and groups.loc[('layer', '1'), 'tensors'] == 2
    assert groups.loc[('kind', 'other'), 'weights'] == 30


def test_curves_are_a_density_and_shares_that_fall(state):
    curves = tables_of(state).curves('a')
    density, further = (curves[curves['curve'] == name] for name in ('density', 'further'))
    assert ((density['high'] - density['low']) * density['value']).sum() == pytest.approx(1)
    assert (further['value'].diff().dropna() <= 0).all() and (further['low'] == further['high']).all()
    only = tables_of({'x': torch.ones(4)}).curves('a')
    assert set(only['curve']) == {'density'}, 'equal numbers have no distance from their mean'


@pytest.mark.parametrize('rule, text', [('absolute', '|w| > 0.5'), ('std', '> 6 std'), ('robust', 'modified z > 6')])
def test_a_rule_is_written_with_its_threshold(state, rule, text):
    assert tables_of(state, rule=rule).rule_text(rule) == text


def test_what_is_written_has_no_histograms_and_every_model(state, tmp_path):
    tables_of(state, ('a', 'b')).write(tmp_path, 'outliers')
    frame = pd.read_csv(tmp_path / 'outliers.csv')
    assert len(frame) == 2 * len(state) and not {'density', 'further'} & set(frame.columns)
    assert set(pd.read_csv(tmp_path / 'outliers_groups.csv')['model']) == {'a', 'b'}
    assert set(pd.read_csv(tmp_path / 'outliers_curves.csv')['model']) == {'a', 'b'}


def test_what_is_printed_says_what_has_no_number_or_no_kind(state, capsys, monkeypatch):
    monkeypatch.setenv('COLUMNS', '200')
    tables_of(state, left_out=['steps']).show()
    said = capsys.readouterr().out
    assert 'a: 1 of 4 tensors hold equal numbers only (backbone.layers.1.ln1.weight first)' in said
    assert 'a: no rule knows the kind of 1 tensors (backbone.strange): other.' in said
    assert 'a: left out: 1 tensors of integers or that nothing trains (steps).' in said
    assert said.count('Outliers by layer') == said.count('Outliers by kind') == said.count('Outliers in all') == 1
