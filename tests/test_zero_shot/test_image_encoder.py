"""Features of images: those of the backbone behind the preprocessor, with all of its weights, opened safely."""
import json
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmpretrain import get_model
from mmpretrain.apis import ModelHub

from lbbt_mm.figures.trained import OpenedRun, read_trained
from lbbt_mm.files.checkpoint_fit import CheckpointMisfit
from lbbt_mm.zero_shot.image_encoder import ImageEncoder, image_pipeline, open_model
from tests.tiny_vision import CNN, PIPELINE, VIT, build_vision, write_vision
from tests.tool_processes import REPO

IMAGES = [torch.randint(0, 256, (3, 16, 16), generator=torch.Generator().manual_seed(number)).byte() for number in range(5)]


@pytest.fixture
def model(tmp_path):
    return write_vision(tmp_path)


@torch.no_grad()
def written_out(model=None):
    """Class tokens of images, RGB, normalised."""
    images = (torch.stack(IMAGES).flip(1).float() - 127) / 64
    return (model or build_vision()).backbone(images)[-1]


def change(path, edit):
    checkpoint = torch.load(path, weights_only=True)
    edit(checkpoint['state_dict'])
    torch.save(checkpoint, path)


def test_features_are_those_of_the_backbone(model):
    encoder = ImageEncoder(model)
    found = encoder.features(IMAGES)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, written_out())
    for image, features in zip(IMAGES, found):
        torch.testing.assert_close(encoder.features([image])[0], features, rtol=1e-5, atol=1e-5)


def test_both_are_twice_as_wide(model):
    assert ImageEncoder(model, 'both').features(IMAGES).shape == (5, 32)


def test_half_precision(model):
    encoder = ImageEncoder(model, dtype='bfloat16')
    found = encoder.features(IMAGES)
    assert found.dtype == torch.float32 and not torch.equal(found, written_out())
    assert torch.nn.functional.cosine_similarity(found, written_out()).min() > 0.99
    assert encoder.identity == {**ImageEncoder(model).identity, 'dtype': 'bfloat16'}


def test_a_model_is_known_by_weights_and_settings(model, tmp_path):
    identity = ImageEncoder(model).identity
    assert identity == dict(model='vit', revision=identity['revision'], layer=-1, pooling='class', dtype='float32')
    assert ImageEncoder(write_vision(tmp_path / 'elsewhere')).identity == identity
    assert ImageEncoder(f'mine={model}').identity == {**identity, 'model': 'mine'}
    others = [ImageEncoder(model, options=[option]).identity['revision'] for option in (
        'test_pipeline.1.scale=30', 'data_preprocessor.to_rgb=False', 'model.backbone.interpolate_mode=bilinear')]
    change(tmp_path / 'vit.pth', lambda state: state['backbone.ln1.weight'].add_(1e-3))
    others.append(ImageEncoder(model).identity['revision'])
    assert len({identity['revision'], *others}) == 5


def test_a_head_does_not_count(model, tmp_path):
    change(tmp_path / 'vit.pth', lambda state: state.update({'head.fc.weight': torch.zeros(3, 16)}))
    torch.testing.assert_close(ImageEncoder(model).features(IMAGES), written_out())
    head = dict(type='LinearClsHead', num_classes=7, in_channels=16)
    torch.testing.assert_close(
        ImageEncoder(write_vision(tmp_path, 'headed', model=dict(type='ImageClassifier', backbone=VIT, head=head))
                     ).features(IMAGES), written_out())


def test_a_checkpoint_of_the_backbone_alone(model, tmp_path):
    torch.save(build_vision().backbone.state_dict(), tmp_path / 'vit.pth')
    torch.testing.assert_close(ImageEncoder(model).features(IMAGES), written_out())


@pytest.mark.parametrize('prefix', ['backbone.', 'backbone', None])
def test_weights_that_the_config_names(tmp_path, prefix):
    write_vision(tmp_path)
    step = dict(type='Pretrained', checkpoint=str(tmp_path / 'vit.pth'), prefix=prefix)
    write_vision(tmp_path, 'named', dict(VIT, init_cfg=step))
    (tmp_path / 'named.pth').unlink()
    torch.testing.assert_close(ImageEncoder(str(tmp_path / 'named.py')).features(IMAGES), written_out())


