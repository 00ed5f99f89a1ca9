"""The command line of the comparison of language models."""
import sys

import pytest

from lbbt_mm.launch import quiet_imports
from lbbt_mm.zero_shot.compare_text_encoders import main, parse_args
from tests.tool_processes import REPO

CONFIG = str(REPO / 'configs' / 'small' / 'sharelock_emoji.py')


def arguments(folder, *more, task='one=labels.txt,names.txt', languages=('a=x', 'b=y')):
    (folder / 'labels.txt').touch()
    task = task.replace('labels', f'{folder}/labels')
    return [CONFIG, '--language', *languages, '--captions', 'c.csv', '--images', 'i', '--test-images', 't', '--task', task,
            '--out', str(folder / 'out'), *more]


def test_tasks_name_labels_classes_and_templates(tmp_path):
    task, = parse_args(arguments(tmp_path)).task
    assert task == ('one', tmp_path / 'labels.txt', 'names.txt', None)
    more = 'zh=labels.txt,clip-benchmark:imagenet1k:cn,templates, zh.txt'
    task, = parse_args(arguments(tmp_path, task=more)).task
    assert task[2:] == ('clip-benchmark:imagenet1k:cn', 'templates, zh.txt')


def test_what_is_given_twice_counts_once(tmp_path):
    args = parse_args(arguments(tmp_path, '--seeds', '3', '1', '3', '--baselines', 'asif', 'lit', 'asif'))
    assert args.seeds == [3, 1] and args.baselines == ['asif', 'lit']


def test_options_that_another_option_reads(tmp_path):
    text = tmp_path / 'text.txt'
    text.touch()
    assert [parse_args(arguments(tmp_path, '--text', str(text), *more)).context for more in ([], ['--context', '64'])] == [
        512, 64]
    args = parse_args(arguments(tmp_path, '--probe-captions', 'c.csv', '--baselines', 'lit', 'linear_probe'))
    assert args.probe_captions == 'c.csv'


@pytest.mark.parametrize('more, given, message', [
    ([], dict(task='labels.txt,names.txt'), 'expected NAME=LABELS,CLASSES'),
    ([], dict(task='one=labels.txt'), 'expected NAME=LABELS,CLASSES'),
    ([], dict(task='one=none.txt,names.txt'), 'none.txt: no such file'),
    ([], dict(languages=('a=x', 'a=y')), '--language: a is there twice'),
    (['--task', 'one=labels.txt,names.txt'], {}, '--task: one is there twice'),
    (['--text', __file__, '--context', '1'], {}, '--context: 1: expected a whole number, 2 or more'),
    ([], dict(languages=('lit=x', )), 'lit=...: a baseline is called so'),
    (['--permutations', '5'], {}, '--permutations: 5: expected a whole number, 19 or more'),
    (['--baselines', 'clip'], {}, "invalid choice: 'clip'"),
    (['--text', 'nowhere.txt'], {}, 'nowhere.txt: no such file'),
    (['--probe-captions', 'c.csv', '--baselines', 'asif'], {},
     '--probe-captions c.csv: nothing reads them but linear_probe, which is not among --baselines'),
    (['--context', '512'], {}, '--context 512: of --text, which is not given'),
])
def test_a_command_line_that_is_refused(tmp_path, capsys, more, given, message):
    more = [text.replace('=labels', f'={tmp_path}/labels') for text in more]
    with pytest.raises(SystemExit) as caught:
        parse_args(arguments(tmp_path, *more, **given))
    assert caught.value.code == 2 and message in capsys.readouterr().err


def test_a_package_that_is_missing_is_said_before_any_work(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, 'sklearn', None)
    assert main(arguments(tmp_path, '--baselines', 'linear_probe')) == 2
    assert 'scikit-learn is not installed, which linear_probe of --baselines needs' in capsys.readouterr().err


def test_a_config_that_is_not_there_is_said_as_by_other_tools(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(quiet_imports, 'quiet_imports', lambda: pytest.fail('work has begun'))
    assert main([f'{tmp_path}/none.py', *arguments(tmp_path)[1:]]) == 2
    assert capsys.readouterr().err == (f'{tmp_path}/none.py: no such config file. Give the path of a config, absolute or '
                                       'relative to the current folder.\n')
