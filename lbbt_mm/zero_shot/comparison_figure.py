"""Accuracy of language models against what needs no training."""
from typing import Mapping

import pandas as pd

from lbbt_mm.figures.canvas import Canvas, styles


def draw(summary: pd.DataFrame, predictors: Mapping[str, str], method: str) -> Canvas:
    """A panel a predictor; a point a language model and task, with the interval over seeds.

    Args:
        summary: What :func:`lbbt_mm.zero_shot.comparison_tables.summarize` returns.
        predictors: Its columns, and what axes call them; those without numbers are left out.
        method: Which one's accuracy is shown.
    """
    own = summary[(summary['method'] == method) & (summary['kind'] != '')]
    shown = {column: name for column, name in predictors.items() if own[column].notna().any()}
    canvas = Canvas(columns=len(shown), sharey=True)
    for axes, (column, name) in zip(canvas.axes.flat, shown.items()):
        for task, style in styles(list(own['task'].unique())).items():
            points = own[own['task'] == task].dropna(subset=[column, 'accuracy'])
            spread = (points[['low', 'high']].sub(points['accuracy'], axis=0).abs() * 100).fillna(0)
            axes.errorbar(points[column], 100 * points['accuracy'], spread.to_numpy().T, label=task,
                          **{**style, 'linestyle': 'none'}, capsize=2)
            for row in points.itertuples():
                axes.annotate(row.model, (getattr(row, column), 100 * row.accuracy), xytext=(3, 3), fontsize=6,
                              textcoords='offset points')
        axes.set_xlabel(name)
    canvas.axes[0, 0].set_ylabel('zero-shot accuracy (%)')
    canvas.legend()
    return canvas
