"""tools/analysis/gsnr.py: the table that runs wrote, over training and by block."""
import pandas as pd
import pytest

from lbbt_mm.figures import gsnr, gsnr_trends
from lbbt_mm.files.gsnr_table import GsnrRow, write_gsnr

BATCH = 13
FLOOR = 1 / 10


@pytest.fixture
def measured(tmp_path):
    """Writes the table of a run: the ratio of each block in each epoch."""

    def write(name, epochs, batch_size=BATCH):
        rows = [GsnrRow(epoch, block, value, FLOOR, value - FLOOR, batch_size * value, 50, 5., batch_size, 2)
                for epoch, values in epochs.items() for block, value in enumerate(values)]
        (tmp_path / name).mkdir(exist_ok=True)
        write_gsnr(tmp_path / name / 'gsnr.csv', rows)
        return str(tmp_path / name)

    return write


@pytest.fixture
def tool(tmp_path, monkeypatch, capfd):
    """Runs the tool; gives its exit status, what it printed, the panels that it drew, and its canvas."""
    drawn, canvases = {}, []
    draw, make = gsnr_trends.draw_curves, gsnr_trends.draw
    monkeypatch.setattr(gsnr_trends, 'draw_curves', lambda panels: drawn.update(panels) or draw(panels))
    monkeypatch.setattr(gsnr_trends, 'draw', lambda *args: canvases.append(make(*args)) or canvases[-1])

    def run(*arguments):
        status = gsnr.main([*arguments, '--out', str(tmp_path / 'out')])
        captured = capfd.readouterr()
        return status, captured.out + captured.err, drawn, canvases

    return run


def values(panel):
    return {key: part['value'].tolist() for key, part in panel.curves.groupby(['arm', 'seed'], sort=False)}


def test_trend_is_the_mean_over_blocks_and_difference_that_of_means_over_epochs(measured, tool, tmp_path):
    runs = [f'vanilla={measured("a", {1: (0.1, 0.3), 2: (0.2, 0.4)})}',
            f'vanilla={measured("b", {1: (0.1, 0.5), 2: (0.2, 0.8)})}',
            f'end={measured("c", {1: (0.2, 0.8), 2: (0.3, 1.1)})}']
    status, output, panels, (canvas, ) = tool(*runs)
    assert status == 0, output
    trend, difference = panels.values()
    assert list(panels) == ['GSNR, mean over blocks', 'GSNR, mean over epochs, less vanilla']
    assert (trend.unit, difference.unit) == ('epoch', 'block')
    assert values(trend) == {('vanilla', 0): pytest.approx([0.2, 0.3]), ('vanilla', 1): pytest.approx([0.3, 0.5]),
                             ('end', 0): pytest.approx([0.5, 0.7])}
    # Eq. 7 of vanilla: blocks of 0.15 and 0.35 in one run, of 0.15 and 0.65 in the other
    assert values(difference) == {('vanilla', 0): pytest.approx([0, -0.15]), ('vanilla', 1): pytest.approx([0, 0.15]),
                                  ('end', 0): pytest.approx([0.1, 0.45])}
    lines = [[line.get_ydata()[0] for line in axes.lines if len(set(line.get_ydata())) == 1 and line.get_color() == '0.4']
             for axes in canvas.axes.flat]
    assert lines == [[FLOOR], [0]]
    assert 'without a signal, batch 13' in [text.get_text() for text in canvas.axes[0, 0].texts]
    assert '0.25 (+0.1)' in output and '0.95 (+0.45)' in output
    assert 'without variance' in output and ' 0.1 ' in output

    table = pd.read_csv(tmp_path / 'out' / 'gsnr.csv')
    assert len(table) == 12 and list(table.columns) == ['label', 'seed', 'run', *GsnrRow._fields]
    blocks = pd.read_csv(tmp_path / 'out' / 'gsnr_blocks.csv').set_index(['label', 'block'])
    assert blocks.loc[('vanilla', 1), ['runs', 'mean', 'std']].tolist() == pytest.approx([2, 0.5, 0.3 / 2**0.5])
    assert blocks.loc[('end', 1), 'difference'] == pytest.approx(0.45)
    assert all((tmp_path / 'out' / f'gsnr.{ending}').stat().st_size > 3000 for ending in ('png', 'pdf'))


