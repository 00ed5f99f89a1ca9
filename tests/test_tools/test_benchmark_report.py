"""Reports of benchmarks replace earlier ones, and no other file."""
import pytest

from tests.tool_processes import REPO, run_tool


@pytest.mark.parametrize('tool, arguments', (
    ('detr_layers', ()), ('segmenter_head', ()), ('llm_backbone', ('--rows', 'gpt2-train')), ('partial_training', ()),
    ('config_steps', (REPO / 'configs' / 'small' / 'bridge_gpt2_imagefolder.py', )),
    ('checkpoint_reading', ('--size', 0.02))))
@pytest.mark.parametrize('suffix', ('json', 'md'))
def test_a_report_replaces_no_file_of_somebody_else(tool, arguments, suffix, tmp_path):
    mine = tmp_path / f'{tool}.{suffix}'
    mine.write_text('{"mine": 1}')
    done = run_tool(f'benchmarks/{tool}.py', *arguments, '--out', tmp_path)
    assert done.returncode == 1
    assert f'{mine} is no report of this benchmark, and it would be overwritten' in done.output
    assert 'Traceback' not in done.output and 'date:' not in done.output, 'before anything is measured'
    assert mine.read_text() == '{"mine": 1}' and list(tmp_path.iterdir()) == [mine]


def test_a_report_of_the_benchmark_itself_is_replaced(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(REPO / 'tools' / 'benchmarks'))
    from report import Report
    Report(tmp_path / 'absent', 'a')
    Report(tmp_path, 'a').write('text')
    Report(tmp_path, 'a').write('another')
    assert (tmp_path / 'a.md').read_text().endswith('another\n')
    assert sorted(path.name for path in tmp_path.iterdir()) == ['a.json', 'a.md'], 'no other folder, no half file'
    (tmp_path / 'a.json').write_text('"facts"')
    with pytest.raises(SystemExit, match='a.json is no report of this benchmark'):
        Report(tmp_path, 'a')
    with pytest.raises(SystemExit, match='a.md is not a folder. Give another one for the report'):
        Report(tmp_path / 'a.md', 'a')
