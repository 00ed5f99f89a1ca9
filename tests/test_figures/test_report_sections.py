"""What each section asks of its tool, and what it takes from it."""
import argparse
import sys
from importlib import import_module
from pathlib import Path

import pandas as pd
import pytest

from lbbt_mm.figures import report, report_sections
from lbbt_mm.figures.numbers import print_numbers
from lbbt_mm.figures.report_runs import ReportedRuns, find_runs
from lbbt_mm.figures.report_sections import TOOLS, make_section, results
from tests.test_figures.written_logs import write_experiment, write_log

#: Two whole runs of one arm, one of another, and one that is in the curves alone.
RUNS = ReportedRuns(['a=0', 'a=1', 'b=0', 'c=0'], ['a=0', 'a=1', 'b=0'], [])
ARGS = argparse.Namespace(max_samples=20, device='cpu', only=[], cfg_options=[])


@pytest.mark.parametrize('name, expected', [
    ('curves', 'a=0 a=1 b=0 c=0'), ('separability', 'a=0 a=1 b=0 --max-samples 20 --device cpu'),
    ('activation', 'a=0 a=1 b=0 --max-samples 20 --device cpu'), ('outliers', 'a=0 b=0 --before'),
    ('landscape', 'a=0 b=0 --max-samples 20 --device cpu --points 9'),
    ('hessian', 'a=0 b=0 --max-samples 16 --device cpu --steps 25 --draws 2 --trace-draws 4 --leading 5 --noise-draws 2')])
def test_which_runs_and_how_many_images_a_tool_gets(name, expected):
    assert ' '.join(TOOLS[name].arguments(RUNS, ARGS)) == expected


def test_every_tool_understands_what_it_is_told(tmp_path):
    """Its own command line reads it; the names of options are nowhere else checked."""
    rectified = dict(gsnr=True, rectifier=dict(type='lbbt_mm.LanguageRectifier'))
    runs = find_runs([f'a={write_log(tmp_path / "a", **rectified)}', f'b={write_log(tmp_path / "b", gsnr=True)}'])
    args = report.parse_args(['x', '--max-samples', '20'])
    for name, section in TOOLS.items():
        parsed = import_module(f'lbbt_mm.figures.{name}').parse_args([*section.arguments(runs, args), '--out', 'y'])
        assert parsed.out == Path('y')
        assert getattr(parsed, 'max_samples', 20) <= 20


def test_overrides_of_configs_are_handed_on_to_all_tools_that_open_models(tmp_path):
    """What their messages advise, the report takes; see :meth:`OpenedRun.absent_data`."""
    runs = find_runs([f'a={write_log(tmp_path / "a", gsnr=True)}'])
    options = ['test_dataloader.dataset.data_root=x', 'leave_out=["head"]']
    args = report.parse_args(['x', '--cfg-options', *options])
    taken = set()
    for name, section in TOOLS.items():
        parsed = import_module(f'lbbt_mm.figures.{name}').parse_args(section.arguments(runs, args))
        if hasattr(parsed, 'cfg_options'):
            assert parsed.cfg_options == options, name
            taken.add(name)
    assert taken == set(TOOLS) - {'curves', 'gsnr'}


def test_what_a_tool_refuses_and_one_that_is_not_there_do_not_end_the_report(capfd):
    assert report_sections._status('alignment', ['--networks', '0']) == 2
    assert report_sections._status('nothing', []) == 2
    assert 'leaves nothing to show' in (said := capfd.readouterr().err) and 'lbbt_mm.figures.nothing' in said


@pytest.fixture
def tool(monkeypatch):
    """Sets what a tool does."""
    return lambda do: monkeypatch.setattr(report_sections, '_status', do)


def section(tmp_path, name='alignment', runs=RUNS):
    return make_section(name, runs, ARGS, tmp_path / 'out')


def test_a_section_has_what_its_tool_made_and_said(tool, tmp_path, capsys):
    def make(name, arguments):
        folder = Path(arguments[arguments.index('--out') + 1])
        folder.mkdir()
        for file in ('b.png', 'a.png', 'a.csv', 'a.pdf'):
            (folder / file).write_text(file)
        print_numbers(pd.DataFrame(dict(x=[1])), 'Table')
        print('a: left out.\na: left out.\n10 of 20\nx.py:3: UserWarning: y.\n  in a block.', file=sys.stderr)
        return 0

    tool(make)
    found = section(tmp_path)
    assert [path.name for path in found.figures] == ['a.png', 'b.png'] and [path.name for path in found.numbers] == ['a.csv']
    assert [title for title, _ in found.tables] == ['Table'] and found.notes == [*RUNS.gaps, 'a: left out.']
    assert not found.missing
    assert 'a: left out.' in capsys.readouterr().err, 'it is shown too'


@pytest.mark.parametrize('said, reason', [('progress\nno such file.\n\n', 'no such file.'),
                                          ('', 'the tool ended with status 2.')])
def test_a_tool_that_fails_leaves_its_last_line(tool, tmp_path, said, reason):
    tool(lambda *args: print(said, end='', file=sys.stderr) or 2)
    found = section(tmp_path)
    assert found.missing == reason and not found.figures and found.title == 'Covariance alignment'


def test_who_interrupts_a_tool_interrupts_the_report(tool, tmp_path):
    tool(lambda *args: 130)
    with pytest.raises(KeyboardInterrupt):
        section(tmp_path)


@pytest.mark.parametrize('name, runs, reason', [
    ('curves', ReportedRuns([], [], []), 'no run with a log.'),
    ('alignment', ReportedRuns([], [], []), 'no run with a log.'),
    ('alignment', ReportedRuns(['a=0'], [], []), 'no run that came to its end.'),
    ('gsnr', ReportedRuns(['a=0'], ['a=0'], []), 'no run had lbbt_mm.GSNRHook and came to its end.')])
def test_sections_without_runs_start_no_tool(tool, tmp_path, name, runs, reason):
    tool(lambda *args: pytest.fail('started'))
    assert section(tmp_path, name, runs).missing == reason


def test_results_are_tables_files_and_sentences(tmp_path):
    folder = write_experiment(tmp_path)
    found = results(folder)
    assert [(title, len(table)) for title, table in found.tables] == [('Summary', 3), ('All runs', 1)]
    assert found.numbers == [folder / 'summary.csv', folder / 'results.csv']
    assert found.sentences == ['acc: language - random: +1.']
    for name in ('results.csv', 'summary.md'):
        (folder / name).unlink()
    found = results(folder)
    assert [title for title, _ in found.tables] == ['Summary'] and not found.sentences
