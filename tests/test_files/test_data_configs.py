"""Configs that are data name registered parts, and no code: nothing else is built, imported or evaluated."""
import json

import pytest
from mmengine.hooks import EMAHook, Hook
from mmengine.registry import HOOKS, MODELS
from mmengine.runner import Runner

import lbbt_mm
from lbbt_mm.files.config_files import read_config_file
from lbbt_mm.files.data_configs import check_data, is_trusted_code
from tests import small_net  # noqa: F401  (registers SmallNet)
from tests.hostile_files import write_text
from tests.tool_processes import REPO


class TestParts:
    """mmengine builds whatever importable object a config names."""

    @pytest.mark.parametrize('suffix', ['yaml', 'json'])
    @pytest.mark.parametrize('kind, arguments', [('mmengine.utils.mkdir_or_exist', dict(dir_name='')),
                                                 ('mmengine.fileio.dump', dict(obj=[], file='.json'))])
    def test_a_config_that_is_data_builds_no_function(self, kind, arguments, suffix, tmp_path, trace):
        hook = dict(type=kind, **{key: f'{trace}{end}' if isinstance(end, str) else end for key, end in arguments.items()})
        cfg = read_config_file(write_text(tmp_path / f'run.{suffix}', json.dumps(dict(custom_hooks=[hook]))))
        with pytest.raises(KeyError, match=f'{kind} is not in the'):
            HOOKS.build(cfg.custom_hooks[0])
        assert not list(tmp_path.glob('trace*'))

    def test_even_where_it_is_inherited_by_code(self, tmp_path, trace):
        hook = dict(type='mmengine.utils.mkdir_or_exist', dir_name=str(trace))
        write_text(tmp_path / 'evil.json', json.dumps(dict(custom_hooks=[hook])))
        cfg = read_config_file(write_text(tmp_path / 'run.py', "_base_ = 'evil.json'"))
        with pytest.raises(KeyError):
            HOOKS.build(cfg.custom_hooks[0])
        assert not trace.exists()

    def test_registered_parts_are_built_by_full_name(self, tmp_path):
        parts = dict(hook=dict(type='mmengine.hooks.EMAHook'),
                     model=dict(type='torch.nn.Linear', in_features=2, out_features=3))
        cfg = read_config_file(write_text(tmp_path / 'run.json', json.dumps(parts)))
        assert isinstance(HOOKS.build(cfg.hook), EMAHook)
        assert MODELS.build(cfg.model).weight.shape == (3, 2)
        assert MODELS.build(dict(type='mmdet.models.FocalLoss')).use_sigmoid

    def test_a_py_config_builds_what_it_names(self, tmp_path):
        read_config_file(write_text(tmp_path / 'data.json', '{}'))
        cfg = read_config_file(write_text(tmp_path / 'run.py', "hook = dict(type='tests.test_files.test_data_configs.Own')"))
        assert type(HOOKS.build(cfg.hook)).__name__ == 'Own'

    @pytest.mark.parametrize('settings', [
        dict(dtype='os.mkdir("x")'), dict(warp_mode='__import__("os")'), dict(trust_remote_code=True)])
    def test_settings_that_codebases_run_are_refused(self, settings, tmp_path):
        cfg = dict(train_pipeline=[dict(type='torchvision/ConvertImageDtype', **settings)])
        with pytest.raises(ValueError, match=rf'run\.json: {next(iter(settings))}=.*(run as code|runs code)'):
            read_config_file(write_text(tmp_path / 'run.json', json.dumps(cfg)))

    @pytest.mark.parametrize('model', [
        dict(test_cfg=dict(nms=dict(type='__import__("os").system("touch x") or nms', iou_threshold=0.5))),
        dict(test_cfg=dict(rcnn=[dict(nms=dict(type='[exit(1)]'))])), dict(search=dict(ops=['exit(1)'])),
        dict(type='os.getenv("HOME")'), dict(search_op="exit('')")])
    def test_types_that_are_more_than_names(self, model, tmp_path):
        """mmcv evaluates that of an NMS, and those of its search for receptive fields."""
        with pytest.raises(ValueError, match=r'run\.yaml: (type|ops|search_op)=.* would be run as code; expected a name'):
            read_config_file(write_text(tmp_path / 'run.yaml', json.dumps(dict(model=model))))

    @pytest.mark.parametrize('imports', [['evilmod'], ['mmdet.models', 'evilmod.part'], 'evilmod'])
    def test_modules_that_a_data_config_would_import(self, imports, tmp_path, monkeypatch):
        write_text(tmp_path / 'evilmod.py', f'open({str(tmp_path / "trace")!r}, "w")')
        monkeypatch.syspath_prepend(tmp_path)
        with pytest.raises(ValueError, match="custom_imports names 'evilmod.*run as code when it is imported"):
            read_config_file(write_text(tmp_path / 'run.json', json.dumps(dict(custom_imports=dict(imports=imports)))))
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
            write_text(tmp_path / 'evilmod' / name, f'open({str(tmp_path / "trace")!r}, "w")')
        monkeypatch.syspath_prepend(tmp_path)
        with pytest.raises(ValueError, match="run.json: .*='evilmod.* would be imported, which runs it"):
            read_config_file(write_text(tmp_path / 'run.json', json.dumps(config)))
        assert not (tmp_path / 'trace').exists()

    def test_names_of_types_are_fine(self, tmp_path):
        cfg = dict(custom_imports=dict(imports=['lbbt_mm.models'], allow_failed_imports=False), nms=dict(type='soft_nms'),
                   a=dict(dtype='float32'), b=[dict(warp_mode='cv2.MOTION_EUCLIDEAN', dtype=None)], trust_remote_code=False)
        assert read_config_file(write_text(tmp_path / 'run.json', json.dumps(cfg))).to_dict() == cfg


