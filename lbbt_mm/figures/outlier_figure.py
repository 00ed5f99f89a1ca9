"""How outliers are drawn: the density of weights, how far they lie from the mean, and outliers by layer."""
import math
from pathlib import Path

import numpy as np

from .canvas import Canvas, styles
from .outlier_tables import START, Tables


def draw(tables: Tables, folder: Path, name: str) -> None:
    """Draw and write the figure.

    Args:
        tables: The numbers.
        folder: Where to.
        name: File name without its ending.
    """
    canvas = Canvas(rows=3, columns=1, height=1.9)
    density, further, layers = canvas.axes[:, 0]
    density.set(yscale='log', xlabel='weight', ylabel='density (per unit)')
    further.set(xscale='log', yscale='log', xlabel="distance from the tensor's mean (in its std)",
                ylabel='share of weights\nfurther away')
    layers.set(xlabel='layer', ylabel=f'outliers ({tables.rule_text(tables.rule)})')
    layers.set_yscale('symlog', linthresh=1)
    each = styles(list(dict.fromkeys(label.removesuffix(START) for label in tables.models)))
    for label in tables.models:
        style = each[label.removesuffix(START)]
        line = dict(color=style['color'], linestyle=style['linestyle'], linewidth=1,
                    alpha=0.4 if label.endswith(START) else 1)
        curves = tables.curves(label)
        density.stairs(*_filled(curves[curves['curve'] == 'density']), baseline=None, **line)
        share = curves[(curves['curve'] == 'further') & (curves['value'] > 0)]
        further.plot(share['low'], share['value'], **line, label=label)
        groups = tables.groups[(tables.groups['model'] == label) & (tables.groups['by'] == 'layer')
                               & (tables.groups['group'] != 'outside')]
        layers.plot(groups['group'].astype(int), groups[f'outliers_{tables.rule}'], **line, marker=style['marker'],
                    markersize=3, fillstyle='none' if label.endswith(START) else 'full')
    _draw_normal(further)
    layers.set_ylim(-0.3, 2 * max(1, layers.dataLim.y1))
    if (tables.groups['module'] == '').all():
        layers.text(0.5, 0.5, 'no numbered layers', transform=layers.transAxes, ha='center')
    layers.xaxis.get_major_locator().set_params(integer=True)
    handles, labels = further.get_legend_handles_labels()
    canvas.legend(handles, labels, columns=2 if max(map(len, labels)) > 16 else 3)
    canvas.save(folder, name)


def _filled(bins):
    """Values and edges without gaps; between bins that are apart there is nothing."""
    edges = np.unique(np.r_[bins['low'], bins['high']])
    values = dict(zip(bins['low'], bins['value']))
    return [values.get(edge, math.nan) for edge in edges[:-1]], edges


def _draw_normal(axes) -> None:
    limits = axes.get_ylim()
    distances = np.geomspace(0.1, 10, 200)
    shares = np.array([math.erfc(distance / math.sqrt(2)) for distance in distances])
    shown = shares > axes.dataLim.y0
    axes.plot(distances[shown], shares[shown], color='0.5', linewidth=0.8, label='normal distribution')
    axes.set_ylim(limits)
