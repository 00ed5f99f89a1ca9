"""Which runs a report is of."""
import math
from pathlib import Path

import pandas as pd
import pytest

from lbbt_mm.figures.report_runs import ReportedRuns, find_runs
from tests.test_figures.written_logs import write_experiment, write_log


@pytest.fixture
def experiment(tmp_path):
    return write_experiment(tmp_path / 'experiment')


def named(texts):
    return [text.split('=')[0] + ' ' + Path(text.split('=', 1)[1]).name for text in texts]


def test_the_first_whole_run_of_each_label():
    runs = ReportedRuns([], ['a=x', 'b=y', 'a=z=1', 'b=w'], [])
    assert runs.firsts == ['a=x', 'b=y']


def test_runs_that_are_named_are_whole_unless_they_diverged_or_go_on(tmp_path):
    logs = dict(a={}, b=dict(ends='diverged'), c=dict(losses=(3., math.nan)), d=dict(ends=''), e=dict(ends=''))
    texts = [f'x={write_log(tmp_path / name, **options)}' for name, options in logs.items()]
    (tmp_path / 'e' / 'request.json').unlink()  # one of mmengine's alone, which leaves no mark
    found = find_runs(texts)
    assert found.logged == texts and found.whole == [texts[0], texts[4]] and found.experiment is None
    assert found.left_out == [f'x ({tmp_path / name}) {why}; it is in the curves alone.' for name, why in (
        ('b', 'diverged'), ('c', 'diverged'), ('d', 'has not come to its end'))]


def test_labels_that_lack_runs_are_said():
    runs = ReportedRuns(['a=0', 'a=1', 'b=0', 'c=0', 'c=1'], ['a=0', 'b=0'], [])
    assert runs.gaps == ['a: 1 of its 2 runs came to their end; the others are in the curves alone.',
                         'c: none of its runs has come to its end with finite numbers, so it is not here.']


def test_what_was_measured_in_runs_and_what_they_have(tmp_path):
    found = find_runs([f'a={write_log(tmp_path / "a", gsnr=True)}', f'b={write_log(tmp_path / "b", type="x")}'])
    assert found.with_gsnr == [f'a={tmp_path / "a"}'] and not found.have_rectifier
    rectified = write_log(tmp_path / 'c', rectifier=dict(type='lbbt_mm.LanguageRectifier'))
    assert find_runs([f'a={tmp_path / "a"}', f'c={rectified}']).have_rectifier
    assert not find_runs([f'c={tmp_path / "b"}', f'c={rectified}']).have_rectifier, 'the first of a label is looked at'


def test_the_runs_that_were_compared(experiment):
    """Those of the learning rate and the standard deviation that were chosen; labels end at the first =."""
    found = find_runs([str(experiment)])
    assert found.experiment == experiment and not found.left_out
    assert named(found.whole) == [
        'cell:1-language cell=1-language-seed0-lr0.1', 'cell:1-language cell=1-language-seed1-lr0.1',
        'random random-seed0-lr3e-05', 'tuned tuned-seed0-lr0.1-std0.04', 'tuned tuned-seed1-lr0.1-std0.04']


def test_an_arm_whose_name_begins_as_another_s_and_runs_without_a_rate(tmp_path):
    for name in ('a-seed0', 'a-b-seed0', 'a-seed10', 'a-seed2', 'a-seedx'):
        write_log(tmp_path / 'runs' / name)
    pd.DataFrame(dict(arm=['a', 'a'], lr=[math.nan] * 2)).to_csv(tmp_path / 'summary.csv', index=False)
    assert named(find_runs([str(tmp_path)]).whole) == ['a a-seed0', 'a a-seed2', 'a a-seed10']


def test_runs_that_cannot_be_told_or_have_no_log_are_said(experiment):
    for name in ('random-seed0-lr3e-05', 'cell=1-language-seed1-lr0.1'):
        (experiment / 'runs' / name / 'a' / 'vis_data' / 'scalars.json').unlink()
    for path in (experiment / 'runs').glob('tuned-seed1*'):
        path.rename(path.with_name('other'))
    found = find_runs([str(experiment)])
    assert named(found.whole) == ['cell:1-language cell=1-language-seed0-lr0.1']
    assert found.left_out == [
        'cell=1-language-seed1-lr0.1: has no log.', 'random-seed0-lr3e-05: has no log.',
        'tuned: which of its standard deviations was chosen cannot be seen from one seed.']


@pytest.mark.parametrize('text', ['', 'arm,mean\na,1\n', None])
def test_an_experiment_without_results(experiment, text):
    (experiment / 'summary.csv').unlink()
    if text is not None:
        (experiment / 'summary.csv').write_text(text)
    with pytest.raises(ValueError, match='experiment: has no summary.csv of an experiment yet. Let compare_arms.py come'):
        find_runs([str(experiment)])
