"""Without a codebase its components say what to install, and everything else works."""
import textwrap

import pytest

from lbbt_mm.models.optional import register_placeholder
from lbbt_mm.registry import MODELS
from tests.tool_processes import finish, start


def test_lbbt_mm_works_without_mmdet(tmp_path):
    (tmp_path / 'without_mmdet.py').write_text(textwrap.dedent('''
        import sys

        class NoMMDet:
            """Makes mmdet as absent as if it had never been installed."""

            def find_spec(self, name, path=None, target=None):
                if name.split('.')[0] == 'mmdet':
                    raise ModuleNotFoundError(f"No module named {name!r}", name=name)

        sys.meta_path.insert(0, NoMMDet())
        import torch
        import lbbt_mm.models
        from lbbt_mm.language import read_spec
        spec = read_spec(dict(model_type='gpt2', n_embd=32, n_head=4, n_layer=2))
        block = lbbt_mm.models.LanguageBlock(spec.block, cross_attention=True)
        assert block(torch.randn(2, 5, 32), memory=torch.randn(2, 7, 32)).shape == (2, 5, 32)

        from mmengine.registry import HOOKS, MODELS, OPTIM_WRAPPERS, WEIGHT_INITIALIZERS
        assert HOOKS.get('lbbt_mm.SeedingHook') and OPTIM_WRAPPERS.get('lbbt_mm.AutocastOptimWrapper')
        assert WEIGHT_INITIALIZERS.get('lbbt_mm.LanguageInit')
        try:
            MODELS.build(dict(type='lbbt_mm.LanguageDETR', language=dict(arm='host')))
        except ImportError as error:
            print('said:', error)
        assert 'mmdet' not in sys.modules
    '''))
    returncode, output = finish(start('python', tmp_path / 'without_mmdet.py', cwd=tmp_path))
    assert returncode == 0, output
    said = output.split('said: ')[1]
    assert said.startswith('lbbt_mm.LanguageDETR needs mmdet, which is not installed. Install it with pip install')
    assert "'lbbt_mm[det]'" in said and "'lbbt_mm[onedl]'" in said


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


def test_an_absent_codebase_is_named_with_its_extra(placeholder):
    placeholder(ModuleNotFoundError("No module named 'mmseg'", name='mmseg'))
    with pytest.raises(ImportError, match=r"needs mmseg, which is not installed. .*'lbbt_mm\[seg\]'"):
        MODELS.build(dict(type='lbbt_mm.Stand-in'))
