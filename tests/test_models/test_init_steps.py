"""Where the copying step stands, and when it is left out."""
import pytest
from mmengine.config import ConfigDict

from lbbt_mm.models.init_steps import with_language_init

LANGUAGE = dict(checkpoint='gpt2')
COPY = dict(type='lbbt_mm.LanguageInit', language=LANGUAGE, targets=dict(layers='blocks'))


@pytest.mark.parametrize('given, steps', ((None, []), ([], []), (ConfigDict(type='Xavier'), [dict(type='Xavier')]),
                                          ([dict(type='Xavier'), dict(type='Normal')],
                                           [dict(type='Xavier'), dict(type='Normal')])))
def test_the_copy_comes_last(given, steps):
    assert with_language_init(given, LANGUAGE, targets=dict(layers='blocks')) == [*steps, COPY]


@pytest.mark.parametrize('step', ('Pretrained', 'lbbt_mm.BridgeInit'))
def test_what_fills_the_whole_module_leaves_nothing_to_copy(step):
    given = [dict(type=step, checkpoint='own.pth')]
    assert with_language_init(given, LANGUAGE, targets=dict(layers='blocks')) == given
