"""Gradient signal-to-noise ratios of runs, from the tables in their folders."""
import argparse
from typing import Dict, Sequence

import pandas as pd

from lbbt_mm.files.gsnr_table import FILE_NAME, GsnrRow, read_gsnr
from .arguments import labelled_folder
from .canvas import Canvas
from .curve_panels import Panel, draw_curves
from .numbers import of_all, print_numbers, shown, write_numbers

#: What --value is called in figures
_NAMES = dict(gsnr='GSNR', corrected='GSNR less the floor', scaled='batch size x GSNR')


def run(args: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    rows = read_runs(args.runs)
    baseline = args.baseline or rows['label'].iloc[0]
    if baseline not in set(rows['label']):
        raise ValueError(f'--baseline {baseline}: no run has that label; there are: {", ".join(rows["label"].unique())}. '
                         'Correct it.')
    blocks = by_block(rows, args.value, baseline)
    write_numbers(rows, args.out, 'gsnr')
    write_numbers(summarise_blocks(blocks), args.out, 'gsnr_blocks')
    draw(rows, blocks, args.value, baseline).save(args.out, 'gsnr')
    print_numbers(summarise_runs(rows), 'Gradient signal-to-noise ratio over blocks and epochs; mean and standard deviation '
                  'over runs')
    print_numbers(difference_table(blocks, baseline), f'{_NAMES[args.value]} by block, Eq. 7;\nin brackets less {baseline}')


def read_runs(texts: Sequence[str]) -> pd.DataFrame:
    """Read the tables of runs.

    Args:
        texts: ``[LABEL=]RUN``, as the command line has them.

    Returns:
        DataFrame: ``label, seed, run`` and the columns of :class:`~lbbt_mm.files.gsnr_table.GsnrRow`.

    Raises:
        argparse.ArgumentTypeError: If a label cannot be shown.
        ValueError: If one is no folder with such a table, or is named twice, or runs cannot be compared.
    """
    tables: Dict[str, pd.DataFrame] = {}
    for text in texts:
        label, folder = labelled_folder(text)
        path = folder / FILE_NAME
        if not path.is_file():
            raise ValueError(f'{folder}: has no {FILE_NAME}; expected the folder of a run that had lbbt_mm.GSNRHook, after '
                             'its first measured epoch. Correct the path, or add the hook and run again.')
        table = pd.DataFrame(read_gsnr(path), columns=GsnrRow._fields)
        if table.empty:
            raise ValueError(f'{path}: has no rows; expected a run that was measured. Wait for its first measured epoch.')
        if str(folder.resolve()) in tables:
            raise ValueError(f'{folder} is named twice. Name each run once.')
        table.insert(0, 'run', str(folder))
        table.insert(0, 'seed', sum(other['label'].iloc[0] == label for other in tables.values()))
        table.insert(0, 'label', label)
        tables[str(folder.resolve())] = table
    _refuse_unlike(list(tables.values()))
    return pd.concat(tables.values(), ignore_index=True)


def _refuse_unlike(tables: Sequence[pd.DataFrame]) -> None:
    """Raise ValueError if runs cannot be compared."""
    first = tables[0]
    for table in tables[1:]:
        for what, values in (('batches of', 'batch_size'), ('blocks', 'block')):
            here, there = (', '.join(map(str, sorted(set(part[values])))) for part in (table, first))
            if here != there:
                reason = 'whose floors differ' if values == 'batch_size' else 'of which there are others'
                raise ValueError(f"{table['run'].iloc[0]}: {what} {here}, {first['run'].iloc[0]}: {what} {there}, {reason}; "
                                 'expected the same. Draw these runs apart.')


def by_block(rows: pd.DataFrame, value: str, baseline: str) -> pd.DataFrame:
    """Eq. 7: the mean over the epochs, of each block, and what it has more than the baseline.

    Args:
        rows: What :func:`read_runs` returns.
        value: Which column.
        baseline: The label whose mean over its runs is taken off.

    Returns:
        DataFrame: ``label, seed, block, value, difference``. Epochs that not all runs have are left out.

    Raises:
        ValueError: If no epoch is in all runs.
    """
    epochs = set.intersection(*(set(table['epoch']) for _, table in rows.groupby('run')))
    if not epochs:
        raise ValueError('The runs have no measured epoch in common; expected one at least. Draw these runs apart.')
    common = rows[rows['epoch'].isin(epochs)]
    groups = common.groupby(['label', 'seed', 'block'], sort=False)[value]
    means = of_all(groups, 'mean').rename('value').reset_index()
    base = of_all(means[means['label'] == baseline].groupby('block')['value'], 'mean')
    return means.assign(difference=means['value'] - means['block'].map(base))


def summarise_blocks(blocks: pd.DataFrame) -> pd.DataFrame:
    """One row for each label and block: mean and standard deviation over runs, of the value and of the difference."""
    groups = blocks.groupby(['label', 'block'], sort=False)
    return pd.DataFrame(dict(runs=groups.size(), mean=of_all(groups['value'], 'mean'), std=of_all(groups['value'], 'std'),
                             difference=of_all(groups['difference'], 'mean'))).reset_index()


def summarise_runs(rows: pd.DataFrame) -> pd.DataFrame:
    """One row for each label: over which runs and epochs, the floor, and the ratio in its three forms."""
    found = []
    for label, table in rows.groupby('label', sort=False):
        each = pd.DataFrame({name: of_all(table.groupby('seed')[name], 'mean') for name in ('gsnr', 'corrected', 'scaled')})
        mean = each.mean(skipna=False)
        found.append({'label': label, 'runs': len(each), 'epochs': table['epoch'].nunique(),
                      'batch': int(table['batch_size'].iloc[0]),
                      'without variance': float(table['zero_variance'].sum() / table['parameters'].sum()),
                      'floor': float(table['floor'].iloc[0]), 'gsnr': float(mean['gsnr']),
                      'std': float(each['gsnr'].std(skipna=False)), 'less the floor': float(mean['corrected']),
                      'times batch': float(mean['scaled'])})
    return pd.DataFrame(found)


def difference_table(blocks: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """One row for each block, one column for each label: its mean over runs, in brackets the difference to the baseline."""
    table = summarise_blocks(blocks)
    columns = {'block': sorted(table['block'].unique())}
    for label, part in table.groupby('label', sort=False):
        part = part.set_index('block').loc[columns['block']]
        columns[label] = [shown(mean) if label == baseline else f'{shown(mean)} ({difference:+.2g})'
                          for mean, difference in zip(part['mean'], part['difference'])]
    return pd.DataFrame(columns)


def draw(rows: pd.DataFrame, blocks: pd.DataFrame, value: str, baseline: str) -> Canvas:
    """Draw Figs. 2 and 3: the mean over blocks by epoch, and by block the difference to the baseline.

    Args:
        rows: What :func:`read_runs` returns.
        blocks: What :func:`by_block` returns.
        value: Which column of ``rows``.
        baseline: What the differences are to. Where there is no other label, the values themselves are drawn.
    """
    name, several = _NAMES[value], blocks['label'].nunique() > 1
    trend = of_all(rows.groupby(['label', 'seed', 'epoch'], sort=False)[value], 'mean').reset_index()
    drawn = blocks.assign(value=blocks['difference'] if several else blocks['value'])
    titles = f'{name}, mean over blocks', f'{name}, mean over epochs' + f', less {baseline}' * several
    canvas = draw_curves(dict(zip(titles, (_panel(trend, 'epoch', value), _panel(drawn, 'block', 'value')))))
    floor = dict(gsnr=rows['floor'].iloc[0], corrected=0., scaled=(rows['batch_size'] * rows['floor']).iloc[0])[value]
    size = rows['batch_size'].iloc[0]
    for axes, line, said in ((canvas.axes[0, 0], floor, f'without a signal, batch {size}'),
                             (canvas.axes[0, 1], 0. if several else floor, '')):
        axes.axhline(line, color='0.4', lw=0.8, ls=(0, (6, 2)))
        axes.annotate(said, (1, line), xycoords=('axes fraction', 'data'), xytext=(-2, 2), textcoords='offset points',
                      ha='right', va='bottom', fontsize=6, color='0.4', bbox=dict(fc='white', alpha=0.7, lw=0, pad=0.5))
        axes.set_ylabel(name)
    canvas.axes[0, 1].set_ylabel('difference' if several else name)
    for axes, steps in zip(canvas.axes[0], (rows['epoch'], blocks['block'])):
        if steps.nunique() > 1:
            axes.xaxis.get_major_locator().set_params(integer=True)
    return canvas


def _panel(table: pd.DataFrame, step: str, value: str) -> Panel:
    curves = table.rename(columns={'label': 'arm', step: 'step', value: 'value'})
    return Panel(curves[['arm', 'seed', 'step', 'value']], step)
