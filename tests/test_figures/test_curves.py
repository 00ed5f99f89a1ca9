"""tools/analysis/curves.py: curves of several runs, from their logs."""
import pandas as pd
import pytest

from lbbt_mm.figures import curves, run_curves

NAN = float('nan')


@pytest.fixture
def tool(tmp_path, monkeypatch, capfd):
    """Runs the tool; gives its exit status, what it printed and the panels that it drew."""
    drawn = {}
    draw = run_curves.draw_curves
    monkeypatch.setattr(run_curves, 'draw_curves', lambda panels: drawn.update(panels) or draw(panels))

    def run(*arguments):
        status = curves.main([*arguments, '--out', str(tmp_path / 'out')])
        captured = capfd.readouterr()
        return status, captured.out + captured.err, drawn

    return run


def test_seeds_of_a_label_and_the_default_metrics(log, tool, tmp_path):
    runs = [f'language={log("a", (3, 2, 1), (10, 20, 30))}', f'language={log("b", (3, 2, 2), (20, 30, 40))}',
            f'random={log("c", (3, 3, 3), (10, 10, 10))}']
    status, output, panels = tool(*runs)
    assert status == 0, output
    assert list(panels) == ['loss', 'accuracy/top1']
    assert [panel.unit for panel in panels.values()] == ['iteration', 'epoch'] and not panels['loss'].note
    table = pd.read_csv(tmp_path / 'out' / 'curves.csv')
    assert len(table) == 2 * 9 and set(table['label']) == {'language', 'random'}
    rows = table[(table['metric'] == 'accuracy/top1') & (table['step'] == 3)]
    assert rows['value'].tolist() == [30, 40, 10] and rows['seed'].tolist() == [0, 1, 0]
    assert rows['run'].tolist() == [str(tmp_path / name) for name in 'abc']
    assert ' 35 ' in output and '7.071' in output, 'mean and standard deviation of the last values'
    assert all((tmp_path / 'out' / f'curves.{ending}').stat().st_size > 3000 for ending in ('png', 'pdf'))


def test_auxiliary_training_is_drawn_by_its_main_path_beside_runs_of_one_path(log, tool):
    runs = [f'aux={log("a", (3, 2), (10, 20), main=(5, 4))}', f'plain={log("b", (6, 3), (10, 20))}']
    status, output, panels = tool(*runs)
    assert status == 0, output
    assert list(panels) == ['main_unweighted', 'accuracy/top1']
    panel = panels['main_unweighted']
    assert panel.curves['value'].tolist() == [5, 4, 6, 3] and panel.note == 'loss of the one path: plain'
    assert not tool(runs[0])[2]['main_unweighted'].note
    assert tool(*runs, '--metric', 'loss')[2]['loss'].curves['value'].tolist() == [3, 2, 6, 3], 'where it is asked for'


def test_metrics_that_are_named_are_the_panels(log, tool):
    runs = log('a', (3, 2), (10, 20)), log('b', (3, 2), (10, 20))
    assert list(tool(*runs, '--metric', 'accuracy/top1')[2]) == ['accuracy/top1']


def test_iterations_of_a_training_without_epochs(log, tool):
    _, _, panels = tool(log('a', (3, 2), (10, 20), epochs=False))
    assert panels['accuracy/top1'].unit == 'iteration'
    assert panels['accuracy/top1'].curves['step'].tolist() == [2, 4]


def test_a_resumed_run_is_one_curve(log, tool, tmp_path):
    log('a', (4, 3, 2), attempt='20260101')
    _, _, panels = tool(log('a', (2.5, 1), attempt='20260102', first=3), '--metric', 'loss')
    assert panels['loss'].curves['value'].tolist() == [4, 3, 2.5, 1]


@pytest.mark.parametrize('word', ('by its log', 'by its mark'))
def test_a_run_that_diverged_is_marked_and_counted(word, log, tool, tmp_path):
    good, bad = log('good', (3, 2, 1)), log('bad', (3, 9, NAN) if word == 'by its log' else (3, 9))
    if word == 'by its mark':
        (tmp_path / 'bad' / 'done').write_text('diverged')
    status, output, panels = tool(f'a={good}', f'a={bad}', f'b={log("other", (1, 1, 1))}')
    assert status == 0 and panels['loss'].diverged == [('a', 1)]
    row, = [line for line in output.splitlines() if line.startswith('│ loss') and '│ a ' in line]
    assert row.split('│')[-2].strip() == '1', 'diverged'
    assert row.split('│')[6].strip() == '1', 'one run came to the last step'


def test_a_metric_that_some_runs_lack_is_said_in_its_panel(log, tool):
    runs = [f'a={log("a", (3, 2), (10, 20))}', f'a={log("b", (3, 2))}', f'b={log("c", (3, 2), (0.1, 0.2), metric="mAP")}']
    status, output, panels = tool(*runs)
    assert status == 0, output
    assert panels['accuracy/top1'].note == 'not logged: a (1 of 2), b' and panels['mAP'].note == 'not logged: a'
    row, = [line for line in output.splitlines() if 'accuracy/top1' in line and '│ b ' in line]
    assert '│ - │' in ' '.join(row.split()), 'a row without a number'


def test_a_metric_without_a_finite_value(log, tool):
    status, output, panels = tool(f'a={log("a", (3, 2), (10, 20))}', f'b={log("b", (3, 2), (NAN, NAN))}')
    assert status == 0 and panels['accuracy/top1'].note == 'no finite value: b'


def test_runs_of_different_lengths(log, tool):
    status, output, panels = tool(f'a={log("a", (3, 2, 1))}', f'a={log("b", (3, 2))}')
    assert status == 0
    row, = [line.split('│') for line in output.splitlines() if line.startswith('│ loss')]
    assert [cell.strip() for cell in row[5:8]] == ['6', '1', '1'], 'last step, runs that reached it, their mean'


@pytest.mark.parametrize('what, said', (
    ('empty', 'has no records in */vis_data/scalars.json; expected the folder of a run that has logged. Correct the path.'),
    ('twice', 'is named twice. Name each run once.'),
    ('label', "the label '_x' begins with _ or has a $; expected one that figures can show. Give another: LABEL=PATH"),
    ('metric', '--metric acc: no run has it; there are: accuracy/top1, epoch, iter, loss, lr, step. Correct it.'),
    ('units', 'accuracy/top1: its steps count epochs in a (')))
def test_what_cannot_be_drawn_is_one_line(what, said, log, tool, tmp_path):
    run = log('a', (3, 2), (10, 20))
    (tmp_path / 'empty').mkdir()
    arguments = dict(empty=[run, str(tmp_path / 'empty')], twice=[run, f'again={run}'], metric=[run, '--metric', 'acc'],
                     label=[f'_x={run}'], units=[run, log('b', (3, 2), (10, 20), epochs=False)])[what]
    status, output, _ = tool(*arguments)
    assert status == 2 and said in output and len(output.strip().splitlines()) == 1
    assert not (tmp_path / 'out').exists()
