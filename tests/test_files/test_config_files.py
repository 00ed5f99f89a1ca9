"""Configs are read so that nothing runs but the .py files that a user runs: values stay values, data stays data."""
import json
import os
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.hooks import EMAHook, Hook
from mmengine.registry import HOOKS, MODELS
from mmengine.registry import registry as registry_module
from mmengine.runner import Runner

from lbbt_mm.files.config_files import read_config_file
from lbbt_mm.runs.run_request import read_config
from tests import small_net  # noqa: F401  (registers SmallNet)
from tests.hostile_files import config_that_runs, yaml_that_runs
from tests.tool_processes import REPO


@pytest.fixture(autouse=True)
def mmengine_kept(monkeypatch):
    """What a config read before a run changes stays for the process."""
    monkeypatch.setattr(registry_module, 'get_object_from_string', registry_module.get_object_from_string)


@pytest.fixture
def trace(tmp_path) -> Path:
    return tmp_path / 'trace'


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


class TestTags:

    @pytest.mark.parametrize('read', [read_config_file, read_config])
    @pytest.mark.parametrize('suffix', ['yaml', 'yml'])
    def test_of_a_config_are_refused(self, suffix, read, tmp_path, trace):
        path = write(tmp_path / f'evil.{suffix}', yaml_that_runs(trace))
        with pytest.raises(ValueError, match=r'evil\.ya?ml: not plain YAML \(the tag !!python/\S+:os\.mkdir in line 1'):
            read(path)
        assert not trace.exists()

    @pytest.mark.parametrize('heir', ['run.yaml', 'run.json', 'run.py'])
    def test_of_its_bases_are_refused(self, heir, tmp_path, trace):
        write(tmp_path / 'evil.yaml', yaml_that_runs(trace))
        write(tmp_path / 'middle.yml', '_base_: evil.yaml')
        path = write(tmp_path / heir, '{"_base_": "middle.yml"}' if heir != 'run.py' else "_base_ = 'middle.yml'")
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
        write(tmp_path / 'evil.py', config_that_runs(trace))
        for heir, text in (('run.yaml', '_base_: evil.py'), ('run.json', '{"_base_": ["./evil.py"]}')):
            with pytest.raises(ValueError, match=rf'{heir}: inherits .*evil\.py, which is code, and a .* config is data'):
                read_config_file(write(tmp_path / heir, text))
        assert not trace.exists()

    def test_nor_by_way_of_another(self, tmp_path, trace):
        write(tmp_path / 'evil.py', config_that_runs(trace))
        write(tmp_path / 'middle.json', '{"_base_": "evil.py"}')
        with pytest.raises(ValueError, match='which is code'):
            read_config_file(write(tmp_path / 'run.yaml', '_base_: middle.json'))
        assert not trace.exists()

    def test_it_inherits_installed_configs_and_ours(self, tmp_path):
        ours = REPO / 'configs' / 'small' / 'detr_gpt2_coco.py'
        assert read_config_file(write(tmp_path / 'a.yaml', f'_base_: {ours}')).model.type == 'lbbt_mm.LanguageDETR'
        stock = read_config_file(write(tmp_path / 'b.yaml', '_base_: mmdet::detr/detr_r50_8xb2-150e_coco.py'))
        assert stock.model.type == 'DETR'

    def test_a_py_config_inherits_what_it_likes(self, tmp_path):
        write(tmp_path / 'base.py', 'a = len("abc")')
        write(tmp_path / 'more.json', '{"b": 2}')
        cfg = read_config_file(write(tmp_path / 'run.py', "_base_ = ['base.py', 'more.json']"))
        assert (cfg.a, cfg.b) == (3, 2)


