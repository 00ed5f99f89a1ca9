"""What the outliers of checkpoints are written and printed as."""
import math
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Sequence

import numpy as np
import pandas as pd

from lbbt_mm.analysis.tensor_kinds import KINDS, OTHER
from lbbt_mm.analysis.weight_statistics import DISTANCES, OUTLIERS, Rules, combine, density_edges
from .numbers import print_numbers, write_numbers

#: How the start of a run is told from its end, behind its label.
START = ', start'
_GROUPED = ('tensors', 'weights', *OUTLIERS, *(f'{name}_of' for name in OUTLIERS), 'largest', 'std', 'kurtosis', 'hill')


class Tables:
    """Numbers of several models by tensor, by group and as curves.

    Args:
        rows: A tensor each: its place and what was found.
        left_out: Label of a model -> names of its tensors that are no weights.
        rules: What an outlier was.
        rule: The rule that is drawn.
    """

    def __init__(self, rows: Sequence[Mapping[str, Any]], left_out: Mapping[str, Sequence[str]], rules: Rules,
                 rule: str) -> None:
        self.rows, self.left_out, self.rules, self.rule = rows, left_out, rules, rule
        self.models = list(dict.fromkeys(row['model'] for row in rows))
        #: By layer, by kind, in all: see the columns.
        self.groups = pd.DataFrame([group for model in self.models for group in self._groups(model)])

    def of(self, model: str) -> List[Mapping[str, Any]]:
        """The tensors of one model."""
        return [row for row in self.rows if row['model'] == model]

    def rule_text(self, rule: str) -> str:
        """A rule, as it is written beside numbers."""
        value = f'{getattr(self.rules, rule):g}'
        return dict(absolute=f'|w| > {value}', std=f'> {value} std', robust=f'modified z > {value}')[rule]

    # ---------------------------------------------------------------------------------------------------------- numbers
    def _groups(self, model: str) -> Iterator[Dict[str, Any]]:
        rows = self.of(model)
        layers = sorted({row['layer'] for row in rows})
        modules = {row['layer']: row['module'] for row in rows}
        kinds = [kind for kind in (*(name for name, _ in KINDS), OTHER) if any(row['kind'] == kind for row in rows)]
        yield _group(model, 'all', '', rows)
        for kind in kinds:
            yield _group(model, 'kind', kind, [row for row in rows if row['kind'] == kind])
        for layer in layers:
            name = f'{layer}' if layer >= 0 else 'outside'
            yield _group(model, 'layer', name, [row for row in rows if row['layer'] == layer], modules[layer])

    def curves(self, model: str) -> pd.DataFrame:
        """The density of a model's weights, and the share of weights far from their tensor's mean.

        Returns:
            DataFrame: ``curve`` (``density``, per unit of weight, or ``further``, a share), the interval of weights ``low``
            to ``high`` (of ``further``: standard deviations from the mean, twice), ``value``.
        """
        rows = self.of(model)
        weights = sum(row['weights'] for row in rows)
        spread = math.sqrt(sum(row['weights'] * (row['std']**2 + row['mean']**2) for row in rows) / weights)
        low, high, counts = _bins(rows, spread / 100)
        density = pd.DataFrame(dict(curve='density', low=low, high=high, value=counts / weights / (high - low)))
        varied = [row for row in rows if row['further']]
        if not varied:
            return density
        further = np.sum([row['further'] for row in varied], axis=0) / sum(row['weights'] for row in varied)
        return pd.concat([density, pd.DataFrame(dict(curve='further', low=DISTANCES, high=DISTANCES, value=further))])

    # ---------------------------------------------------------------------------------------------------------- written
    def write(self, folder: Path, name: str) -> None:
        """Write the CSV files."""
        kept = [{key: value for key, value in row.items() if key not in ('density', 'further')} for row in self.rows]
        write_numbers(pd.DataFrame(kept), folder, name)
        write_numbers(self.groups, folder, f'{name}_groups')
        curves = [self.curves(model).assign(model=model) for model in self.models]
        write_numbers(pd.concat(curves), folder, f'{name}_curves')

    def show(self) -> None:
        """Print the tables, and what to know of them."""
        print_numbers(self._shown('layer'), f'Outliers by layer; {self._said()}', ('model', 'layer'))
        print_numbers(self._shown('kind'), f'Outliers by kind of tensor; {self._said()}', ('model', 'kind'))
        print_numbers(self._shown('all').drop(columns='all'), 'Outliers in all, and in a million weights '
                      f'that were looked at (/M); {self._said()}')
        for model in self.models:
            for note in self._notes(model):
                print(f'{model}: {note}')

    def _said(self) -> str:
        return f'kurtosis, Hill (of the largest {self.rules.tail:.2%}): of the tensor with the median weight'

    def _shown(self, by: str) -> pd.DataFrame:
        groups = self.groups[self.groups['by'] == by]
        shown = {'model': groups['model'], by: groups['group'], 'weights': groups['weights']}
        for name in OUTLIERS:
            head = self.rule_text(name.split('_')[1])
            shown[head] = [value if math.isnan(value) else int(value) for value in groups[name]]
            if by == 'all':
                shown[f'{" " * len(shown)}/M'] = groups[name] / groups[f'{name}_of'] * 1e6
        frame = pd.DataFrame({**shown, 'largest': groups['largest'], 'std': groups['std'], 'kurtosis': groups['kurtosis'],
                              'Hill': groups['hill']})
        return frame.rename(columns=str.strip).astype(object)

    def _notes(self, model: str) -> Iterator[str]:
        rows = self.of(model)
        equal = [row['tensor'] for row in rows if row['std'] == 0]
        if equal:
            yield (f'{len(equal)} of {len(rows)} tensors hold equal numbers only ({equal[0]} first): no kurtosis, and no '
                   'outliers by std and robust.')
        flat = [row['tensor'] for row in rows if row['mad'] == 0 and row['std'] > 0]
        if flat:
            yield f'more than half of the numbers are equal in {len(flat)} tensors ({flat[0]} first): no outliers by robust.'
        other = [row['tensor'] for row in rows if row['kind'] == OTHER]
        if other:
            yield f'no rule knows the kind of {len(other)} tensors ({", ".join(other[:3])}): {OTHER}.'
        if self.left_out[model]:
            left = self.left_out[model]
            yield f'left out: {len(left)} tensors of integers or that nothing trains ({", ".join(left[:3])}).'


def _group(model: str, by: str, name: str, rows: Sequence[Mapping[str, Any]], module: str = '') -> Dict[str, Any]:
    found = combine(rows)
    return dict(model=model, by=by, group=name, module=module, **{key: found[key] for key in _GROUPED})


def _bins(rows: Sequence[Mapping[str, Any]], near: float) -> Any:
    """Bins of all rows together, in order; those closer to 0 than ``near``, ever narrower, are one."""
    counts = np.zeros(4096)
    for row in rows:
        for bin, count in row['density'].items():
            counts[int(bin)] += count
    low, high = density_edges()
    high, sign = np.r_[low[1:2048], high[2047], low[2049:], high[4095]], np.where(np.arange(4096) < 2048, 1, -1)
    middle, there = high <= near, counts > 0
    bound = high[middle].max(initial=0.)
    outer = there & ~middle
    signed = np.sort(np.stack([sign * low, sign * high]), axis=0)[:, outer]
    lows, highs = np.r_[signed[0], -bound], np.r_[signed[1], bound]
    order = np.argsort(lows)
    return lows[order], highs[order], np.r_[counts[outer], counts[middle].sum()][order]
