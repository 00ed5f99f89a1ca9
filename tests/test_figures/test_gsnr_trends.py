"""What is computed of the tables that runs wrote of their gradients."""
import pytest

from lbbt_mm.figures.canvas import styles
from lbbt_mm.figures.gsnr_trends import by_block, difference_table, draw, read_runs, summarise_blocks, summarise_runs
from lbbt_mm.files.gsnr_table import GsnrRow, write_gsnr

BATCH, FLOOR = 13, 0.1


@pytest.fixture
def rows(tmp_path):
    """Two seeds of one arm and one of another, two blocks, epochs 1 and 2; a third epoch of one run alone."""
    runs = {'a0': ('a', {1: (0.1, 0.3), 2: (0.2, 0.4)}), 'a1': ('a', {1: (0.1, 0.5), 2: (0.2, 0.8)}),
            'b0': ('b', {1: (0.2, 0.8), 2: (0.3, 1.1), 3: (9., 9.)})}
    for name, (_, epochs) in runs.items():
        (tmp_path / name).mkdir()
        write_gsnr(tmp_path / name / 'gsnr.csv', [
            GsnrRow(epoch, block, value, FLOOR, value - FLOOR, BATCH * value, 50, 5., BATCH, 2)
            for epoch, values in epochs.items() for block, value in enumerate(values)])
    return read_runs([f'{label}={tmp_path / name}' for name, (label, _) in runs.items()])


def test_runs_are_read_with_their_labels_and_seeds(rows, tmp_path):
    assert list(rows.columns) == ['label', 'seed', 'run', *GsnrRow._fields] and len(rows) == 14
    assert rows.groupby('run', sort=False)['seed'].first().tolist() == [0, 1, 0]
    assert set(rows['run']) == {str(tmp_path / name) for name in ('a0', 'a1', 'b0')}


def test_equation_7_is_the_mean_over_the_epochs_that_all_have(rows):
    blocks = by_block(rows, 'gsnr', 'a').set_index(['label', 'seed', 'block'])
    assert blocks['value'].tolist() == pytest.approx([0.15, 0.35, 0.15, 0.65, 0.25, 0.95])
    assert blocks['difference'].tolist() == pytest.approx([0, -0.15, 0, 0.15, 0.1, 0.45])
    scaled = by_block(rows, 'scaled', 'b')
    assert scaled['difference'].tolist() == pytest.approx([BATCH * value for value in (-0.1, -0.6, -0.1, -0.3, 0, 0)])


def test_a_missing_value_makes_no_mean_of_the_others(rows):
    rows.loc[(rows['label'] == 'b') & (rows['epoch'] == 2) & (rows['block'] == 0), 'gsnr'] = float('nan')
    blocks = by_block(rows, 'gsnr', 'a').set_index(['label', 'block'])['value']
    assert blocks[('b', 0)] != blocks[('b', 0)] and blocks[('b', 1)] == pytest.approx(0.95)
    assert summarise_runs(rows).set_index('label')['gsnr'].isna().to_dict() == dict(a=False, b=True)
    rows.loc[(rows['label'] == 'a') & (rows['seed'] == 1) & (rows['block'] == 1), 'gsnr'] = float('nan')
    summary = summarise_blocks(by_block(rows, 'gsnr', 'a')).set_index(['label', 'block'])
    assert summary['mean'].isna().tolist() == [False, True, True, False], 'nor over the runs of a label'
    assert summary['difference'].isna().tolist() == [False, True, True, True], 'nor one of the rest of the baseline'
    left = draw(rows, by_block(rows, 'gsnr', 'a'), 'gsnr', 'a').axes[0, 0]
    trend = {line.get_linestyle(): line.get_ydata() for line in left.lines if line.get_color() == styles('ab')['a']['color']}
    assert trend[':'] == pytest.approx([0.2, 0.3]), 'the run that has all blocks, alone'


def test_summaries_are_over_runs(rows):
    blocks = summarise_blocks(by_block(rows, 'gsnr', 'a')).set_index(['label', 'block'])
    assert blocks.loc[('a', 1), ['runs', 'mean', 'std']].tolist() == pytest.approx([2, 0.5, 0.3 / 2**0.5])
    assert blocks.loc[('b', 1), 'runs'] == 1 and blocks.loc[('b', 1), 'std'] != blocks.loc[('b', 1), 'std']
    runs = summarise_runs(rows).set_index('label')
    assert runs.loc['a', 'gsnr'] == pytest.approx((0.25 + 0.4) / 2) and runs.loc['a', 'std'] == pytest.approx(0.15 / 2**0.5)
    assert (runs.loc['a', 'floor'], runs.loc['a', 'batch'], runs.loc['a', 'without variance']) == (FLOOR, BATCH, 0.1)


def test_the_table_of_blocks_has_the_difference_in_brackets(rows):
    table = difference_table(by_block(rows, 'gsnr', 'a'), 'a')
    assert table.to_dict('list') == {'block': [0, 1], 'a': ['0.15', '0.5'], 'b': ['0.25 (+0.1)', '0.95 (+0.45)']}


@pytest.mark.parametrize('value, floor', [('gsnr', FLOOR), ('corrected', 0), ('scaled', BATCH * FLOOR)])
def test_the_floor_is_a_line_in_both_panels(rows, value, floor):
    canvas = draw(rows, by_block(rows, value, 'a'), value, 'a')
    left, right = canvas.axes[0]
    assert left.lines[-1].get_ydata()[0] == pytest.approx(floor) and right.lines[-1].get_ydata()[0] == 0
    one = rows[rows['label'] == 'a']
    alone = draw(one, by_block(one, value, 'a'), value, 'a')
    assert alone.axes[0, 1].lines[-1].get_ydata()[0] == pytest.approx(floor), 'one label has no difference'
    assert right.get_ylabel() == 'difference'
