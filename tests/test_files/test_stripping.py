"""A checkpoint without the parts of auxiliary training is one of the plain model."""
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS

from lbbt_mm.files.checkpoint_files import CONFIG_TEXT_KEY
from lbbt_mm.files.checkpoint_fit import CheckpointMisfit
from lbbt_mm.files.stripping import STRIPPED_KEY, strip
from tests.tiny_rectified import build, images, model_config


def checkpoint(folder, **options):
    model = build(folder, **options)
    text = Config(dict(model=model_config(folder, **options), test_cfg=dict(), optim_wrapper=dict())).pretty_text
    return model, dict(state_dict=model.state_dict(), optimizer=dict(state={}), meta={CONFIG_TEXT_KEY: text, 'epoch': 3})


@pytest.mark.parametrize('arm', ('language', 'mappers', 'none'))
def test_the_host_librarys_own_classifier_loads_it_strictly_and_computes_the_same(folders, arm):
    model, loaded = checkpoint(folders['gpt2'], arm=arm)
    found = strip(loaded, 'x.pth')
    init_default_scope('mmpretrain')
    assert found.config.model.type == 'ImageClassifier' and set(found.checkpoint) == {'state_dict', 'meta'}
    plain = MODELS.build(found.config.model)
    plain.load_state_dict(found.checkpoint['state_dict'], strict=True)
    assert torch.equal(plain.eval()(images(), mode='tensor'), model.eval()(images(), mode='tensor'))
    meta = found.checkpoint['meta']
    assert meta['epoch'] == 3 and meta[STRIPPED_KEY] == ['rectifier', 'aux_head'] and 'LanguageRectifier' not in meta['cfg']
    assert 'optim_wrapper' not in found.config


def test_a_width_that_the_config_left_open_is_written(folders):
    _, loaded = checkpoint(folders['gpt2'])
    loaded['meta'][CONFIG_TEXT_KEY] = loaded['meta'][CONFIG_TEXT_KEY].replace('in_channels=16', 'in_channels=None')
    assert 'in_channels=None' in loaded['meta'][CONFIG_TEXT_KEY]
    assert strip(loaded, 'x.pth').config.model.head.in_channels == 16


def test_a_rectifier_that_inference_needs_stays(folders):
    _, loaded = checkpoint(folders['gpt2'], path='inserted')
    with pytest.raises(CheckpointMisfit, match="x.pth: was trained with path='inserted', so its inference runs through"):
        strip(loaded, 'x.pth')


def test_a_model_of_another_kind_is_refused_and_that_of_clips_becomes_its_host_librarys(folders):
    _, loaded = checkpoint(folders['gpt2'])
    text = loaded['meta'][CONFIG_TEXT_KEY]
    loaded['meta'][CONFIG_TEXT_KEY] = text.replace('lbbt_mm.RectifiedClassifier', 'mine.Model')
    with pytest.raises(CheckpointMisfit, match='is of a Model; expected one of RectifiedClassifier, RectifiedRecognizer'):
        strip(loaded, 'x.pth')
    loaded['meta'][CONFIG_TEXT_KEY] = text.replace('RectifiedClassifier', 'RectifiedRecognizer')
    assert strip(loaded, 'x.pth').config.model.type == 'Recognizer3D'


def test_a_plain_checkpoint_and_one_without_its_config_are_refused(folders):
    _, loaded = checkpoint(folders['gpt2'])
    plain = dict(loaded, state_dict=strip(loaded, 'x.pth').checkpoint['state_dict'])
    with pytest.raises(CheckpointMisfit, match='has no rectifier and no aux_head; .* It is a plain one already'):
        strip(plain, 'x.pth')
    with pytest.raises(CheckpointMisfit, match='does not hold a state_dict and the config'):
        strip(dict(loaded, meta={}), 'x.pth')