@pytest.mark.parametrize('save_best, name', [('accuracy', 'best_accuracy_epoch_1.pth'), (None, 'epoch_2.pth')])
def test_of_a_run_features_are_by_its_best_checkpoint_where_it_keeps_that(model, tmp_path, save_best, name):
    run = tmp_path / 'run'
    run.mkdir()
    for checkpoint in ('epoch_2.pth', 'best_accuracy_epoch_1.pth'):
        shutil.copy(tmp_path / 'vit.pth', run / checkpoint)
    config = dict(Config.fromfile(tmp_path / 'vit.py').to_dict(), default_hooks=dict(checkpoint=dict(save_best=save_best)))
    (run / 'request.json').write_text(json.dumps(dict(id='x', options=[], config=config)))
    assert Path(open_model(str(run), ())[2]).name == name
    assert OpenedRun(read_trained(str(run))).checkpoint.name == 'epoch_2.pth', 'what figures show is where it ended'


def test_a_config_without_weights(model, tmp_path):
    with pytest.raises(ValueError, match='the config names no weights .*Give CONFIG.py,CHECKPOINT.pth'):
        ImageEncoder(str(tmp_path / 'vit.py'))


@pytest.mark.parametrize('edit', [
    lambda state: state.pop('backbone.ln1.weight'), lambda state: state.update({'backbone.more': torch.zeros(1)}),
    lambda state: state.update({'backbone.cls_token': torch.zeros(1, 1, 8)})])
def test_weights_that_do_not_all_fit(model, tmp_path, edit):
    """mmengine would draw what is missing anew, and warn."""
    change(tmp_path / 'vit.pth', edit)
    with pytest.raises(CheckpointMisfit, match='vit.pth: does not fit the backbone of vit'):
        ImageEncoder(model)


@pytest.mark.parametrize('named', [False, True])
def test_a_checkpoint_that_would_run_code(model, tmp_path, named):
    trace = tmp_path / 'trace'

    class Evil:
        def __reduce__(self):
            return (trace.touch, ())

    with open(tmp_path / 'vit.pth', 'wb') as file:
        pickle.dump(dict(state_dict=Evil()), file)
    if named:
        step = dict(type='Pretrained', checkpoint=str(tmp_path / 'vit.pth'))
        write_vision(tmp_path, 'named', dict(VIT, init_cfg=step))
        model = str(tmp_path / 'named.py')
    with pytest.raises(ValueError, match='vit.pth'):
        ImageEncoder(model)
    assert not trace.exists()


def test_images_of_several_sizes(model):
    """They would be padded, and a feature would depend on its batch."""
    with pytest.raises(ValueError, match=r'vit: its pipeline gives images of \(3, 16, 16\) and of \(3, 16, 24\); expected'):
        ImageEncoder(model).features([IMAGES[0], torch.zeros(3, 16, 24)])


def test_a_class_token_that_is_not_there(tmp_path):
    with pytest.raises(ValueError, match='cnn: pooling class of images: ResNet has no class token'):
        ImageEncoder(write_vision(tmp_path, 'cnn', CNN), 'class')


@pytest.mark.parametrize('options, says', [
    (dict(test_pipeline=None), 'vit: its config has no test_dataloader with a pipeline, and no test_pipeline'),
    (dict(model=dict(type='ImageClassifier')), 'vit: its config has no model.backbone'), (dict(model=None), 'has no model')])
def test_configs_that_lack_something(tmp_path, options, says):
    with pytest.raises(ValueError, match=says):
        ImageEncoder(write_vision(tmp_path, **options))


def test_the_pipeline_is_that_of_the_test_set(tmp_path):
    loader = dict(dataset=dict(type='EvenSubset', dataset=dict(pipeline=PIPELINE[:1])))
    cfg = Config(dict(test_dataloader=loader, test_pipeline=PIPELINE))
    assert image_pipeline(cfg, 'vit') == PIPELINE[:1]


@pytest.mark.slow
def test_the_shipped_config_is_dinov2():
    """mmpretrain's own settings; the weights, which are a gigabyte, are not fetched."""
    cfg = Config.fromfile(REPO / 'configs' / '_base_' / 'vision' / 'dinov2_l14.py')
    stock = get_model('vit-large-p14_dinov2-pre_3rdparty', pretrained=False)
    backbone = {key: value for key, value in cfg.model.backbone.items() if key not in ('init_cfg', 'out_type')}
    assert backbone == {key: stock._config.model.backbone[key] for key in backbone}
    assert cfg.data_preprocessor.items() <= stock._config.model.data_preprocessor.items()
    assert cfg.model.backbone.init_cfg.checkpoint.rsplit('/')[-1] == ModelHub.get(
        'vit-large-p14_dinov2-pre_3rdparty').weights.rsplit('/')[-1]
