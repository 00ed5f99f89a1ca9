"""Values on a command line: text stays text, the rest is as mmengine reads it."""
from argparse import ArgumentParser

import pytest
from mmengine.config import DictAction

from lbbt_mm.launch.config_options import ConfigOptions, option


def read(*options, action=ConfigOptions):
    parser = ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=action)
    return parser.parse_args(['--cfg-options', *options]).cfg_options


@pytest.mark.parametrize('text', [
    'a', '3', '3.5', '1e-3', 'True', 'false', 'None', '[1,2]', '(1,2)', '1,2', 'a,b', '[(1,2),[a,b],c]', '"[1,2]"', "'a'",
    '"a"',     '/data/coco/', 'a=b', '-1', '[]', '()'])
def test_what_mmengine_reads_is_read_as_it_does(text):
    assert read(f'key={text}') == read(f'key={text}', action=DictAction)


@pytest.mark.parametrize('text', [
    'my folder/x.pth', 'a, b', 'it\'s', 'say "x"', 'C:\\x', '[x]y', '3', '1e3', 'True', 'None', '', ' ', 'ö/日本',
    'a=b', '{x}', '$HOME',     '#1', 'a\nb', "'", '"', '/plain/path-1.0_x.pth', 'hub/id@main'])
def test_an_option_of_ours_is_the_text_it_was_made_of(text):
    assert read(option('a.b', text)) == {'a.b': text}


def test_plain_text_needs_no_quotes():
    assert option('a', '/plain/path-1.0_x.pth') == 'a=/plain/path-1.0_x.pth'


def test_spaces_of_a_path_stay_without_quotes():
    assert read('key=/my data/coco') == dict(key='/my data/coco')


@pytest.mark.parametrize('text', ['key', '=3', ' key=3', ''])
def test_what_is_no_setting(text, capsys):
    with pytest.raises(SystemExit):
        read(text)
    assert 'expected KEY=VALUE' in capsys.readouterr().err


def test_brackets_that_do_not_close(capsys):
    with pytest.raises(SystemExit):
        read('key=[1,2')
    assert 'Imbalanced brackets' in capsys.readouterr().err


def test_several():
    assert read('a.b=1', 'c=x y', 'a.b=2') == {'a.b': 2, 'c': 'x y'}
