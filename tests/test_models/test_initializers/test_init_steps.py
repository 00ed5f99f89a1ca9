"""Where the copying step stands, and when it is left out."""
import pytest
import torch
from mmengine.config import ConfigDict
from torch import nn

from lbbt_mm.models.backbones import LLMBackbone
from lbbt_mm.models.decode_heads import LanguageSegmenterHead
from lbbt_mm.models.initializers import init_steps
from lbbt_mm.models.initializers.init_steps import with_language_init
from tests.tiny_detection import build_detector

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


def parts(model_type, folders):
    """Each component with language blocks, by what builds it."""
    language = dict(checkpoint=str(folders[model_type]), config=None)
    size = dict(img_size=16, patch_size=8)
    return {
        'backbone': lambda init_cfg: LLMBackbone(dict(language, blocks='0:1'), **size, init_cfg=init_cfg),
        'head': lambda init_cfg: LanguageSegmenterHead(8, dict(language, blocks='0:1', fit='project'), num_classes=2,
                                                       init_cfg=init_cfg),
        'detector': lambda init_cfg: build_detector(language=language, model__init_cfg=init_cfg),
    }


@pytest.mark.parametrize('kind', ['backbone', 'head', 'detector'])
def test_a_checkpoint_to_start_from_comes_instead_of_the_language_weights_everywhere(kind, folders, tmp_path, monkeypatch):
    """And the log says so; before, the detector copied them too, and failed at its first forward."""
    build = parts('gpt2', folders)[kind]
    source = build(None)
    for parameter in source.parameters():
        nn.init.normal_(parameter)
    torch.save(dict(state_dict=source.state_dict()), tmp_path / 'model.pth')
    said = []
    monkeypatch.setattr(init_steps, 'print_log', lambda text, **options: said.append(text))
    model = build(dict(type='Pretrained', checkpoint=str(tmp_path / 'model.pth')))
    assert said == [f'init_cfg of type Pretrained loads {tmp_path / "model.pth"}: the blocks start from it, and '
                    'language.arm copies nothing.']
    model.init_weights()
    for name, value in source.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name
    assert not any(step['type'] == 'lbbt_mm.LanguageInit' for step in _steps(model.init_cfg))


def _steps(init_cfg):
    return [init_cfg] if isinstance(init_cfg, dict) else init_cfg