class TestParts:
    """mmengine builds whatever importable object a config names."""

    @pytest.mark.parametrize('suffix', ['yaml', 'json'])
    @pytest.mark.parametrize('kind, arguments', [('mmengine.utils.mkdir_or_exist', dict(dir_name='')),
                                                 ('mmengine.fileio.dump', dict(obj=[], file='.json'))])
    def test_a_config_that_is_data_builds_no_function(self, kind, arguments, suffix, tmp_path, trace):
        hook = dict(type=kind, **{key: f'{trace}{end}' if isinstance(end, str) else end for key, end in arguments.items()})
        cfg = read_config_file(write(tmp_path / f'run.{suffix}', json.dumps(dict(custom_hooks=[hook]))))
        with pytest.raises(KeyError, match=f'{kind} is not in the'):
            HOOKS.build(cfg.custom_hooks[0])
        assert not list(tmp_path.glob('trace*'))

    def test_even_where_it_is_inherited_by_code(self, tmp_path, trace):
        hook = dict(type='mmengine.utils.mkdir_or_exist', dir_name=str(trace))
        write(tmp_path / 'evil.json', json.dumps(dict(custom_hooks=[hook])))
        cfg = read_config_file(write(tmp_path / 'run.py', "_base_ = 'evil.json'"))
        with pytest.raises(KeyError):
            HOOKS.build(cfg.custom_hooks[0])
        assert not trace.exists()

    def test_registered_parts_are_built_by_full_name(self, tmp_path):
        parts = dict(hook=dict(type='mmengine.hooks.EMAHook'),
                     model=dict(type='torch.nn.Linear', in_features=2, out_features=3))
        cfg = read_config_file(write(tmp_path / 'run.json', json.dumps(parts)))
        assert isinstance(HOOKS.build(cfg.hook), EMAHook)
        assert MODELS.build(cfg.model).weight.shape == (3, 2)
        assert MODELS.build(dict(type='mmdet.models.FocalLoss')).use_sigmoid

    def test_a_py_config_builds_what_it_names(self, tmp_path):
        read_config_file(write(tmp_path / 'data.json', '{}'))
        cfg = read_config_file(write(tmp_path / 'run.py', "hook = dict(type='tests.test_files.test_config_files.Own')"))
        assert type(HOOKS.build(cfg.hook)).__name__ == 'Own'

    @pytest.mark.parametrize('settings', [
        dict(dtype='os.mkdir("x")'), dict(warp_mode='__import__("os")'), dict(trust_remote_code=True)])
    def test_settings_that_codebases_run_are_refused(self, settings, tmp_path):
        cfg = dict(train_pipeline=[dict(type='torchvision/ConvertImageDtype', **settings)])
        with pytest.raises(ValueError, match=rf'run\.json: {next(iter(settings))}=.*(run as code|runs code)'):
            read_config_file(write(tmp_path / 'run.json', json.dumps(cfg)))

    @pytest.mark.parametrize('model', [
        dict(test_cfg=dict(nms=dict(type='__import__("os").system("touch x") or nms', iou_threshold=0.5))),
        dict(test_cfg=dict(rcnn=[dict(nms=dict(type='[exit(1)]'))])), dict(search=dict(ops=['exit(1)'])),
        dict(type='os.getenv("HOME")'), dict(search_op="exit('')")])
    def test_types_that_are_more_than_names(self, model, tmp_path):
        """mmcv evaluates that of an NMS, and those of its search for receptive fields."""
        with pytest.raises(ValueError, match=r'run\.yaml: (type|ops|search_op)=.* would be run as code; expected a name'):
            read_config_file(write(tmp_path / 'run.yaml', json.dumps(dict(model=model))))

    @pytest.mark.parametrize('imports', [['evilmod'], ['mmdet.models', 'evilmod.part'], 'evilmod'])
    def test_modules_that_a_data_config_would_import(self, imports, tmp_path, monkeypatch):
        write(tmp_path / 'evilmod.py', f'open({str(tmp_path / "trace")!r}, "w")')
        monkeypatch.syspath_prepend(tmp_path)
        with pytest.raises(ValueError, match="custom_imports names 'evilmod.*run as code when it is imported"):
            read_config_file(write(tmp_path / 'run.json', json.dumps(dict(custom_imports=dict(imports=imports)))))
        assert not (tmp_path / 'trace').exists()

    @pytest.mark.parametrize('config', [
        dict(custom_hooks=[dict(type='evilmod.Hook')]), dict(model=dict(type='evilmod.sub.Net')),
        dict(default_scope='evilmod'),
        dict(model=dict(type='ResNet', _scope_='evilmod')), dict(optim_wrapper=dict(constructor='evilmod.Constructor')),
        dict(runner_type='evilmod.Runner')])
    def test_packages_that_a_name_would_import(self, config, tmp_path, monkeypatch):
        """mmengine imports what a dotted type names, and the registries of a scope, before it looks whether it is known."""
        (tmp_path / 'evilmod').mkdir()
        for name in ('__init__.py', 'registry.py', 'sub.py'):
            write(tmp_path / 'evilmod' / name, f'open({str(tmp_path / "trace")!r}, "w")')
        monkeypatch.syspath_prepend(tmp_path)
        with pytest.raises(ValueError, match="run.json: .*='evilmod.* would be imported, which runs it"):
            read_config_file(write(tmp_path / 'run.json', json.dumps(config)))
        assert not (tmp_path / 'trace').exists()

    def test_names_of_types_are_fine(self, tmp_path):
        cfg = dict(custom_imports=dict(imports=['lbbt_mm.models'], allow_failed_imports=False), nms=dict(type='soft_nms'),
                   a=dict(dtype='float32'), b=[dict(warp_mode='cv2.MOTION_EUCLIDEAN', dtype=None)], trust_remote_code=False)
        assert read_config_file(write(tmp_path / 'run.json', json.dumps(cfg))).to_dict() == cfg


