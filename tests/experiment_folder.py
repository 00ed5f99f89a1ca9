"""Reads what an experiment has written into ``out`` below a test's folder."""
import json
from pathlib import Path

import pandas as pd


def results(folder: Path) -> pd.DataFrame:
    """``results.csv``."""
    return pd.read_csv(folder / 'out' / 'results.csv')


def summary(folder: Path, metric: str = 'accuracy/top1') -> pd.DataFrame:
    """A metric's rows of ``summary.csv``, by arm."""
    table = pd.read_csv(folder / 'out' / 'summary.csv')
    return table[table['metric'] == metric].set_index('arm')


def request(folder: Path, run: str) -> dict:
    """The config that a run was asked for with."""
    return json.loads((folder / 'out' / 'runs' / run / 'request.json').read_text())['config']