class Own(Hook):
    """A class that is registered nowhere."""


def test_a_runner_of_a_config_that_is_data_runs_no_function(tmp_path, trace):
    """The whole way: hooks are built by name when the runner is."""
    path = write_text(tmp_path / 'run.json', json.dumps(dict(
        model=dict(type='SmallNet'), work_dir=str(tmp_path),
        custom_hooks=[dict(type='mmengine.mkdir_or_exist', dir_name=str(trace))])))
    with pytest.raises(KeyError, match=r'mmengine\.mkdir_or_exist is not in the'):
        Runner.from_cfg(read_config_file(path))
    assert not trace.exists()


@pytest.mark.parametrize('cfg, message', [
    (dict(model=[dict(layers=dict(type=['ReLU', 'exit(1)']))]), r"^run.yaml: type='exit\(1\)' would be run as code"),
    (dict(hooks=[dict(type='os.mkdir')]), "^run.yaml: type='os.mkdir' would be imported"),
    (dict(_scope_=['mmdet', 'evil']), "^run.yaml: _scope_='evil' would be imported")])
def test_names_are_looked_at_wherever_and_in_whatever_list_they_are(cfg, message):
    with pytest.raises(ValueError, match=message):
        check_data(cfg, 'run.yaml')


def test_code_that_is_trusted_is_ours_and_that_of_installed_codebases(tmp_path):
    import mmdet
    assert is_trusted_code(REPO / 'configs' / 'small' / 'detr_gpt2_coco.py') and is_trusted_code(mmdet.__file__)
    (tmp_path / 'mmdet').mkdir()
    (tmp_path / 'link.py').symlink_to(mmdet.__file__)
    assert not is_trusted_code(tmp_path / 'mmdet' / 'config.py') and not is_trusted_code(REPO / 'tests' / 'small_net.py')
    assert is_trusted_code(tmp_path / 'link.py'), 'what counts is the file itself'


def test_beside_an_installed_package_a_folder_of_configs_is_somebody_else_s(tmp_path, monkeypatch):
    monkeypatch.setattr('lbbt_mm.__file__', str(tmp_path / 'lbbt_mm' / '__init__.py'))
    own, other = tmp_path / 'lbbt_mm' / '.mim' / 'configs' / 'a.py', tmp_path / 'configs' / 'b.py'
    for path in (own, other):
        path.parent.mkdir(parents=True)
        write_text(path, 'a = 1')
    assert is_trusted_code(own) and not is_trusted_code(other)
    with pytest.raises(FileNotFoundError, match="lbbt_mm has no config 'b.py'"):
        lbbt_mm.config_path('b.py')