class Own(Hook):
    """A class that is registered nowhere."""


TEXT = "import os\nroot = '{{$LBBT_TEST_ROOT:data}}/x'  # {{$LBBT_TEST_ROOT:data}}\nnumber = {{'$LBBT_TEST_NUMBER:3'}}\n"


class TestEnvironment:
    """mmengine writes the values of variables into a config's text before it runs the text."""

    @pytest.mark.parametrize('value', ["x' + os.mkdir('{}') + '", 'x\' + str(os.mkdir("{}")) + \'', "'; os.mkdir('{}'); '",
                                       "o'neil", 'a "b" c'])
    def test_a_value_that_would_end_its_string_stays_in_it(self, value, tmp_path, trace, monkeypatch):
        value = value.replace('{}', str(trace))
        monkeypatch.setenv('LBBT_TEST_ROOT', value)
        assert read_config_file(write(tmp_path / 'run.py', TEXT)).root == f'{value}/x'
        assert not trace.exists() and os.environ['LBBT_TEST_ROOT'] == value

    @pytest.mark.parametrize('value', ["x'\nos.mkdir('{}')\na = '", 'x\\', "\\' + os.mkdir('{}') + '", 'a\nb', '{x}'])
    def test_a_value_that_would_end_its_string_is_refused(self, value, tmp_path, trace, monkeypatch):
        monkeypatch.setenv('LBBT_TEST_ROOT', value.replace('{}', str(trace)))
        with pytest.raises(ValueError, match=r'run\.py: the value of an environment variable, .* would be read as code'):
            read_config_file(write(tmp_path / 'run.py', TEXT))
        assert not trace.exists()

    @pytest.mark.parametrize('value', ["os.mkdir('{}')", "__import__('os').mkdir('{}')", 'os', '3; os', '3 if os else 4',
                                       '[os.mkdir(x) for x in [root]]', 'root', '(lambda: 3)()'])
    def test_a_value_outside_of_quotes_that_is_no_literal_is_refused(self, value, tmp_path, trace, monkeypatch):
        monkeypatch.setenv('LBBT_TEST_NUMBER', value.replace('{}', str(trace)))
        with pytest.raises(ValueError, match='would be read as code'):
            read_config_file(write(tmp_path / 'run.py', TEXT))
        assert not trace.exists()

    @pytest.mark.parametrize('name', ['run.py', 'run.yaml', 'run.json'])
    def test_neither_in_a_base_nor_in_data(self, name, tmp_path, trace, monkeypatch):
        monkeypatch.setenv('LBBT_TEST_ROOT', f"x\\', 'type': '{trace}")
        text = {'run.py': TEXT, 'run.yaml': "root: '{{$LBBT_TEST_ROOT:data}}'",
                'run.json': '{"root": "{{$LBBT_TEST_ROOT:data}}"}'}
        write(tmp_path / name, text[name])
        with pytest.raises(ValueError, match=rf'{name}: the value of an environment variable'):
            read_config_file(write(tmp_path / 'heir.py', f"_base_ = '{name}'"))

    @pytest.mark.parametrize('root', ['/data/My set (1), new', 'C:/data', 'ü; x=1 # y', '$HOME/%s', 'a-b.c'])
    @pytest.mark.parametrize('number', ['10', '-0.5', 'None', '[1, 2]', "'text'", "('a', 1)"])
    def test_values_are_filled_in(self, root, number, tmp_path, monkeypatch):
        monkeypatch.setenv('LBBT_TEST_ROOT', root)
        monkeypatch.setenv('LBBT_TEST_NUMBER', number)
        cfg = read_config_file(write(tmp_path / 'run.py', TEXT))
        assert cfg.root == f'{root}/x' and repr(cfg.number) == number

    def test_a_config_s_own_defaults_are_its_own(self, tmp_path):
        cfg = read_config_file(write(tmp_path / 'run.py', TEXT + 'name = {{"$LBBT_TEST_NAME:os.sep"}}\n'))
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
        cfg = read_config_file(write(tmp_path / 'plain folder' / 'run.py', text))
        assert (cfg.here, cfg.name) == (str(tmp_path / 'plain folder'), 'run')
        with pytest.raises(ValueError, match='the path of this file, .* would be read as code'):
            read_config_file(write(tmp_path / "x' + os.mkdir('trace') + '" / 'run.py', text))
        assert not trace.exists()


