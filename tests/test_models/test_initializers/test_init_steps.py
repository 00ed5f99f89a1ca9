"""Where the copying step stands, and when it is left out."""
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope
from torch import nn

from lbbt_mm.models.backbones import LLMBackbone
from lbbt_mm.models.decode_heads import LanguageSegmenterHead
from lbbt_mm.models.initializers.init_steps import with_language_init
from lbbt_mm.registry import MODELS
from tests import tiny_rectified, tiny_segmentation
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
def test_a_checkpoint_to_start_from_comes_instead_of_the_language_weights_everywhere(kind, folders, tmp_path, log):
    """And the log says so; before, the detector copied them too, and failed at its first forward."""
    build = parts('gpt2', folders)[kind]
    source = build(None)
    for parameter in source.parameters():
        nn.init.normal_(parameter)
    torch.save(dict(state_dict=source.state_dict()), tmp_path / 'model.pth')
    model = build(dict(type='Pretrained', checkpoint=str(tmp_path / 'model.pth')))
    assert log == [f'init_cfg of type Pretrained loads {tmp_path / "model.pth"}: the blocks start from it, and '
                   'language.arm has no part in them.']
    model.init_weights()
    for name, value in source.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name
    assert not any(step['type'] == 'lbbt_mm.LanguageInit' for step in _steps(model.init_cfg))


def whole_model(kind, folder, init_cfg=None):
    """A model around a part with language blocks, and images for it."""
    init_default_scope('mmseg' if kind == 'segmentor' else 'mmpretrain')
    if kind == 'segmentor':
        cfg = tiny_segmentation.run_config(language=dict(checkpoint=str(folder)))
        return MODELS.build(dict(cfg.model, init_cfg=init_cfg)), torch.rand(2, 3, 32, 32)
    if kind == 'rectified':
        return MODELS.build(tiny_rectified.model_config(folder, init_cfg=init_cfg, path='inserted')), tiny_rectified.images()
    language = dict(checkpoint=str(folder), blocks='0:2')
    return MODELS.build(dict(
        type='lbbt_mm.LanguageClassifier', init_cfg=init_cfg,
        backbone=dict(type='lbbt_mm.LLMBackbone', img_size=16, patch_size=8, language=language),
        head=dict(type='LinearClsHead', num_classes=2, in_channels=None))), torch.rand(2, 3, 16, 16)


@pytest.mark.parametrize('kind', ['classifier', 'segmentor', 'rectified'])
def test_a_checkpoint_that_the_whole_model_starts_from_wins_too(kind, folders, tmp_path, log):
    """Its step comes behind those of its parts."""
    source, images = whole_model(kind, folders['gpt2'])
    for value in source.state_dict().values():
        if value.is_floating_point():
            nn.init.normal_(value, std=0.1)
    torch.save(dict(state_dict=source.state_dict()), tmp_path / 'model.pth')
    model, _ = whole_model(kind, folders['gpt2'], dict(type='Pretrained', checkpoint=str(tmp_path / 'model.pth')))
    model.init_weights()
    for name, value in source.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name
    assert sum('the blocks start from it, and language.arm has no part in them' in line for line in log) == 1
    model.train()(images, mode='tensor')


def test_a_checkpoint_of_the_plain_model_leaves_a_rectifier_its_blocks(folders, tmp_path):
    without, source = (tiny_rectified.build(folders['gpt2'], arm=arm) for arm in ('plain', 'language'))
    torch.save(dict(state_dict=without.state_dict()), tmp_path / 'plain.pth')
    model = tiny_rectified.build(folders['gpt2'], seed=5, init_cfg=dict(
        type='Pretrained', checkpoint=str(tmp_path / 'plain.pth')))
    state, blocks = model.state_dict(), source.rectifier.blocks.state_dict()
    assert all(torch.equal(state[name], value) for name, value in without.state_dict().items())
    assert all(torch.equal(state[f'rectifier.blocks.{name}'], value) for name, value in blocks.items())


def _steps(init_cfg):
    return [init_cfg] if isinstance(init_cfg, dict) else init_cfg
