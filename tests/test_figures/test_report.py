"""tools/analysis/report.py: all figures of some runs in one page."""
import base64
import math
import re
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from lbbt_mm.figures import report, report_sections
from lbbt_mm.figures.numbers import print_numbers, write_numbers
from lbbt_mm.figures.report_page import Shown, make_page, table
from lbbt_mm.figures.report_sections import TOOLS
from tests.browser import find_browser, look_at, take_picture
from tests.test_figures.written_logs import write_experiment, write_log
from tests.tool_processes import run_tool

#: What every run has; GSNR is of those that measured it
ALWAYS = [name for name in TOOLS if name != 'gsnr']


class Balanced(HTMLParser):
    """Checks that tags are closed in the order that they were opened in, and collects what matters."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open, self.tags, self.ids, self.links, self.text = [], [], [], [], ''
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == 'id']
        self.links += [value for name, value in attrs if name in ('src', 'href')]
        if tag not in ('meta', 'img', 'link', 'br'):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_sections_of_the_command_line_are_those_that_there_are_in_their_order():
    assert report.SECTIONS == ('results', *TOOLS)


@pytest.fixture
def tools(monkeypatch):
    """Tools that take no time in place of all but the curves; ``fail`` says how one ends, ``calls`` what each got."""
    status = report_sections._status

    def run(name, arguments):
        run.calls[name] = arguments
        if name == 'curves':
            return status(name, arguments)
        if name in run.fail:
            print(run.fail[name], file=sys.stderr)
            return 2
        out = Path(arguments[arguments.index('--out') + 1])
        out.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(out / f'{name}.png'), np.full((20, 30, 3), 200, np.uint8))
        frame = pd.DataFrame(dict(label=['<i>language</i>', 'random'], value=[1.5, math.nan]))
        write_numbers(frame, out, name)
        print_numbers(frame, f'Table of {name}')
        return 0

    run.calls, run.fail = {}, {}
    monkeypatch.setattr(report_sections, '_status', run)
    return run


@pytest.fixture
def make(tmp_path, tools, capfd):
    """Runs the tool; gives its exit status, what it printed, and the page."""

    def run(*arguments, out=tmp_path / 'out'):
        status = report.main([*map(str, arguments), *(['--out', str(out)] if out else [])])
        captured = capfd.readouterr()
        page = (out or Path(arguments[0])) / 'report.html'
        return status, captured.out + captured.err, page.read_text() if page.exists() else None

    return run


def test_every_section_has_its_figure_its_tables_and_its_numbers_inside(make, tmp_path):
    status, output, text = make(*(f'{label}={write_log(tmp_path / label, gsnr=True)}' for label in ('language', 'random')))
    assert status == 0 and f'Report: {tmp_path / "out" / "report.html"}' in output
    page = Balanced(text)
    assert page.ids == [*TOOLS] and set(page.ids) == {link[1:] for link in page.links if link.startswith('#')}
    assert all(link.startswith(('data:', '#')) for link in page.links), 'nothing is loaded from elsewhere'
    assert not [tag for tag, _ in page.tags if tag in ('script', 'iframe', 'object')]
    pictures = [attrs for tag, attrs in page.tags if tag == 'img']
    assert len(pictures) == len(TOOLS) and all(attrs['alt'] for attrs in pictures)
    found = [base64.b64decode(attrs['src'].split(',')[1]) for attrs in pictures]
    assert found == [(tmp_path / 'out' / 'report' / name / f'{name}.png').read_bytes() for name in TOOLS]
    for name in TOOLS:
        file = tmp_path / 'out' / 'report' / name / f'{name}.csv'
        link, = [attrs['href'] for _, attrs in page.tags if attrs.get('download') == f'{name}.csv']
        assert base64.b64decode(link.split(',')[1]) == file.read_bytes()
        assert name == 'curves' or f'Table of {name}' in page.text
    assert '<i>language</i>' in page.text and '<i>' not in text, 'labels are escaped'
    assert 'What could not be made' not in text and 'Runs: language (1), random (1).' in page.text


def test_what_could_not_be_made_is_said_with_its_reason(make, tools, tmp_path):
    tools.fail['hessian'] = 'progress\ncurvlinops is not installed <here>.'
    status, output, text = make(f'language={write_log(tmp_path / "a")}')
    assert status == 0 and 'The Hessian of the loss: curvlinops is not installed <here>.' in output
    page = Balanced(text)
    assert page.text.count('curvlinops is not installed <here>.') == 2, 'in its section and in the list'
    assert 'missing' in page.ids and len([tag for tag, _ in page.tags if tag == 'img']) == len(ALWAYS) - 1


def test_notes_of_a_tool_are_in_its_section(make, tools, tmp_path, monkeypatch):
    inner = report_sections._status

    def noisy(name, arguments):
        if name == 'alignment':
            print('b: its start is not known. It is left out.\nnetworks: 3 of 5\n  UserWarning: x.', file=sys.stderr)
        return inner(name, arguments)

    monkeypatch.setattr(report_sections, '_status', noisy)
    _, _, text = make(f'language={write_log(tmp_path / "a")}')
    assert re.findall(r'<p class="note">(.*?)</p>', text) == ['b: its start is not known. It is left out.']


def test_a_run_that_diverged_or_goes_on_is_in_the_curves_alone(make, tools, tmp_path):
    runs = [f'a={write_log(tmp_path / "a")}', f'a={write_log(tmp_path / "b", "diverged")}',
            f'b={write_log(tmp_path / "c", "finished", (3., math.nan))}', f'c={write_log(tmp_path / "d", "")}']
    status, _, text = make(*runs)
    assert status == 0 and set(tools.calls) == set(ALWAYS)
    assert tools.calls['curves'][:4] == runs
    assert tools.calls['alignment'][0] == runs[0] and not set(runs[1:]) & set(tools.calls['alignment'])
    text = Balanced(text).text
    assert f'a ({tmp_path / "b"}) diverged; it is in the curves alone.' in text
    assert f'b ({tmp_path / "c"}) diverged' in text and f'c ({tmp_path / "d"}) has not come to its end' in text


def test_an_arm_whose_every_seed_diverged_is_a_marked_gap_in_each_section(make, tools, tmp_path):
    runs = [f'good={write_log(tmp_path / "g0")}', f'good={write_log(tmp_path / "g1", "diverged")}']
    runs += [f'bad={write_log(tmp_path / f"b{seed}", "diverged", losses)}' for seed, losses in enumerate((
        (3., math.nan), (math.nan, ), (3., 9.)))]
    status, _, text = make(*runs)
    assert status == 0 and tools.calls['curves'][:5] == runs
    notes = {found[1]: re.findall(r'<p class="note">(.*?)</p>', found[2])
             for found in re.finditer(r'<section id="(\w+)">(.*?)</section>', text, re.S)}
    gaps = ['good: 1 of its 2 runs came to their end; the others are in the curves alone.',
            'bad: none of its runs has come to its end with finite numbers, so it is not here.']
    for name in set(ALWAYS) - {'curves'}:
        assert notes[name] == gaps, name
        assert not [one for one in tools.calls[name] if one.startswith('bad=')]
    assert not notes['curves'], 'where they are'
    for seed in range(3):
        assert f'bad ({tmp_path / f"b{seed}"}) diverged; it is in the curves alone.' in Balanced(text).text


def test_without_a_whole_run_there_are_curves(make, tools, tmp_path):
    status, _, text = make(f'a={write_log(tmp_path / "a", "diverged")}')
    assert status == 0 and list(tools.calls) == ['curves']
    assert text.count('no run that came to its end') == 2 * (len(ALWAYS) - 1)


def test_sections_can_be_chosen(make, tools, tmp_path):
    _, _, text = make(write_log(tmp_path / 'a'), '--sections', 'curves', 'alignment')
    assert Balanced(text).ids == ['curves', 'alignment'] and set(tools.calls) == {'curves', 'alignment'}


def test_results_of_runs_that_are_named_are_refused(make, tools, tmp_path):
    for sections in (['results'], ['curves', 'results']):
        status, output, text = make(f'language={write_log(tmp_path / sections[0])}', '--sections', *sections)
        assert status == 2 and text is None and not tools.calls
        assert output.startswith('--sections results: runs that are named have none; expected the folder of one experiment.')
    assert not (tmp_path / 'out').exists()


def test_a_page_of_somebody_else_is_not_replaced(make, tools, tmp_path):
    run = write_log(tmp_path / 'a')
    for name in ('report.html', 'report'):
        out = tmp_path / f'out_{name}'
        out.mkdir()
        (out / name).write_text('mine')
        status, output, _ = make(run, out=out)
        assert status == 2 and f'{out / name} is there and would be overwritten' in output and not tools.calls
        assert (out / name).read_text() == 'mine'
    assert make(run)[0] == make(run)[0] == 0, 'its own'


def test_heavy_tools_see_the_first_run_of_each_label(make, tools, tmp_path):
    make(*(f'{label}={write_log(tmp_path / name)}' for label, name in (('a', 'a0'), ('a', 'a1'), ('b', 'b0'))))
    firsts = [f'a={tmp_path / "a0"}', f'b={tmp_path / "b0"}']
    for name in ('outliers', 'landscape', 'hessian'):
        assert [text for text in tools.calls[name] if '=' in text] == firsts
    assert len([text for text in tools.calls['alignment'] if '=' in text]) == 3


class TestRectifiedRuns:

    def test_gsnr_is_there_where_runs_have_measured_it(self, make, tools, tmp_path):
        with_it, without = f'a={write_log(tmp_path / "a", gsnr=True)}', f'b={write_log(tmp_path / "b")}'
        _, _, text = make(with_it, without, '--sections', 'gsnr')
        assert tools.calls['gsnr'][:-2] == [with_it] and '1 of 2 runs had no lbbt_mm.GSNRHook.' in text
        make(without)
        assert 'gsnr' in make(with_it)[2] and 'id="gsnr"' not in make(without)[2]
        assert 'no run had lbbt_mm.GSNRHook and came to its end.' in make(without, '--sections', 'gsnr')[2]

    def test_outliers_are_counted_in_the_backbone_which_all_arms_have(self, make, tools, tmp_path):
        rectified = f'a={write_log(tmp_path / "a", rectifier=dict(type="lbbt_mm.LanguageRectifier"))}'
        plain = f'b={write_log(tmp_path / "b", type="ImageClassifier")}'
        _, _, text = make(plain, rectified, '--sections', 'outliers')
        assert tools.calls['outliers'][:-2] == [plain, rectified, '--before', '--only', 'backbone.*']
        assert 'Counted are the tensors backbone.* alone; --only names others.' in text
        make(rectified, '--sections', 'outliers', '--only', 'head.*')
        assert tools.calls['outliers'][:-2] == [rectified, '--before', '--only', 'head.*']
        assert 'Counted are' not in make(plain, '--sections', 'outliers')[2]
        assert '--only' not in tools.calls['outliers']


class TestExperiment:

    @pytest.fixture
    def experiment(self, tmp_path):
        return write_experiment(tmp_path / 'experiment')

    def test_its_results_and_sentences_are_in_the_page(self, make, tools, experiment):
        status, _, text = make(experiment, out=None)
        assert status == 0 and set(tools.calls) == set(ALWAYS), 'beside the experiment itself, by default'
        page = Balanced(text)
        assert page.ids[0] == 'results' and 'acc: language - random: +1.' in page.text and 'Report: experiment' in page.text

    def test_the_page_in_its_own_folder_is_made_again_whoever_made_it(self, make, tools, experiment):
        """An earlier version left no mark there; compare_arms.py leaves its own."""
        (experiment / 'report.html').write_text('of an earlier version')
        for mark in (None, '{"made_by": "lbbt_mm compare_arms.py"}'):
            if mark:
                (experiment / '.lbbt_mm.json').write_text(mark)
            for out in (None, experiment):
                status, output, text = make(experiment, '--sections', 'curves', out=out)
                assert status == 0 and 'earlier' not in text, output

    def test_an_arm_without_runs_is_said(self, make, experiment):
        for path in (experiment / 'runs').glob('random*'):
            shutil.rmtree(path)
        shutil.rmtree(experiment / 'runs' / 'tuned-seed1-lr0.1-std0.04')
        _, _, text = make(experiment, '--sections', 'curves')
        text = Balanced(text).text
        assert 'random: ' in text and 'has none of its runs' in text
        assert 'tuned: which of its standard deviations was chosen cannot be seen from one seed' in text

    def test_one_without_results_is_refused(self, make, experiment):
        (experiment / 'summary.csv').unlink()
        status, output, text = make(experiment)
        assert status == 2 and 'has no summary.csv of an experiment yet' in output and text is None


def test_a_folder_without_a_log_is_one_line(make, tmp_path):
    (tmp_path / 'empty').mkdir()
    status, output, text = make(tmp_path / 'empty')
    assert status == 2 and 'has no records in */vis_data/scalars.json' in output and len(output.strip().splitlines()) == 1
    assert text is None


class TestPage:

    def test_a_table_has_its_numbers_to_the_right_and_gaps(self):
        rows = [['a&b', 1.23456, '0.3 ± 0.1 (0.0)'], ['c', math.nan, '-']]
        text = table(pd.DataFrame(rows, columns=['x', 'n', 'n']), 'A "title"')
        Balanced(text)
        assert '<td class="text">a&amp;b</td><td>1.235</td><td>0.3 ± 0.1 (0.0)</td>' in text
        assert '<td class="text">c</td><td>-</td><td>-</td>' in text and text.count('class="text"') == 3
        assert '<caption>A &quot;title&quot;</caption>' in text

    def test_a_long_table_is_folded_up(self):
        long, short = (table(pd.DataFrame(dict(x=range(rows))), 'T') for rows in (100, 10))
        assert '<details><summary>T: 100 rows</summary>' in long and '<details>' not in short
        Balanced(long)

    def test_a_file_that_is_too_large_is_named_with_its_place(self, tmp_path):
        (tmp_path / 'report' / 'a').mkdir(parents=True)
        small, large = (tmp_path / 'report' / 'a' / f'{name}.csv' for name in ('small', 'large'))
        small.write_text('x\n1\n')
        large.write_text('x\n' + '1\n' * 2**20 + '1\n')
        text = make_page('T', [], [Shown('s', 'S', 's', numbers=[large, small])], folder=tmp_path)
        page = Balanced(text)
        assert [attrs['download'] for _, attrs in page.tags if 'download' in attrs] == ['small.csv']
        assert ('large.csv (2.0 MiB) is too large to be inside this page, which takes files of up to 2 MiB. From the '
                'folder of the page it lies at report/a/large.csv.') in page.text
        alone = Balanced(make_page('T', [], [Shown('s', 'S', 's', numbers=[small])])).text
        assert 'too large' not in alone and 'All numbers' in alone

    def test_text_is_escaped_everywhere(self, tmp_path):
        picture = tmp_path / 'a_<b>.png'
        picture.write_bytes(b'x')
        shown = Shown('s', '<u>', '<u>', [picture], [('<u>', pd.DataFrame({'<u>': ['<u>']}))], [], ['<u>'], '<u>', ['<u>'])
        text = make_page('<u>', ['<u>'], [shown], ['<u>'])
        assert '<u>' not in text and '&lt;u&gt;' in text
        Balanced(text)


needs_browser = pytest.mark.skipif(find_browser() is None, reason='no Chromium: apt-get install chromium')


@needs_browser
@pytest.mark.slow
def test_a_browser_sees_what_is_broken(tmp_path):
    """That the checks of the next test can fail: a picture that is none, one that is not there, and two errors."""
    page = tmp_path / 'page.html'
    page.write_text('<!DOCTYPE html><html><body><img alt="bad" src="data:image/png;base64,AAAA">'
                    '<img alt="gone" src="none.png"><script>nothing.at.all()</script>'
                    '<script>console.error("said")</script></body></html>')
    seen = look_at(page, tmp_path)
    assert seen.images == [('bad', 0), ('gone', 0)] and seen.requests == ['none.png']
    assert any('nothing is not defined' in line for line in seen.console) and any('said' in line for line in seen.console)


@needs_browser
@pytest.mark.slow
def test_the_page_of_a_real_run_in_a_browser(tmp_path):
    from tests.test_figures.trained_bridge import train_bridge
    run = train_bridge(tmp_path)
    sections = 'curves', 'activation', 'outliers', 'alignment', 'landscape'  # what is quick
    done = run_tool('analysis/report.py', f'tiny <b>={run}', '--max-samples', '12', '--sections', *sections, '--out',
                    tmp_path / 'out')
    assert done.returncode == 0, done.output
    page = tmp_path / 'out' / 'report.html'
    parsed = Balanced(page.read_text())
    seen = look_at(page, tmp_path)
    assert parsed.ids == [*sections] and len(seen.images) >= len(sections), parsed.text
    assert all(width > 300 for _, width in seen.images), seen.images
    assert not seen.console and not seen.requests
    take_picture(page, tmp_path / 'page.png')
    assert (cv2.imread(str(tmp_path / 'page.png')).reshape(-1, 3).std(0) > 10).all(), 'not an empty page'
