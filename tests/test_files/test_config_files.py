"""Configs are read so that nothing runs but the .py files that a user runs: values stay values, data stays data."""

import pytest
from mmengine.config import Config

from lbbt_mm.files.config_files import read_config_file
from lbbt_mm.runs.run_request import read_config
from tests import small_net  # noqa: F401  (registers SmallNet)
from tests.hostile_files import config_that_runs, write_text, yaml_that_runs
from tests.tool_processes import REPO


class TestTags:

    @pytest.mark.parametrize('read', [read_config_file, read_config])
    @pytest.mark.parametrize('suffix', ['yaml', 'yml'])
    def test_of_a_config_are_refused(self, suffix, read, tmp_path, trace):
        path = write_text(tmp_path / f'evil.{suffix}', yaml_that_runs(trace))
        with pytest.raises(ValueError, match=r'evil\.ya?ml: not plain YAML \(the tag !!python/\S+:os\.mkdir in line 1'):
            read(path)
        assert not trace.exists()

    @pytest.mark.parametrize('heir', ['run.yaml', 'run.json', 'run.py'])
    def test_of_its_bases_are_refused(self, heir, tmp_path, trace):
        write_text(tmp_path / 'evil.yaml', yaml_that_runs(trace))
        write_text(tmp_path / 'middle.yml', '_base_: evil.yaml')
        path = write_text(tmp_path / heir, '{"_base_": "middle.yml"}' if heir != 'run.py' else "_base_ = 'middle.yml'")
        with pytest.raises(ValueError, match=r'evil\.yaml: not plain YAML'):
            read_config_file(path)
        assert not trace.exists()

    def test_what_mmengine_dumps_as_yaml_is_read(self, tmp_path):
        cfg = Config.fromfile(REPO / 'configs' / 'small' / 'detr_gpt2_coco.py')
        cfg.dump(tmp_path / 'run.yaml')
        assert '!!python/tuple' in (tmp_path / 'run.yaml').read_text()
        assert read_config_file(tmp_path / 'run.yaml').to_dict() == cfg.to_dict()


class TestInheritance:

    def test_a_config_that_is_data_inherits_no_code(self, tmp_path, trace):
        write_text(tmp_path / 'evil.py', config_that_runs(trace))
        for heir, text in (('run.yaml', '_base_: evil.py'), ('run.json', '{"_base_": ["./evil.py"]}')):
            with pytest.raises(ValueError, match=rf'{heir}: inherits .*evil\.py, which is code, and a .* config is data'):
                read_config_file(write_text(tmp_path / heir, text))
        assert not trace.exists()

    def test_nor_by_way_of_another(self, tmp_path, trace):
        write_text(tmp_path / 'evil.py', config_that_runs(trace))
        write_text(tmp_path / 'middle.json', '{"_base_": "evil.py"}')
        with pytest.raises(ValueError, match='which is code'):
            read_config_file(write_text(tmp_path / 'run.yaml', '_base_: middle.json'))
        assert not trace.exists()

    def test_it_inherits_installed_configs_and_ours(self, tmp_path):
        ours = REPO / 'configs' / 'small' / 'detr_gpt2_coco.py'
        assert read_config_file(write_text(tmp_path / 'a.yaml', f'_base_: {ours}')).model.type == 'lbbt_mm.LanguageDETR'
        stock = read_config_file(write_text(tmp_path / 'b.yaml', '_base_: mmdet::detr/detr_r50_8xb2-150e_coco.py'))
        assert stock.model.type == 'DETR'

    def test_a_py_config_inherits_what_it_likes(self, tmp_path):
        write_text(tmp_path / 'base.py', 'a = len("abc")')
        write_text(tmp_path / 'more.json', '{"b": 2}')
        cfg = read_config_file(write_text(tmp_path / 'run.py', "_base_ = ['base.py', 'more.json']"))
        assert (cfg.a, cfg.b) == (3, 2)


class TestReading:

    def test_mmengine_s_own_steps_are_back_afterwards(self, tmp_path):
        names = ('_substitute_predefined_vars', '_substitute_env_variables', '_file2dict')
        before = [getattr(Config, name) for name in names]
        read_config_file(write_text(tmp_path / 'run.py', 'a = 1'))
        with pytest.raises(ValueError, match=r'bad\.py: cannot be read as a config \(ZeroDivisionError: division by zero\)'):
            read_config_file(write_text(tmp_path / 'bad.py', 'a = 1 / 0'))
        assert [getattr(Config, name) for name in names] == before

    @pytest.mark.parametrize('name, text, found', [
        ('exits.py', "import sys\nsys.exit('bye')", 'SystemExit: bye'), ('number.py', "a = int('x')", 'ValueError: invalid'),
        ('broken.json', '{"a": ', 'JSONDecodeError'), ('lone.py', "_base_ = './gone.py'", 'gone.py.*FileNotFoundError'),
        ('itself.py', "a = dict(b=1)\na['b'] = a", 'a part of it holds itself, or is nested too deeply')])
    def test_a_config_that_cannot_be_read_is_named(self, name, text, found, tmp_path):
        path = write_text(tmp_path / name, text)
        heir = write_text(tmp_path / 'heir.py', f"_base_ = './{name}'")
        for file in (path, heir):
            with pytest.raises(ValueError, match=found) as error:
                read_config_file(file)
            assert str(tmp_path) in str(error.value) and str(error.value).endswith('it.')

    def test_new_style_configs_are_read(self, tmp_path):
        write_text(tmp_path / 'base.py', 'a = 1')
        text = 'from mmengine.config import read_base\nwith read_base():\n    from .base import *\nb = 2\n'
        cfg = read_config_file(write_text(tmp_path / 'run.py', text))
        assert (cfg.a, cfg.b) == (1, 2)

    def test_no_such_file(self, tmp_path):
        with pytest.raises(FileNotFoundError, match='no such config file'):
            read_config_file(tmp_path / 'absent.py')

    def test_overrides_are_values(self):
        """Those of ``--cfg-options`` are taken apart by hand, not evaluated."""
        from lbbt_mm.runs.run_request import override
        text = '__import__("os").mkdir("x")'
        cfg = override(Config(dict(a=1, b=2)), [f'a={text}', 'b=[1,(2,x)]'])
        assert cfg.a == text.strip('"') and cfg.b == [1, (2, 'x')]
