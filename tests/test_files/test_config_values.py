"""What is filled into a config's text stays a value there: text in its string, and literals outside of one."""
import os
import re

import pytest

from lbbt_mm.files.config_files import read_config_file
from lbbt_mm.files.config_values import check_values
from tests.hostile_files import write_text
from tests.tool_processes import REPO

TEXT = "import os\nroot = '{{$LBBT_TEST_ROOT:data}}/x'  # {{$LBBT_TEST_ROOT:data}}\nnumber = {{'$LBBT_TEST_NUMBER:3'}}\n"


class TestEnvironment:
    """mmengine writes the values of variables into a config's text before it runs the text."""

    @pytest.mark.parametrize('value', ["x' + os.mkdir('{}') + '", 'x\' + str(os.mkdir("{}")) + \'', "'; os.mkdir('{}'); '",
                                       "o'neil", 'a "b" c'])
    def test_a_value_that_would_end_its_string_stays_in_it(self, value, tmp_path, trace, monkeypatch):
        value = value.replace('{}', str(trace))
        monkeypatch.setenv('LBBT_TEST_ROOT', value)
        assert read_config_file(write_text(tmp_path / 'run.py', TEXT)).root == f'{value}/x'
        assert not trace.exists() and os.environ['LBBT_TEST_ROOT'] == value

    @pytest.mark.parametrize('value', ["x'\nos.mkdir('{}')\na = '", 'x\\', "\\' + os.mkdir('{}') + '", 'a\nb', '{x}'])
    def test_a_value_that_would_end_its_string_is_refused(self, value, tmp_path, trace, monkeypatch):
        monkeypatch.setenv('LBBT_TEST_ROOT', value.replace('{}', str(trace)))
        with pytest.raises(ValueError, match=r'run\.py: the value of an environment variable, .* would be read as code'):
            read_config_file(write_text(tmp_path / 'run.py', TEXT))
        assert not trace.exists()

    @pytest.mark.parametrize('value', ["os.mkdir('{}')", "__import__('os').mkdir('{}')", 'os', '3; os', '3 if os else 4',
                                       '[os.mkdir(x) for x in [root]]', 'root', '(lambda: 3)()'])
    def test_a_value_outside_of_quotes_that_is_no_literal_is_refused(self, value, tmp_path, trace, monkeypatch):
        monkeypatch.setenv('LBBT_TEST_NUMBER', value.replace('{}', str(trace)))
        with pytest.raises(ValueError, match='would be read as code'):
            read_config_file(write_text(tmp_path / 'run.py', TEXT))
        assert not trace.exists()

    @pytest.mark.parametrize('name', ['run.py', 'run.yaml', 'run.json'])
    def test_neither_in_a_base_nor_in_data(self, name, tmp_path, trace, monkeypatch):
        monkeypatch.setenv('LBBT_TEST_ROOT', f"x\\', 'type': '{trace}")
        text = {'run.py': TEXT, 'run.yaml': "root: '{{$LBBT_TEST_ROOT:data}}'",
                'run.json': '{"root": "{{$LBBT_TEST_ROOT:data}}"}'}
        write_text(tmp_path / name, text[name])
        with pytest.raises(ValueError, match=rf'{name}: the value of an environment variable'):
            read_config_file(write_text(tmp_path / 'heir.py', f"_base_ = '{name}'"))

    @pytest.mark.parametrize('root', ['/data/My set (1), new', 'C:/data', 'ü; x=1 # y', '$HOME/%s', 'a-b.c'])
    @pytest.mark.parametrize('number', ['10', '-0.5', 'None', '[1, 2]', "'text'", "('a', 1)"])
    def test_values_are_filled_in(self, root, number, tmp_path, monkeypatch):
        monkeypatch.setenv('LBBT_TEST_ROOT', root)
        monkeypatch.setenv('LBBT_TEST_NUMBER', number)
        cfg = read_config_file(write_text(tmp_path / 'run.py', TEXT))
        assert cfg.root == f'{root}/x' and repr(cfg.number) == number

    def test_a_config_s_own_defaults_are_its_own(self, tmp_path):
        cfg = read_config_file(write_text(tmp_path / 'run.py', TEXT + 'name = {{"$LBBT_TEST_NAME:os.sep"}}\n'))
        assert (cfg.root, cfg.number, cfg.name) == ('data/x', 3, '/')

    def test_our_configs_take_theirs(self, monkeypatch):
        monkeypatch.setenv('LBBT_DATA_ROOT', '/data/here')
        monkeypatch.setenv('LBBT_NUM_CLASSES', '7')
        cfg = read_config_file(REPO / 'configs' / 'small' / 'segmenter_gpt2_ade20k.py')
        assert cfg.num_classes == 7 and cfg.data_root == '/data/here'
        monkeypatch.setenv('LBBT_NUM_CLASSES', 'print(1)')
        with pytest.raises(ValueError, match=r"segmenter_gpt2_ade20k\.py: .*'print\(1\)', would be read as code"):
            read_config_file(REPO / 'configs' / 'small' / 'segmenter_gpt2_ade20k.py')

    def test_the_name_of_a_folder_is_a_value_too(self, tmp_path, trace, monkeypatch):
        monkeypatch.chdir(tmp_path)  # a folder's name holds no absolute path
        text = "import os\nhere = '{{ fileDirname }}'\nname = '{{ fileBasenameNoExtension }}'\n"
        cfg = read_config_file(write_text(tmp_path / 'plain folder' / 'run.py', text))
        assert (cfg.here, cfg.name) == (str(tmp_path / 'plain folder'), 'run')
        with pytest.raises(ValueError, match='the path of this file, .* would be read as code'):
            read_config_file(write_text(tmp_path / "x' + os.mkdir('trace') + '" / 'run.py', text))
        assert not trace.exists()


@pytest.mark.parametrize('text, outside', [
    ("a = '<x>'", set()), ('a = <x>', {'<x>'}), ("a = '<x>' + str(<y>)  # <x>", {'<y>'}), ('# <x>', set())])
def test_places_are_told_apart_by_whether_they_are_in_a_string(text, outside):
    assert check_values(text, [(re.compile('<(.)>'), lambda match: '3')], 'run.py', 'a value') == outside


@pytest.mark.parametrize('where, text, value', [
    ('run.py', "a = '<x>'", "it's"), ('run.yaml', 'a: <x>', 'b\nc: d'), ('run.json', '{"a": "<x>"}', '", "b": "'),
    ('run.py', 'a = <x>', 'open("x")'), ('run.py', 'a = (<x>', 'os.sep')])
def test_a_value_that_would_be_more_than_one_is_refused(where, text, value):
    with pytest.raises(ValueError, match=f'^{where}: a value, .* would be read as code at <x>. Expected'):
        check_values(text, [(re.compile('<x>'), lambda match: value)], where, 'a value')


def test_a_value_of_the_config_itself_is_not_looked_at():
    assert check_values('a = <x>', [(re.compile('<x>'), lambda match: None)], 'run.py', 'a value') == set()
