"""How figures look: readable at the width of a paper's column, told apart without colours too."""
from pathlib import Path
from typing import Any, Dict, Sequence

from lbbt_mm.files.whole_files import whole_file

#: Inches: a column of a two-column paper, and both of them.
COLUMN, PAGE = 3.35, 6.9
#: Okabe and Ito's colours, which people with any kind of colour vision tell apart; yellow is left out, being faint on white.
COLORS = ('#0072B2', '#E69F00', '#009E73', '#D55E00', '#CC79A7', '#56B4E9', '#000000')
MARKERS = ('o', 's', '^', 'D', 'v', 'P', 'X')
LINES = ('-', '--', '-.', ':', (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))
#: For surfaces and matrices: even in lightness.
COLOR_MAP = 'viridis'
#: How matplotlib makes room for titles, labels and legends.
LAYOUT = 'constrained'
#: Inches of a legend: what an entry takes beside its name, and a letter of it.
_OF_HANDLE, _OF_LETTER = 0.5, 0.055
_STYLE = {'font.size': 8, 'axes.titlesize': 8, 'axes.labelsize': 8, 'legend.fontsize': 7, 'xtick.labelsize': 7,
          'ytick.labelsize': 7, 'axes.grid': True, 'grid.alpha': 0.3, 'axes.axisbelow': True, 'lines.linewidth': 1.2,
          'lines.markersize': 3, 'pdf.fonttype': 42}


def styles(labels: Sequence[str]) -> Dict[str, Dict[str, Any]]:
    """A colour, a marker and a kind of line for each of several things, the same in all panels.

    Args:
        labels: What is drawn.

    Returns:
        dict: Label -> keywords of matplotlib's ``plot``.
    """
    # markers and lines go round at another pace than colours, so that no two of 49 things look alike
    other = [number + number // len(COLORS) for number in range(len(labels))]
    return {label: dict(color=COLORS[number % len(COLORS)], marker=MARKERS[other[number] % len(MARKERS)],
                        linestyle=LINES[other[number] % len(LINES)]) for number, label in enumerate(labels)}


class Canvas:
    """A figure of one or more panels, drawn without a display and without pyplot's global state.

    Args:
        rows: Rows of panels.
        columns: Columns of panels.
        width: In inches. Defaults to None, a paper's column for one column of panels and both for more.
        height: Of a row, in inches. Defaults to 2.3.
        **options: As for matplotlib's ``Figure.subplots``.
    """

    def __init__(self, rows: int = 1, columns: int = 1, width: float = None, height: float = 2.3, **options: Any) -> None:
        from matplotlib import rc_context
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        width = width or (COLUMN if columns == 1 else PAGE)
        with rc_context(_STYLE):
            self.figure = Figure(figsize=(width, height * rows), layout=LAYOUT)
            FigureCanvasAgg(self.figure)
            #: The panels, an array ``(rows, columns)``.
            self.axes = self.figure.subplots(rows, columns, squeeze=False, **options)

    def legend(self, handles: Sequence[Any] = (), labels: Sequence[str] = (), columns: int = 3) -> None:
        """Put one legend below all panels, so that it covers no curve.

        Args:
            handles: What is explained. Defaults to none, what the first panel has that has labels.
            labels: Its names.
            columns: At most so many side by side; fewer where the names are long.
        """
        if not handles:
            found = dict(zip(*reversed(next(pair for pair in (axes.get_legend_handles_labels() for axes in self.axes.flat)
                                            if pair[0]))))
            labels, handles = list(found), list(found.values())
        fitting = int(self.figure.get_figwidth() / (_OF_HANDLE + _OF_LETTER * max(map(len, labels))))
        self.figure.legend(handles, labels, loc='outside lower center', ncols=max(1, min(columns, len(labels), fitting)),
                           frameon=False, fontsize=_STYLE['legend.fontsize'])

    def save(self, folder: Path, name: str) -> None:
        """Write the figure as PNG and as PDF; the same numbers give the same files.

        Args:
            folder: Where; it is made where it is absent.
            name: File name without an ending.
        """
        from matplotlib import rc_context
        folder.mkdir(parents=True, exist_ok=True)
        for axes in self.figure.axes:  # a title's size is that of when it is set
            axes.title.set_fontsize(_STYLE['axes.titlesize'])
        with rc_context(_STYLE):
            for kind, options in (('png', dict(dpi=200)), ('pdf', dict(metadata=dict(CreationDate=None)))):
                with whole_file(folder / f'{name}.{kind}') as file:
                    self.figure.savefig(file, format=kind, **options)
                self.figure.set_layout_engine('none')  # both have the same; finding it takes half of the time
