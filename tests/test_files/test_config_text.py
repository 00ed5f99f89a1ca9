import pytest
from mmengine.config import Config

from lbbt_mm.files.config_text import read_config_text


def test_what_mmengine_writes_is_read_as_values():
    cfg = Config(dict(model=dict(type='A', sizes=(1, -2.5), flags=[True, None, {'a.b': 1e-3}]), train_cfg=dict(max_epochs=3),
                      words='with \'quotes\'', empty=dict()))
    assert read_config_text(cfg.pretty_text) == dict(
        model=dict(type='A', sizes=[1, -2.5], flags=[True, None, {'a.b': 1e-3}]), train_cfg=dict(max_epochs=3),
        words='with \'quotes\'', empty=dict())


@pytest.mark.parametrize('text', [
    'import os\nos.mkdir({trace!r})\na = 1', 'a = __import__("os").mkdir({trace!r})', 'a = [open({trace!r}, "w")]',
    'a = dict(b=open({trace!r}, "w"))', 'a = (lambda: open({trace!r}, "w"))()', 'a = f"{{open({trace!r}, chr(119))}}"'])
def test_nothing_in_it_is_run(text, tmp_path):
    trace = tmp_path / 'trace'
    found = read_config_text(text.format(trace=str(trace)))
    assert isinstance(found, dict) and not trace.exists()
    assert found['a'] == 1 or 'trace' in str(found['a']), 'kept as text'


@pytest.mark.parametrize('text', [None, 3, b'a = 1', 'a = (', '\0', '(' * 100_000, 'a = ' + '-' * 50_000 + '1'])
def test_what_is_no_config_is_none(text):
    assert read_config_text(text) is None


@pytest.mark.parametrize('value', ['-"b"', 'dict(3)', 'dict(**b)', 'dict(a, b=1)', '{**b}', 'a.b', '1 + 1'])
def test_what_is_no_literal_is_kept_as_text(value):
    assert isinstance(read_config_text(f'a = {value}')['a'], str)
