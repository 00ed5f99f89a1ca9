"""Heat maps of mutual nearest neighbours, a panel for a language model and a vision model."""
from typing import Any, Sequence

from .canvas import COLOR_MAP, COLORS, Canvas

_BEST = dict(marker='*', s=60, color=COLORS[3], edgecolors='white', linewidths=0.5)
_CROSSED = dict(marker='x', s=8, color='0.8', linewidths=0.5)


def draw(compared: Sequence[Any], level: float = 0.05) -> Canvas:
    """Scores of all pairs of blocks (Fig. 4), on one scale of colours; what chance reaches is crossed out.

    Args:
        compared: Of :class:`lbbt_mm.figures.mutual_knn_maps.Compared`: language models in rows, runs in columns.
        level: Pairs whose p is above it are crossed out. Defaults to 0.05.
    """
    languages = list(dict.fromkeys(one.language for one in compared))
    columns = len(compared) // len(languages)
    canvas = Canvas(len(languages), columns, height=2.3, width=3.35 if columns == 1 else max(6.9, 2.6 * columns))
    highest = max(one.found.scores.max().item() for one in compared)
    for axes, one in zip(canvas.axes.flat, compared):
        _panel(canvas, axes, one, highest, level)
    empty = canvas.axes[0][0].scatter, canvas.axes[0][0].plot
    handles = [empty[0]([], [], **_BEST), empty[0]([], [], **{**_CROSSED, 'color': '0.5', 's': 12}),
               *empty[1]([], [], color=COLORS[3], linewidth=1), *empty[1]([], [], color='0.5', linewidth=1, linestyle=':')]
    canvas.legend(handles, ['the best pair', f'p above {level:g}', f'what {level:.0%} of permutations reach',
                            'mean of permutations'], columns=4)
    return canvas


def _panel(canvas: Canvas, axes: Any, one: Any, highest: float, level: float) -> None:
    scores = one.found.scores.T.numpy()  # a row for each vision block, the first at the bottom
    image = axes.imshow(scores, origin='lower', aspect='auto', cmap=COLOR_MAP, vmin=0, vmax=highest)
    axes.grid(visible=False)
    rows, columns = (one.found.p_values.T > level).nonzero(as_tuple=True)
    axes.scatter(columns, rows, **_CROSSED)
    first, second = one.found.best
    p = one.found.p_values[first, second].item()
    axes.scatter([first], [second], **_BEST)
    axes.set_xlabel(f'block of {one.language}')
    axes.set_ylabel(f'block of {one.vision}' + (f', run {one.run}' if one.run else ''))
    axes.set_title(f'best {scores.max():.3f}, calibrated {one.found.calibrated(level).max():.3f}, p = {p:.3g}')
    bar = canvas.figure.colorbar(image, ax=axes)
    bar.ax.tick_params(labelsize=7)
    bar.ax.axhline(one.chance, color='white', linewidth=1, linestyle=':')
    bar.ax.axhline(one.found.threshold(level), color=COLORS[3], linewidth=1)
