"""Which blocks of a model figures look into."""
import pytest
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from lbbt_mm.figures.watched_blocks import watched_blocks
from tests.tiny_rectified import HEAD, VIT, WIDTH, build

OWN = [f'backbone.layers.{number}' for number in range(3)]


def classifier(backbone):
    init_default_scope('mmpretrain')
    return MODELS.build(dict(type='ImageClassifier', backbone=backbone, head=dict(HEAD, in_channels=WIDTH)))


@pytest.mark.parametrize('path', ('auxiliary', 'inserted'))
def test_of_a_rectified_model_the_vit_s_whatever_the_path_and_the_arm(folders, path):
    assert [*watched_blocks(build(folders['gpt2'], path=path))] == OWN
    assert [*watched_blocks(build(folders['gpt2'], 'none', path=path))] == OWN


def test_a_pattern_chooses_among_all(folders):
    model = build(folders['gpt2'])
    assert [*watched_blocks(model, '*')] == [*OWN, 'rectifier.blocks.0']
    assert [*watched_blocks(model, 'rectifier.*')] == ['rectifier.blocks.0']
    with pytest.raises(ValueError, match='RectifiedClassifier has backbone.layers.0 to rectifier.blocks.0; expected blocks '
                       'that are called neck. Give another pattern'):
        watched_blocks(model, 'neck')


def test_of_a_plain_vit_its_own(folders):
    assert [*watched_blocks(classifier(VIT))] == OWN


def test_of_a_model_of_language_blocks_these(folders):
    language = dict(checkpoint=str(folders['gpt2']))
    model = classifier(dict(type='lbbt_mm.LLMBackbone', img_size=8, patch_size=4, language=language))
    assert [*watched_blocks(model)] == [f'backbone.blocks.{number}' for number in range(4)]


@pytest.mark.parametrize('model', [nn.Linear(2, 2), None], ids=['no_backbone', 'resnet'])
def test_a_model_without_blocks_is_refused(model):
    model = model or classifier(dict(type='ResNet', depth=18))
    with pytest.raises(ValueError, match='has no LanguageBlock, and no backbone of such blocks as'):
        watched_blocks(model)
