"""Curves over training, an arm a line, with a band for the spread over seeds."""
import re
from typing import Any, Dict, Mapping, NamedTuple, Sequence, Tuple

import pandas as pd

from .canvas import PAGE, Canvas, styles

#: A line with at least so many points has no marker at each.
_MANY = 30
_DIVERGED, _EARLIER = 'diverged', 'ended earlier'
#: How the last point of such a run looks
_ENDS = {_DIVERGED: dict(marker='x', ms=7, mew=1.5), _EARLIER: dict(marker='|', ms=9, mew=1.5)}
#: What fills a page is so many characters of a title wide, in all panels of a row together.
_PAGE_CHARACTERS = 96


class Panel(NamedTuple):
    """One set of axes.

    Attributes:
        curves: ``arm, seed, step, value``, one row for each point.
        unit: What ``step`` counts.
        diverged: Which runs diverged, ``(arm, seed)``; their curves end in a cross.
        note: What the panel does not show, in words.
    """
    curves: pd.DataFrame
    unit: str
    diverged: Sequence[Tuple[str, int]] = ()
    note: str = ''


def band(curves: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation over seeds.

    Args:
        curves: ``arm, seed, step, value``, one row for each point.

    Returns:
        DataFrame: ``arm, step, n, mean, std``; ``std`` divides by n - 1 and is 0 for a single seed. Arms keep their order,
        steps ascend. Values that are no number are left out.
    """
    ordered = curves.assign(arm=pd.Categorical(curves['arm'], curves['arm'].unique()))
    finite = ordered[_is_finite(ordered)]
    table = finite.groupby(['arm', 'step'], observed=True)['value'].agg(n='count', mean='mean', std='std').reset_index()
    return table.fillna({'std': 0.}).astype({'arm': str})


def draw_curves(panels: Mapping[str, Panel], columns: int = 2) -> Canvas:
    """Draw the mean of each arm with a band of one standard deviation to either side.

    Mean and band are there where all seeds of the arm have a value; where some have none, since they diverged or are
    shorter, each of the others has a thin dotted line. A metric that was measured once, at the end, has one point for
    each seed and the same spread as a bar instead.

    Args:
        panels: Title -> what to draw.
        columns: At most so many panels side by side.
    """
    columns = min(columns, len(panels))
    canvas = Canvas(-(-len(panels) // columns), columns, width=PAGE if columns > 1 else None)
    looks = styles(list(dict.fromkeys(arm for panel in panels.values() for arm in panel.curves['arm'])))  # same in all
    ends = set()
    for axes, (title, panel) in zip(canvas.axes.flat, panels.items()):
        if panel.curves['step'].nunique() > 1:
            ends |= _draw_lines(axes, panel, looks)
        else:
            _draw_points(axes, panel, looks)
        axes.set_ylabel(title.splitlines()[0].split('/')[-1])
        note = f'\n({panel.note})' if panel.note else ''
        axes.set_title(_wrapped(f'{title}{note}', _PAGE_CHARACTERS // max(2, columns)))
    for axes in canvas.axes.flat[len(panels):]:
        axes.set_visible(False)
    _legend(canvas, looks, sorted(ends))
    return canvas


def _draw_lines(axes: Any, panel: Panel, looks: Mapping[str, Dict[str, Any]]) -> set:
    """Lines and bands; returns which kinds of end the legend has to explain."""
    curves = panel.curves[_is_finite(panel.curves)]
    means = dict(iter(band(panel.curves).groupby('arm', sort=False)))
    last, ends = curves['step'].max(), set()
    for arm, runs in panel.curves.groupby('arm', sort=False):
        look, line = looks[arm], means.get(arm)
        if line is None:
            continue
        whole = line['n'] == runs['seed'].nunique()
        mean, spread = line['mean'].where(whole), line['std'].where(whole)
        axes.plot(line['step'], mean, **{**look, 'marker': look['marker'] if len(line) < _MANY else None}, ms=3, lw=1.2)
        axes.fill_between(line['step'], mean - spread, mean + spread, alpha=0.2, color=look['color'], linewidth=0)
        begin = line.loc[whole, 'step'].max()  # from here on each seed for itself; NaN if they have no step in common
        for seed, run in curves[curves['arm'] == arm].groupby('seed', sort=False):
            alone = run if begin != begin else run[run['step'] >= begin]
            if not whole.all():
                axes.plot(alone['step'], alone['value'], ':', lw=0.7, color=look['color'])
            end = _DIVERGED if (arm, seed) in panel.diverged else _EARLIER if run['step'].iloc[-1] < last else None
            if end:
                ends.add(end)
                axes.plot(run['step'].iloc[-1:], run['value'].iloc[-1:], ls='', color=look['color'], **_ENDS[end])
    axes.set_xlabel(panel.unit)
    return ends


def _draw_points(axes: Any, panel: Panel, looks: Mapping[str, Dict[str, Any]]) -> None:
    arms = list(looks)
    for row in band(panel.curves).itertuples():
        seeds = panel.curves.loc[panel.curves['arm'] == row.arm, 'value']
        place, style = arms.index(row.arm), dict(color=looks[row.arm]['color'], marker=looks[row.arm]['marker'])
        several = len(seeds) > 1  # one seed has no spread, not one of 0
        axes.plot([place + 0.15] * len(seeds) * several, seeds[:len(seeds) * several], ms=3, ls='', alpha=0.6, **style)
        axes.errorbar(place, row.mean, row.std if several else None, label=row.arm, ms=5, capsize=4, **style)
    axes.set_xticks(range(len(arms)), [_wrapped(arm, 12) for arm in arms])
    axes.set_xlim(-0.5, len(arms) - 0.5)
    axes.grid(axis='x', visible=False)
    axes.set_xlabel(f"{panel.unit} {panel.curves['step'].iloc[0]}")


def _legend(canvas: Canvas, looks: Mapping[str, Dict[str, Any]], ends: Sequence[str]) -> None:
    from matplotlib.lines import Line2D
    lines = {arm: Line2D([], [], **look) for arm, look in looks.items()}
    lines.update({end: Line2D([], [], ls='', color='0.3', **_ENDS[end]) for end in ends})
    canvas.legend(list(lines.values()), list(lines), columns=4)


def _is_finite(curves: pd.DataFrame) -> pd.Series:
    return pd.to_numeric(curves['value']).abs() < float('inf')


def _wrapped(text: str, width: int) -> str:
    """A text in lines that are no longer; names may end in the middle behind a sign."""
    lines = []
    for line in text.splitlines():
        parts = iter(re.findall(rf'[^\s_+/=-]{{1,{width}}}[\s_+/=-]*|[\s_+/=-]+', line))
        lines.append(next(parts, ''))
        for part in parts:
            if len((lines[-1] + part).rstrip()) <= width:
                lines[-1] += part
            else:
                lines.append(part)
    return '\n'.join(line.rstrip() for line in lines)
