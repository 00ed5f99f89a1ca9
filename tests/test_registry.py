"""``type='lbbt_mm.X'`` works in the config of any mm project, which imports nothing of ours."""
import textwrap

import pytest

from lbbt_mm import registry
from tests.tiny_detection import run_config
from tests.tool_processes import finish, start

COMPONENTS = [('MODELS', 'LanguageDETR'), ('HOOKS', 'SeedingHook'), ('HOOKS', 'LanguageConfigHook'),
              ('OPTIM_WRAPPERS', 'AutocastOptimWrapper'), ('WEIGHT_INITIALIZERS', 'LanguageInit')]


@pytest.mark.parametrize('root', [pytest.param('mmengine.registry', marks=pytest.mark.slow), 'mmdet.registry'])
def test_every_component_is_found_from_mmengine_s_and_mmdet_s_roots_without_an_import(root, tmp_path):
    """In a process of its own, which has imported mmengine or mmdet, which imports mmengine, and nothing else."""
    model = run_config(language=dict(arm='host')).model.to_dict()
    script = textwrap.dedent(f'''
        import sys
        import {root} as root
        assert not any(name.startswith('lbbt_mm') for name in sys.modules)
        for registry, name in {[item for item in COMPONENTS if item[0] != 'WEIGHT_INITIALIZERS']!r}:
            assert getattr(root, registry).get('lbbt_mm.' + name) is not None, name
        from mmengine.registry import DefaultScope, WEIGHT_INITIALIZERS
        assert WEIGHT_INITIALIZERS.get('lbbt_mm.LanguageInit') is not None
        with DefaultScope.overwrite_default_scope('mmdet'):
            model = root.MODELS.build({model!r})
        print('built', type(model).__module__, model.embed_dims)
    ''')
    path = tmp_path / 'script.py'
    path.write_text(script)
    returncode, output = finish(start('python', path, cwd=tmp_path))
    assert returncode == 0, output
    assert 'built lbbt_mm.models.detectors.language_detr 32' in output


@pytest.mark.parametrize('name, component', COMPONENTS)
def test_registries_are_children_of_mmengine_s(name, component):
    ours = getattr(registry, name)
    assert ours.scope == 'lbbt_mm' and ours.parent.scope == 'mmengine'
    assert ours.get(component).__name__ == component


def test_the_package_itself_is_light():
    """An ImportError in it would turn into "not in registry"."""
    script = 'import sys, lbbt_mm; assert not {"torch", "mmengine", "transformers"} & set(sys.modules); print("light")'
    returncode, output = finish(start('python', '-c', script))
    assert returncode == 0 and 'light' in output, output


def test_type_name_takes_scope_class_and_config():
    from lbbt_mm.engine.hooks import SeedingHook
    from lbbt_mm.registry import type_name
    assert type_name('lbbt_mm.SeedingHook') == type_name(SeedingHook) == type_name(dict(type=SeedingHook)) == 'SeedingHook'
    assert type_name(dict(type='A.b.C')) == 'C' and type_name({}) == type_name(None) == ''