class TestReading:

    def test_mmengine_s_own_steps_are_back_afterwards(self, tmp_path):
        names = ('_substitute_predefined_vars', '_substitute_env_variables', '_file2dict')
        before = [getattr(Config, name) for name in names]
        read_config_file(write(tmp_path / 'run.py', 'a = 1'))
        with pytest.raises(ValueError, match=r'bad\.py: cannot be read as a config \(ZeroDivisionError: division by zero\)'):
            read_config_file(write(tmp_path / 'bad.py', 'a = 1 / 0'))
        assert [getattr(Config, name) for name in names] == before

    @pytest.mark.parametrize('name, text, found', [
        ('exits.py', "import sys\nsys.exit('bye')", 'SystemExit: bye'), ('number.py', "a = int('x')", 'ValueError: invalid'),
        ('broken.json', '{"a": ', 'JSONDecodeError'), ('lone.py', "_base_ = './gone.py'", 'gone.py.*FileNotFoundError'),
        ('itself.py', "a = dict(b=1)\na['b'] = a", 'a part of it holds itself, or is nested too deeply')])
    def test_a_config_that_cannot_be_read_is_named(self, name, text, found, tmp_path):
        path = write(tmp_path / name, text)
        heir = write(tmp_path / 'heir.py', f"_base_ = './{name}'")
        for file in (path, heir):
            with pytest.raises(ValueError, match=found) as error:
                read_config_file(file)
            assert str(tmp_path) in str(error.value) and str(error.value).endswith('it.')

    def test_new_style_configs_are_read(self, tmp_path):
        write(tmp_path / 'base.py', 'a = 1')
        text = 'from mmengine.config import read_base\nwith read_base():\n    from .base import *\nb = 2\n'
        cfg = read_config_file(write(tmp_path / 'run.py', text))
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


def test_a_runner_of_a_config_that_is_data_runs_no_function(tmp_path, trace):
    """The whole way: hooks are built by name when the runner is."""
    path = write(tmp_path / 'run.json', json.dumps(dict(
        model=dict(type='SmallNet'), work_dir=str(tmp_path),
        custom_hooks=[dict(type='mmengine.mkdir_or_exist', dir_name=str(trace))])))
    with pytest.raises(KeyError, match=r'mmengine\.mkdir_or_exist is not in the'):
        Runner.from_cfg(read_config_file(path))
    assert not trace.exists()
