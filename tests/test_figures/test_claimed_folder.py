"""Figures replace files that their own tool wrote, and no others."""
import json
import os
from contextlib import nullcontext

import pytest

from lbbt_mm.experiments import results_folder
from lbbt_mm.figures.claimed_folder import EXPERIMENT_MARK, REPORT, claimed, files_of, mark_of, refuse_other_figures

FIGURES = ('activation', 'alignment', 'curves', 'gsnr', 'hessian', 'landscape', 'mutual_knn', 'outliers', 'separability',
           REPORT)


def make(folder, figure='curves', **options):
    """What a tool does."""
    with claimed(folder, figure, **options):
        (folder / files_of(figure)[0]).write_text(figure)


@pytest.mark.parametrize('figure, name', [(figure, name) for figure in FIGURES for name in files_of(figure)])
def test_a_file_without_a_mark_is_refused(figure, name, tmp_path):
    (tmp_path / name).write_text('mine')
    expected = (f'{tmp_path}/{name} is there and would be overwritten, and no .{figure}.lbbt_mm.json beside it says that '
                f'{figure}.py wrote it. Nothing was touched: give another --out, or move {name} away')
    with pytest.raises(ValueError, match=expected) as caught:
        make(tmp_path, figure)
    assert '\n' not in str(caught.value) and os.listdir(tmp_path) == [name] and (tmp_path / name).read_text() == 'mine'


def test_other_files_do_no_harm_and_a_new_folder_is_made(tmp_path):
    (tmp_path / 'curves.txt').write_text('mine')
    for folder in (tmp_path, tmp_path / 'a' / 'b'):
        make(folder)
        assert json.loads((folder / '.curves.lbbt_mm.json').read_text()) == dict(made_by='lbbt_mm curves.py')
        make(folder)
    assert (tmp_path / 'curves.txt').read_text() == 'mine'


def test_several_figures_share_a_folder(tmp_path):
    for _ in range(2):
        for figure in FIGURES:
            make(tmp_path, figure)
    assert {path.name for path in tmp_path.glob('.*')} == {f'.{figure}.lbbt_mm.json' for figure in FIGURES}


def test_an_experiment_s_own_curves_are_refused_and_other_figures_leave_it_its_own(tmp_path):
    results_folder.claim_results(tmp_path, 'compare_arms.py')
    (tmp_path / 'curves.png').write_text('theirs')
    with pytest.raises(ValueError, match='curves.png is there and would be overwritten'):
        make(tmp_path)
    make(tmp_path, 'activation')
    make(tmp_path, 'activation')
    results_folder.claim_results(tmp_path, 'compare_arms.py')
    assert json.loads((tmp_path / EXPERIMENT_MARK).read_text()) == dict(made_by='lbbt_mm compare_arms.py')
    assert (tmp_path / 'curves.png').read_text() == 'theirs'


def test_an_experiment_refuses_the_curves_of_a_figure(tmp_path):
    make(tmp_path)
    with pytest.raises(ValueError, match='curves.png was not written by a run of ours'):
        results_folder.refuse_other_results(tmp_path, 'compare_arms.py')


def test_an_experiment_of_before_there_were_marks_stays_its_tool_s(tmp_path):
    run = tmp_path / 'runs' / 'a'
    run.mkdir(parents=True)
    (run / 'request.json').write_text(json.dumps(dict(id='a', config={}, options=[])))
    (tmp_path / 'results.csv').write_text('ours')
    make(tmp_path, 'activation')
    results_folder.refuse_other_results(tmp_path, 'compare_arms.py')


@pytest.mark.parametrize('text', ('', '[]', '{"made_by": "someone"}', '{"made_by": "lbbt_mm activation.py"}'))
def test_a_mark_of_somebody_else_is_none(text, tmp_path):
    mark_of(tmp_path, 'curves').write_text(text)
    (tmp_path / 'curves.csv').write_text('mine')
    with pytest.raises(ValueError):
        make(tmp_path)
    assert mark_of(tmp_path, 'curves').read_text() == text and not (tmp_path / 'curves.png').exists()


@pytest.mark.parametrize('parts, known', (({}, False), (dict(question='a'), False), (dict(question='a', parts={}), True)))
def test_what_an_earlier_version_has_done_is_gone_on_with(parts, known, tmp_path):
    (tmp_path / 'hessian.parts.json').write_text(json.dumps(parts))
    (tmp_path / 'hessian.png').write_text('of an earlier version')
    with nullcontext() if known else pytest.raises(ValueError):
        make(tmp_path, 'hessian')


@pytest.mark.parametrize('mark, known', ((None, False), ('someone', False), ('lbbt_mm compare_arms.py', True)))
def test_a_figure_s_own_folder_in_an_experiment(mark, known, tmp_path):
    if mark:
        (tmp_path / EXPERIMENT_MARK).write_text(json.dumps(dict(made_by=mark)))
    for name in ('gsnr', 'other'):
        (tmp_path / name).mkdir()
        (tmp_path / name / 'gsnr.png').write_text('of an earlier version')
    with nullcontext() if known else pytest.raises(ValueError):
        make(tmp_path / 'gsnr', 'gsnr')
    with pytest.raises(ValueError):
        make(tmp_path / 'other', 'gsnr')


@pytest.mark.parametrize('error', (ValueError, KeyboardInterrupt))
@pytest.mark.parametrize('is_there', (False, True))
def test_an_error_before_the_first_file_leaves_all_as_it_was(is_there, error, tmp_path):
    folder = tmp_path / 'a' / 'b'
    if is_there:
        make(folder, 'activation')
    with pytest.raises(error), claimed(folder, 'curves'):
        assert mark_of(folder, 'curves').is_file()
        make(folder, 'landscape')  # another tool, in the meantime
        raise error
    assert not mark_of(folder, 'curves').exists()
    for figure in ('landscape', *(['activation'] if is_there else [])):
        make(folder, figure)


def test_an_error_removes_the_folders_that_were_not_there(tmp_path):
    with pytest.raises(ValueError), claimed(tmp_path / 'a' / 'b', 'curves'):
        raise ValueError
    assert not list(tmp_path.iterdir())


def test_what_was_done_before_an_error_stays_ours(tmp_path):
    with pytest.raises(KeyboardInterrupt), claimed(tmp_path, 'activation'):
        (tmp_path / 'activation.parts.json').write_text('{}')
        raise KeyboardInterrupt
    make(tmp_path, 'activation')
    with pytest.raises(ValueError), claimed(tmp_path, 'activation'):
        raise ValueError
    refuse_other_figures(tmp_path, 'activation')


class TestReport:

    def test_its_sections_are_its_own(self, tmp_path):
        """Also those of before there were marks, in an experiment whose report they are."""
        section = tmp_path / REPORT / 'curves'
        section.mkdir(parents=True)
        (section / 'curves.png').write_text('of an earlier version')
        with pytest.raises(ValueError, match='curves.png is there'):
            make(section)
        with claimed(tmp_path, REPORT, is_ours=True):
            make(section)
            (section / 'activation.png').write_text('mine')
            with pytest.raises(ValueError, match='activation.png is there'):
                make(section, 'activation')

    def test_it_leaves_an_experiment_of_before_there_were_marks_to_its_tool(self, tmp_path):
        (tmp_path / 'report.html').write_text('of an earlier version')
        run = tmp_path / 'runs' / 'a'
        run.mkdir(parents=True)
        (run / 'request.json').write_text(json.dumps(dict(id='a', config={}, options=[])))
        make(tmp_path, REPORT, is_ours=True)
        results_folder.refuse_other_results(tmp_path, 'compare_arms.py')
