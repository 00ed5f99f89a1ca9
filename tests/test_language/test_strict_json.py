"""None"""
import json
import time

import pytest

from lbbt_mm.language import CheckpointError
from lbbt_mm.language.strict_json import parse_object, read_object
from tests.edited_checkpoints import edit_config, opened, saved


def test_an_object_is_read(tmp_path):
    (tmp_path / 'a.json').write_text('{"a": {"b": [1, "é"]}}', encoding='utf-8')
    assert read_object(tmp_path / 'a.json') == {'a': {'b': [1, 'é']}}


@pytest.mark.parametrize('text, message', [
    (b'{"a": 1, "a": 2}', "the key 'a' twice"), (b'{"x": {"a": 1, "a": 2}}', "the key 'a' twice"),
    (b'[' * 100_000, 'nested too deeply'), (b'{"a":' * 100_000, 'nested too deeply'), (b'[]', 'holds a list'),
    (b'3', 'holds a int'), (b'\xff', 'utf-8'), (b'', 'Expecting value'), (b'{"a": 1}x', 'Extra data')])
def test_what_is_no_plain_object(text, message):
    with pytest.raises(ValueError, match=message):
        parse_object(text)


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    (tmp_path / 'a.json').write_text('{"a": "0123456789"}')
    with pytest.raises(ValueError, match='has 19 bytes, more than the 10'):
        read_object(tmp_path / 'a.json', 10)


def test_many_keys_and_many_lists_take_no_time(tmp_path):
    many = json.dumps({f'k{index:06}': 0 for index in range(20_000)})[:-1] + ', "zz": 1, "zz": 2}'
    begun = time.process_time()
    with pytest.raises(ValueError, match="has the key 'zz' twice"):
        parse_object(many.encode())
    folder = saved(tmp_path / 'm')
    edit_config(folder, x=[[]] * 2_000_000)
    with pytest.raises(CheckpointError, match='more than the'):
        opened(folder)
    assert time.process_time() - begun < 2
