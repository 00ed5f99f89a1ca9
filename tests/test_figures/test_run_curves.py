"""Curves of runs from their logs: labels, units, which metrics, and their last values."""
import math

import pytest

from lbbt_mm.figures import run_curves
from lbbt_mm.figures.run_curves import default_metrics, make_panel, read_runs, summarise


def test_names_of_runs_of_an_experiment_are_labels_without_the_seed(log):
    names = ['language-seed0-lr0.1', 'language-seed1-lr0.1', 'language-seed0-lr3e-05', 'cell=1-random-seed12-lr0.1-std0.02',
             'mine']
    runs = run_curves.read_runs([log(name, (1, )) for name in names])
    assert [run.label for run in runs] == ['language-lr0.1', 'language-lr0.1', 'language-lr3e-05',
                                           'cell=1-random-lr0.1-std0.02', 'mine']
    assert [run.seed for run in runs] == [0, 1, 0, 0, 0], 'another learning rate is another arm'


def test_a_run_says_where_it_is_and_what_its_steps_count(log):
    one, other = read_runs([f'x={log("a", (3, 2), (10, 20))}', f'x={log("b", (3, 2), (10, 20), epochs=False)}'])
    assert (one.name, other.seed) == (f'x ({one.folder})', 1)
    assert (one.unit('accuracy/top1'), one.unit('loss')) == ('epoch', 'iteration')
    assert other.unit('accuracy/top1') == 'iteration'
    assert one.curve('loss') == [(2, 3), (4, 2)] and one.curve('accuracy/top1') == [(1, 10), (2, 20)] and not one.curve('x')


def test_a_run_of_one_path_has_its_loss_in_place_of_the_main_path_s(log):
    one, other = read_runs([log('a', (3, 2), main=(5, 4)), log('b', (3, 2))])
    assert one.curve('main_unweighted') == [(2, 5), (4, 4)] and other.curve('main_unweighted') == [(2, 3), (4, 2)]


@pytest.mark.parametrize('losses, validations, mark, diverged', [
    ((3, 2), (10, ), '', False), ((3, math.nan), (10, ), '', True), ((math.nan, 2), (10, ), '', False),
    ((3, 2), (10, math.nan), '', True), ((3, 2), (10, ), 'diverged\n', True), ((3, 2), (10, ), 'finished', False)])
def test_a_run_diverged_by_its_last_values_or_its_mark(log, tmp_path, losses, validations, mark, diverged):
    folder = log('a', losses, validations)
    (tmp_path / 'a' / 'done').write_text(mark)
    assert read_runs([folder])[0].diverged is diverged


def test_default_metrics_are_the_loss_and_what_any_run_s_last_validation_has(log):
    runs = read_runs([log('a', (3, ), (1, )), log('b', (3, ), (1, ), metric='mAP'), log('c', (), (1, ), metric='x')])
    assert default_metrics(runs) == ['loss', 'accuracy/top1', 'mAP', 'x'] and default_metrics(runs[2:]) == ['x']
    assert default_metrics([*runs, *read_runs([log('d', (3, ), main=(2, ))])])[0] == 'main_unweighted'


def test_a_panel_has_every_point_and_says_what_it_lacks(log):
    runs = read_runs([f'a={log("a", (3, 2), (10, 20))}', f'a={log("b", (3, 2))}', f'b={log("c", (3, ), (math.nan, ))}'])
    panel = make_panel(runs, 'accuracy/top1')
    assert panel.curves.drop(columns='value').values.tolist() == [['a', 0, 1], ['a', 0, 2], ['b', 0, 1]]
    assert panel.curves.value.tolist()[:2] == [10, 20] and math.isnan(panel.curves.value[2])
    assert (panel.unit, panel.note) == ('epoch', 'not logged: a (1 of 2); no finite value: b')
    assert panel.diverged == [('b', 0)]


def test_last_values_are_of_the_runs_that_came_as_far_as_the_last_of_their_label(log):
    """By hand: 1 and 3 at step 6 have mean 2 and deviation the root of 2; the third run ended at step 4."""
    runs = read_runs([f'a={log("a", (9, 9, 1))}', f'a={log("b", (9, 9, 3))}', f'a={log("c", (9, 5))}',
                      f'b={log("d", (4, 7))}', f'c={log("e", (), (1, ))}'])
    table = summarise(runs, dict(loss=make_panel(runs, 'loss'))).set_index('label')
    assert table.loc['a'].drop('std').tolist() == ['loss', 3, 'iteration', 6, 2, 2., 0]
    assert table.loc['a', 'std'] == pytest.approx(math.sqrt(2))
    assert table.loc['b', ['runs', 'last step', 'n', 'mean']].tolist() == [1, 4, 1, 7.] and math.isnan(table.loc['b', 'std'])
    assert table.loc['c', ['runs', 'last step', 'n']].tolist() == [1, '-', 0] and math.isnan(table.loc['c', 'mean'])


def test_runs_that_cannot_be_read(log, tmp_path):
    run = log('a', (3, ))
    (tmp_path / 'empty').mkdir()
    with pytest.raises(ValueError, match='empty: has no records in'):
        read_runs([run, str(tmp_path / 'empty')])
    (tmp_path / 'link').symlink_to(run)
    with pytest.raises(ValueError, match='link is named twice. Name each run once'):
        read_runs([run, f'b={tmp_path / "link"}'])


def test_a_metric_that_no_run_has_or_in_two_units(log):
    runs = read_runs([log('a', (3, ), (1, )), log('b', (3, ), (1, ), epochs=False)])
    with pytest.raises(ValueError, match='--metric x: no run has it; there are: accuracy/top1, epoch, iter, loss, lr, step'):
        make_panel(runs, 'x')
    with pytest.raises(ValueError, match=r'accuracy/top1: its steps count epochs in a \(.*\) and iterations in b \('):
        make_panel(runs, 'accuracy/top1')


def test_the_file_has_the_run_of_each_point(log, tmp_path, monkeypatch):
    written = {}
    monkeypatch.setattr(run_curves, 'write_numbers', lambda frame, out, name: written.update({name: frame}))
    monkeypatch.setattr(run_curves, 'draw_curves', lambda panels: type('Canvas', (), dict(save=lambda *args: None))())
    runs = [f'a={log("one", (3, 2))}', f'a={log("two", (1, ))}']
    run_curves.run(type('Args', (), dict(runs=runs, metrics=['loss', 'loss'], out=tmp_path))())
    frame = written['curves']
    assert frame[['label', 'seed', 'step', 'value', 'metric', 'unit']].values.tolist() == [
        ['a', 0, 2, 3, 'loss', 'iteration'], ['a', 0, 4, 2, 'loss', 'iteration'], ['a', 1, 2, 1, 'loss', 'iteration']]
    assert frame.run.tolist() == [str(tmp_path / name) for name in ('one', 'one', 'two')]
