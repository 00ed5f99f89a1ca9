"""How planes of losses look: filled contours on one scale of colours, start and end of the training marked."""
import math
from typing import Any, List, Sequence, Tuple

import numpy as np
import pandas as pd

from .canvas import COLOR_MAP, Canvas

#: From this ratio of the highest loss to the lowest on, colours go by the logarithm.
_WIDE = 20
_LEVELS = 24
#: Points, as in the figures' style.
_FONT = 8
#: Standard deviation of the smoothing, in steps of the grid; what the public code smooths by is not said anywhere.
_SMOOTHING = 1.


def draw(grids: Sequence[Tuple[str, pd.DataFrame]], public: bool, start: str, end: str) -> Canvas:
    """Draw the planes side by side.

    Args:
        grids: What a run is called, and losses, beta by alpha, NaN for a gap.
        public: Whether they are those of the public code: smoothed, and without the training's end.
        start: What the middle is called.
        end: What the end of the first direction is called.
    """
    columns = min(len(grids), 3 if len(grids) != 4 else 2)
    rows = -(-len(grids) // columns)
    canvas = Canvas(rows, columns, height=2.3 if columns < 3 else 2., sharex=True, sharey=True)
    shown = [smooth(grid.values) if public else grid.values for _, grid in grids]
    norm, levels = _scale(shown)
    filled = None
    for axes, (label, grid), losses in zip(canvas.axes.flat, grids, shown):
        axes.set_facecolor('0.85')
        filled = axes.contourf(grid.columns, grid.index, np.ma.masked_invalid(losses), levels=levels, norm=norm,
                               cmap=COLOR_MAP)
        axes.grid(False)
        axes.set_title(label + (' (smoothed)' if public else ''), fontsize=_FONT)
        axes.locator_params(axis='x', nbins=5)
        marks = [(0., start, 'o')] + ([] if public else [(1., end, '*')])
        for alpha, name, marker in marks:
            if grid.columns.min() <= alpha <= grid.columns.max() and grid.index.min() <= 0 <= grid.index.max():
                axes.plot(alpha, 0, marker, color='white', markeredgecolor='black', markersize=5 if marker == 'o' else 8,
                          label=name, linestyle='none')
        _mark_gaps(axes, grid, losses)
    for axes in canvas.axes.flat[len(grids):]:
        axes.set_visible(False)
    for axes in canvas.axes[-1]:
        axes.set_xlabel('first random direction' if public else 'alpha, training direction')
    for axes in canvas.axes[:, 0]:
        axes.set_ylabel('second random direction' if public else 'beta, random direction')
    digits = 3 + max(0, math.ceil(-math.log10(np.ptp(levels) / np.abs(levels).max())))  # a narrow range needs more
    bar = canvas.figure.colorbar(filled, ax=canvas.axes, shrink=0.9, format=f'%.{digits}g')
    bar.set_label('loss', size=_FONT)
    bar.ax.tick_params(labelsize=_FONT - 1)
    marked = {name: mark for axes in canvas.axes.flat for mark, name in zip(*axes.get_legend_handles_labels())}
    if marked:
        canvas.legend(list(marked.values()), list(marked))
    return canvas


def smooth(losses: np.ndarray) -> np.ndarray:
    """Losses smoothed by a normal curve; gaps stay gaps, and add nothing.

    Args:
        losses: ``(M, N)``.
    """
    from scipy.ndimage import gaussian_filter
    there = np.isfinite(losses)
    weight = gaussian_filter(there.astype(float), _SMOOTHING)
    return np.where(there, gaussian_filter(np.where(there, losses, 0.), _SMOOTHING) / np.maximum(weight, 1e-12), np.nan)


def _scale(grids: List[np.ndarray]) -> Tuple[Any, np.ndarray]:
    """One scale of colours for all planes."""
    from matplotlib.colors import LogNorm, Normalize
    found = np.concatenate([grid[np.isfinite(grid)] for grid in grids])
    if not found.size:
        raise ValueError('the loss is finite at no point of the planes; expected some. Give smaller --alphas and --betas.')
    lowest, highest = found.min(), found.max()
    if lowest > 0 and highest / lowest > _WIDE:
        return LogNorm(lowest, highest), np.geomspace(lowest, highest * (1 + 1e-9), _LEVELS)
    highest = max(highest, lowest + 1e-9 * max(1., abs(lowest)))
    return Normalize(lowest, highest), np.linspace(lowest, highest, _LEVELS)


def _mark_gaps(axes: Any, grid: pd.DataFrame, losses: np.ndarray) -> None:
    rows, columns = np.nonzero(~np.isfinite(losses))
    if len(rows):
        axes.plot(grid.columns[columns], grid.index[rows], 'x', color='0.3', markersize=3, label='loss not finite',
                  linestyle='none')