@pytest.mark.parametrize('value, factor, less, floor', (('corrected', 1, FLOOR, 0), ('scaled', BATCH, 0, 1.3)))
def test_other_forms_have_their_own_floor(value, factor, less, floor, measured, tool):
    status, output, panels, (canvas, ) = tool(f'a={measured("a", {1: (0.1, 0.3), 2: (0.2, 0.4)})}', '--value', value)
    assert status == 0, output
    trend, blocks = panels.values()
    assert values(trend)['a', 0] == pytest.approx([factor * 0.2 - less, factor * 0.3 - less])
    assert values(blocks)['a', 0] == pytest.approx([factor * 0.15 - less, factor * 0.35 - less]), 'one label: the values'
    assert [axes.lines[-1].get_ydata()[0] for axes in canvas.axes.flat] == pytest.approx([floor, floor])


def test_the_baseline_can_be_chosen_and_labels_are_names_without_the_seed(measured, tool):
    runs = [measured(name, {1: (value, value)}) for name, value in (('end-seed0-lr0.1', 0.5), ('end-seed1-lr0.1', 0.7),
                                                                     ('none-seed0-lr0.1', 0.2))]
    status, output, panels, _ = tool(*runs, '--baseline', 'none-lr0.1')
    assert status == 0, output
    assert values(panels['GSNR, mean over epochs, less none-lr0.1'])['end-lr0.1', 1] == pytest.approx([0.5, 0.5])
    status, output, *_ = tool(*runs, '--baseline', 'other')
    assert status == 2 and '--baseline other: no run has that label; there are: end-lr0.1, none-lr0.1. Correct' in output


def test_epochs_that_not_all_runs_have_are_not_in_the_differences(measured, tool):
    runs = f'a={measured("a", {1: (0.1, ), 3: (0.3, ), 5: (9., )})}', f'b={measured("b", {1: (0.2, ), 3: (0.6, )})}'
    status, output, panels, _ = tool(*runs)
    assert status == 0, output
    assert values(panels['GSNR, mean over epochs, less a']) == {('a', 0): [0], ('b', 0): pytest.approx([0.2])}
    status, output, *_ = tool(runs[0], f'c={measured("c", {2: (0.2, )})}')
    assert status == 2 and 'The runs have no measured epoch in common; expected one at least.' in output


def test_a_run_that_diverged_has_no_mean(measured, tool):
    last = float('nan'), 0.2
    runs = f'a={measured("a", {1: (0.1, 0.2), 2: (0.3, 0.2)})}', f'b={measured("b", {1: (0.2, 0.2), 2: last})}'
    status, output, panels, _ = tool(*runs)
    assert status == 0, output
    first, second = values(panels['GSNR, mean over epochs, less a'])['b', 0]
    assert first != first and second == 0


@pytest.mark.parametrize('what, said', (
    ('absent', 'has no gsnr.csv; expected the folder of a run that had lbbt_mm.GSNRHook, after its first measured epoch.'),
    ('empty', 'gsnr.csv: has no rows; expected a run that was measured.'),
    ('damaged', "gsnr.csv: its first line is 'a,b'; expected a table of epoch, block"),
    ('twice', 'is named twice. Name each run once.'),
    ('batch', 'batches of 8, ', ),
    ('depth', 'blocks 0, 1, 2, ', )))
def test_runs_that_cannot_be_drawn_are_one_line(what, said, measured, tool, tmp_path):
    good = measured('good', {1: (0.1, 0.2)})
    other = measured('other', {} if what == 'empty' else {1: (0.1, 0.2, 0.3) if what == 'depth' else (0.1, 0.2)},
                     8 if what == 'batch' else BATCH)
    if what == 'absent':
        (tmp_path / 'other' / 'gsnr.csv').unlink()
    if what == 'damaged':
        (tmp_path / 'other' / 'gsnr.csv').write_text('a,b\n')
    status, output, *_ = tool(f'a={good}', f'b={good if what == "twice" else other}')
    assert status == 2 and said in output and len(output.strip().splitlines()) == 1
    if what in ('batch', 'depth'):
        assert f'{good}: ' in output and 'expected the same. Draw these runs apart.' in output
    assert not (tmp_path / 'out').exists()
