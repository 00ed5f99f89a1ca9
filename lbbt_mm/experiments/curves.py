"""Curves over training, an arm a line, with a band for the spread over seeds."""
from pathlib import Path
from typing import Any, Mapping, NamedTuple

import pandas as pd

from lbbt_mm.files.whole_files import whole_file


class Panel(NamedTuple):
    """One set of axes.

    Attributes:
        curves: ``arm, seed, step, value``, one row for each point.
        unit: What ``step`` counts.
    """
    curves: pd.DataFrame
    unit: str


def band(curves: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation over seeds.

    Args:
        curves: ``arm, seed, step, value``, one row for each point.

    Returns:
        DataFrame: ``arm, step, n, mean, std``; ``std`` divides by n - 1 and is 0 for a single seed. Arms keep their order,
        steps ascend. Values that are no number are left out.
    """
    ordered = curves.assign(arm=pd.Categorical(curves['arm'], curves['arm'].unique()))
    finite = ordered[pd.to_numeric(ordered['value']).abs() < float('inf')]
    table = finite.groupby(['arm', 'step'], observed=True)['value'].agg(n='count', mean='mean', std='std').reset_index()
    return table.fillna({'std': 0.}).astype({'arm': str})


def draw_curves(panels: Mapping[str, Panel], path: Path, columns: int = 3) -> None:
    """Draw the mean of each arm with a band of one standard deviation to either side.

    A metric that was measured once, at the end, has a point a seed and the same spread as a bar instead.

    Args:
        panels: Title -> what to draw.
        path: Picture to write; written whole or not at all.
        columns: At most so many panels side by side.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.lines import Line2D
    from matplotlib.figure import Figure  # without pyplot there is no global state, and no display is needed
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(4.6 * columns, 3.6 * rows), layout='constrained')
    FigureCanvasAgg(figure)
    arms = list(dict.fromkeys(arm for panel in panels.values() for arm in panel.curves['arm']))
    for index, (title, panel) in enumerate(panels.items(), 1):
        axes = figure.add_subplot(rows, columns, index)
        colors = {arm: f'C{number}' for number, arm in enumerate(arms)}  # an arm has one colour in all panels
        (_draw_lines if panel.curves['step'].nunique() > 1 else _draw_points)(axes, panel, colors)
        axes.set_title(title)
        axes.grid(alpha=0.3)
    lines = [Line2D([], [], color=f'C{number}', marker='o', ms=3, label=arm) for number, arm in enumerate(arms)]
    figure.legend(handles=lines, loc='outside lower center', ncols=len(arms), frameon=False)  # over no curve
    with whole_file(path) as file:
        figure.savefig(file, dpi=120, format='png')


def _draw_lines(axes: Any, panel: Panel, colors: Mapping[str, str]) -> None:
    for arm, line in band(panel.curves).groupby('arm', sort=False):
        axes.plot(line['step'], line['mean'], label=arm, color=colors[arm], marker='o' if len(line) < 30 else None, ms=3)
        axes.fill_between(line['step'], line['mean'] - line['std'], line['mean'] + line['std'], alpha=0.2, color=colors[arm],
                          linewidth=0)
    axes.set_xlabel(panel.unit)


def _draw_points(axes: Any, panel: Panel, colors: Mapping[str, str]) -> None:
    arms = list(colors)
    for row in band(panel.curves).itertuples():
        seeds = panel.curves.loc[panel.curves['arm'] == row.arm, 'value']
        place, style = arms.index(row.arm), dict(color=colors[row.arm], marker='o')
        axes.plot([place + 0.15] * len(seeds), seeds, ms=3, ls='', alpha=0.6, **style)
        axes.errorbar(place, row.mean, row.std, label=row.arm, ms=5, capsize=4, **style)
    axes.set_xticks(range(len(arms)), arms)
    axes.set_xlim(-0.5, len(arms) - 0.5)
    axes.set_xlabel(f"{panel.unit} {panel.curves['step'].iloc[0]}")
