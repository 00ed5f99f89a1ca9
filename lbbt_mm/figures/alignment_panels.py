"""The picture of covariance alignment: the theorem's networks above, trained models below."""
from typing import Any, Dict, List, Optional, Tuple

import pandas as pd

from .canvas import Canvas, styles

#: What the networks of the theorem are called
NETWORK = 'network'
#: Kinds of line: when, and of what
_KINDS = {'at the start': ':', 'at the end': '-', 'their change': '--'}
_COLOR = 'black'


def draw(frame: pd.DataFrame, curves: pd.DataFrame) -> Canvas:
    """Alignment and transfer functions, a row of panels for the networks and one for the trained models.

    Args:
        frame: ``label, number, at, what, alignment, high``.
        curves: ``label, number, at, what, sigma, tau``.
    """
    labels = [label for label in frame['label'].unique() if label != NETWORK]
    networks = frame[(frame['label'] == NETWORK) & (frame['number'] != 'all')]
    canvas = Canvas(int(len(networks) > 0) + int(len(labels) > 0), 2, height=2.4)
    rows = list(canvas.axes)
    if len(networks):
        left, right = rows.pop(0)
        _over_training(left, networks)
        own = curves[(curves['label'] == NETWORK) & (curves['number'] != 'all')]
        ends = own.assign(at=own['at'].replace({own['at'].iloc[0]: 'start', own['at'].iloc[-1]: 'end'}))
        _transfer(right, ends[ends['at'].isin(['start', 'end'])], {NETWORK: dict(color=_COLOR)})
        left.set_title('networks of the theorem: alignment')
        right.set_title('their transfer function')
    looks = styles(labels)
    if labels:
        left, right = rows.pop(0)
        runs = frame[frame['label'] != NETWORK]
        _before_and_after(left, runs, looks)
        _transfer(right, curves[curves['label'] != NETWORK], looks)
        left.set_title('first layer of trained models: alignment')
        right.set_title('their transfer function')
    _legend(canvas, looks)
    return canvas


def _over_training(axes: Any, rows: pd.DataFrame) -> None:
    rows = rows.assign(step=rows['at'].astype(int))
    for what, kind in (('weights', '-'), ('change', '--')):
        groups = rows[rows['what'] == what].groupby('step')['alignment']
        mean, spread = groups.mean(), groups.std().fillna(0.)
        axes.plot(mean.index, mean, kind, color=_COLOR, lw=1.2)
        axes.fill_between(mean.index, mean - spread, mean + spread, color=_COLOR, alpha=0.15, linewidth=0)
    axes.set_xscale('symlog', linthresh=10)
    _chance(axes, rows['high'].mean())
    axes.set_xlabel('training steps')


def _before_and_after(axes: Any, runs: pd.DataFrame, looks: Dict[str, Dict[str, Any]]) -> None:
    places = {('start', 'weights'): 0, ('end', 'weights'): 1, ('end', 'change'): 2}
    for index, (label, look) in enumerate(looks.items()):
        shift = (index - (len(looks) - 1) / 2) * 0.5 / max(1, len(looks))
        for (at, what), place in places.items():
            rows = runs[(runs['label'] == label) & (runs['at'] == at) & (runs['what'] == what)]
            values = rows['alignment'].dropna()
            style = dict(color=look['color'], marker=look['marker'])
            axes.plot([place + shift] * len(values), values, ls='', alpha=0.5, **style)
            if 0 < len(values) == len(rows):  # of a gap in one run there is no mean
                spread = values.std() if len(values) > 1 else None
                axes.errorbar(place + shift, values.mean(), spread, capsize=2, ms=5, **style)
    axes.set_xticks(range(3), ['start', 'end', 'change'])
    axes.set_xlim(-0.5, 2.5)
    axes.grid(axis='x', visible=False)
    _chance(axes, runs['high'].mean())


def _chance(axes: Any, high: float) -> None:
    """Grey up to what 95% of random rotations have at most, and a line where they are on average."""
    axes.axhspan(-high, high, color='0.85', linewidth=0, zorder=0)
    axes.axhline(0, color='0.5', linewidth=0.8)
    axes.set_ylabel('alignment with $\\Sigma_x$')
    axes.set_ylim(min(-0.1, axes.get_ylim()[0]), 1.02)


def _transfer(axes: Any, curves: pd.DataFrame, looks: Dict[str, Dict[str, Any]]) -> None:
    curves = curves[curves['sigma'] > 0]  # a logarithm has no place for the others, which the table has
    for (label, at, what), rows in curves.groupby(['label', 'at', 'what'], sort=False):
        kind = _kind(at, what)
        if kind is None:
            continue
        # eigenvalues of runs whose images differ are matched by their rank
        ranked = rows.assign(rank=rows.groupby('number').cumcount()).groupby('rank')
        sigma, tau, spread = ranked['sigma'].mean(), ranked['tau'].mean(), ranked['tau'].std().fillna(0.)
        axes.plot(sigma, tau, _KINDS[kind], color=looks[label]['color'], lw=1.2)
        axes.fill_between(sigma, tau - spread, tau + spread, color=looks[label]['color'], alpha=0.15, linewidth=0)
    axes.set_xscale('log')
    axes.set_ylim(bottom=0)
    axes.set_xlabel('$\\sigma$: standard deviation of the inputs')
    axes.set_ylabel('$\\tau$: scale of the weights')


def _kind(at: str, what: str) -> Optional[str]:
    if what == 'change':
        return 'their change' if at == 'end' else None
    return f'at the {at}'


def _legend(canvas: Canvas, looks: Dict[str, Dict[str, Any]]) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch
    entries: List[Tuple[str, Any]] = [(f'weights {name}' if name != 'their change' else name,
                                       Line2D([], [], color='0.4', linestyle=kind)) for name, kind in _KINDS.items()]
    entries.append(('95% of random rotations', Patch(color='0.85')))
    entries += [(label, Line2D([], [], color=look['color'], marker=look['marker'])) for label, look in looks.items()]
    canvas.legend([handle for _, handle in entries], [name for name, _ in entries], columns=4)
