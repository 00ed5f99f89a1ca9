"""Without a codebase its components say what to install, and everything else works."""
import textwrap

import pytest

from lbbt_mm.models.optional import register_placeholder
from lbbt_mm.registry import MODELS
from tests.tool_processes import finish, start

COMPONENTS = {'mmdet': ('LanguageDETR', 'det'), 'mmpretrain': ('LanguageClassifier', 'cls'),
              'mmseg': ('LanguageSegmenterHead', 'seg')}


@pytest.mark.parametrize('absent', (
    pytest.param(('mmdet', ), marks=pytest.mark.slow), pytest.param(('mmpretrain', ), marks=pytest.mark.slow),
    ('mmdet', 'mmpretrain', 'mmseg')), ids='+'.join)
def test_lbbt_mm_works_without_a_codebase(absent, tmp_path):
    (tmp_path / 'without.py').write_text(textwrap.dedent(f'''
        import sys

        class Absent:
            """Makes codebases as absent as if they had never been installed."""

            def find_spec(self, name, path=None, target=None):
                if name.split('.')[0] in {absent!r}:
                    raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

        sys.meta_path.insert(0, Absent())
        import torch
        import lbbt_mm.models
        from mmengine.registry import (DATASETS, HOOKS, LOOPS, METRICS, MODELS, OPTIM_WRAPPERS, TRANSFORMS,
                                       WEIGHT_INITIALIZERS)
        language = dict(config=dict(model_type='gpt2', n_embd=32, n_head=4, n_layer=2))
        backbone = MODELS.build(dict(type='lbbt_mm.LLMBackbone', language=language, img_size=32, patch_size=8))
        assert backbone(torch.randn(2, 3, 32, 32))[0].shape == (2, 32)
        for registry, names in ((HOOKS, 'SeedingHook PartialFreezeHook'), (OPTIM_WRAPPERS, 'AutocastOptimWrapper'),
                                (WEIGHT_INITIALIZERS, 'LanguageInit BridgeInit'), (TRANSFORMS, 'RandomLabel'),
                                (DATASETS, 'RandomLabelDataset EvenSubset'), (LOOPS, 'BridgeValLoop'),
                                (METRICS, 'RetrievalNDCG')):
            assert all(registry.get('lbbt_mm.' + name) for name in names.split())
        for name in {[COMPONENTS[package][0] for package in absent if package in COMPONENTS]!r}:
            try:
                MODELS.build(dict(type='lbbt_mm.' + name, language=language))
            except ImportError as error:
                print('said:', error)
        assert not set({absent!r}) & set(sys.modules)
    '''))
    returncode, output = finish(start('python', tmp_path / 'without.py', cwd=tmp_path))
    assert returncode == 0, output
    for package in set(absent) & set(COMPONENTS):
        name, extra = COMPONENTS[package]
        assert (f"said: lbbt_mm.{name} needs {package}, which is not installed. Install it with pip install "
                f"'lbbt_mm[{extra}]' (or 'lbbt_mm[onedl]'") in output


@pytest.fixture
def placeholder():
    """Registers a stand-in and takes it out of the registry again."""

    def register(error: ImportError) -> type:
        return register_placeholder('Stand-in', 'mmseg', error)

    yield register
    MODELS.module_dict.pop('Stand-in', None)


def test_a_codebase_that_is_broken_is_not_called_absent(placeholder):
    placeholder(ImportError("cannot import name 'digit_version' from 'mmcv'"))
    with pytest.raises(ImportError, match="needs mmseg, which does not import .cannot import name 'digit_version'"):
        MODELS.build(dict(type='lbbt_mm.Stand-in', num_classes=3))


def test_nor_is_one_that_lacks_a_dependency(placeholder):
    placeholder(ModuleNotFoundError("No module named 'ftfy'", name='ftfy'))
    with pytest.raises(ImportError, match="needs mmseg, which does not import .No module named 'ftfy'.*lbbt_mm.seg."):
        MODELS.build(dict(type='lbbt_mm.Stand-in'))


def test_a_codebase_that_refuses_its_dependencies_leaves_the_rest_working(placeholder):
    """mm codebases assert the versions of mmcv and mmengine when they are imported."""
    placeholder(AssertionError('MMCV==3.0 is used but incompatible'))
    with pytest.raises(ImportError, match='needs mmseg, which does not import .MMCV==3.0 is used but incompatible'):
        MODELS.build(dict(type='lbbt_mm.Stand-in'))


def test_an_absent_codebase_is_named_with_its_extra(placeholder):
    placeholder(ModuleNotFoundError("No module named 'mmseg'", name='mmseg'))
    with pytest.raises(ImportError, match=r"needs mmseg, which is not installed. .*'lbbt_mm\[seg\]'"):
        MODELS.build(dict(type='lbbt_mm.Stand-in'))
