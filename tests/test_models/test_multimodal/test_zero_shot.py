"""ShareLock classifies images: as written out by hand, with mmpretrain's data samples, metrics and inferencer."""
import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.apis import ImageClassificationInferencer
from mmpretrain.evaluation import Accuracy
from mmpretrain.structures import DataSample

from lbbt_mm.files.checkpoint_fit import CheckpointMisfit
from lbbt_mm.language.text_encoder import TextEncoder
from lbbt_mm.registry import MODELS
from tests.closeness import assert_close
from tests.tiny_checkpoints import build_model
from tests.tiny_tokenizer import write_tokenizer
from tests.tiny_vision import PIPELINE, PREPROCESSOR, VIT, build_vision, write_vision

NAMES, TEMPLATES = ['red cat', 'dog', 'green bird'], ['a photo of a {}', 'the {} here']
PROMPTS = [template.replace('{}', name) for name in NAMES for template in TEMPLATES]


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    """A language model, and a vision model's checkpoint."""
    folder = tmp_path_factory.mktemp('models')
    build_model('llama').save_pretrained(folder / 'llama')
    write_vision(folder / 'vision')
    return dict(text=str(write_tokenizer(folder / 'llama')), vision=str(folder / 'vision' / 'vit.pth'))


def config(files, **settings):
    projection = dict(type='lbbt_mm.MLPProjection', in_channels=32, out_channels=16, hidden_channels=24, num_layers=2)
    return {**dict(type='lbbt_mm.ShareLock', text_projection=projection, text=dict(location=files['text']),
                   vision=dict(backbone=VIT, checkpoint=files['vision']), data_preprocessor=PREPROCESSOR,
                   zero_shot=dict(classes=NAMES, templates=TEMPLATES)), **settings}


def build(files, **settings):
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    return MODELS.build(config(files, **settings)).eval()


def images(count=4):
    return torch.randint(0, 256, (count, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))


def samples(*labels):
    return [DataSample().set_gt_label(label) for label in labels]


@torch.no_grad()
def by_hand(model, files):
    """Scores of the images, class by class."""
    prototypes = []
    for name in NAMES:
        texts = TextEncoder(files['text']).features([template.replace('{}', name) for template in TEMPLATES])
        mean = F.normalize(model.text_projection(texts), dim=-1).mean(0)
        prototypes.append(mean / mean.norm())
    tokens = build_vision().backbone((images().flip(1).float() - 127) / 64)[0]
    cosines = F.normalize(tokens, dim=-1) @ torch.stack(prototypes).T
    return (14.29 * cosines).softmax(-1)


@pytest.mark.parametrize('cached', [False, True])
def test_images_are_of_the_class_whose_prototype_is_nearest(files, tmp_path, cached):
    settings = dict(zero_shot=dict(classes=NAMES, templates=TEMPLATES, cache=str(tmp_path / 'cache'))) if cached else {}
    model = build(files, **settings)
    found = model.test_step(dict(inputs=list(images()), data_samples=samples(0, 1, 2, 0)))
    expected = by_hand(model, files)
    assert_close(torch.stack([sample.pred_score for sample in found]), expected)
    assert [sample.pred_label.tolist() for sample in found] == [[int(label)] for label in expected.argmax(1)]
    assert [sample.gt_label.item() for sample in found] == [0, 1, 2, 0]
    assert len(expected.argmax(1).unique()) > 1


def test_features_of_images_are_classified_without_a_vision_model(files):
    model, features = build(files, vision=None), torch.randn(2, 16)
    found = model(dict(image=features), mode='predict')
    other = build(files).zero_shot
    assert_close(torch.stack([sample.pred_score for sample in found]), other.scores(model, features))


def test_mmpretrains_accuracy_reads_the_predictions(files):
    model, metric = build(files), Accuracy(topk=(1, 2))
    batch = dict(inputs=list(images()), data_samples=samples(*by_hand(model, files).argmax(1).tolist()))
    found = model.val_step(batch)
    found[0].set_gt_label(int(found[0].pred_score.argmin()))
    metric.process(batch, [sample.to_dict() for sample in found])
    assert metric.evaluate(4) == {'accuracy/top1': 75., 'accuracy/top2': 75.}


def test_mmpretrains_inferencer_takes_the_model(files, tmp_path):
    import cv2
    cfg = Config(dict(default_scope='mmpretrain', model=config(files),
                      test_dataloader=dict(dataset=dict(type='CustomDataset', pipeline=PIPELINE))))
    model = build(files)
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'sharelock.pth')
    paths = [str(tmp_path / f'{index}.png') for index in range(4)]
    for path, image in zip(paths, images()):
        cv2.imwrite(path, cv2.resize(image.permute(1, 2, 0).numpy(), (20, 20), interpolation=cv2.INTER_NEAREST))
    inferencer = ImageClassificationInferencer(cfg, str(tmp_path / 'sharelock.pth'), classes=NAMES)
    found = inferencer(paths)
    assert [result['pred_class'] for result in found] == [NAMES[result['pred_label']] for result in found]
    assert len(found) == 4 and found[0]['pred_scores'].shape == (3, )


def test_prototypes_follow_the_projection(files, tmp_path):
    """In memory and in the cache: behind a training step, and for weights that are loaded."""
    model = build(files, zero_shot=dict(classes=NAMES, templates=TEMPLATES, cache=str(tmp_path)))
    before = model.zero_shot.prototypes(model)
    assert model.zero_shot.prototypes(model) is before
    kept = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    model(dict(image=torch.randn(6, 16), text=torch.randn(6, 32)), mode='loss')['loss'].backward()
    optimizer.step()
    model.eval()
    after = model.zero_shot.prototypes(model)
    assert (after - before).abs().max() > 1e-3
    model.load_state_dict(kept)
    assert_close(model.zero_shot.prototypes(model), before)
    model.train()
    list(model.parameters())[-1].data.add_(torch.linspace(0, 1, 16))  # as mmengine's EMA hook does before a validation
    model.eval()
    assert (model.zero_shot.prototypes(model) - before).abs().max() > 1e-3
    assert len(list(tmp_path.glob('prototypes-*'))) == 3 and len(list(tmp_path.glob('prompts-*'))) == 1


def test_dropout_and_batch_norm_are_as_in_evaluation_even_while_the_model_trains(files):
    model = build(files)
    expected = model.zero_shot.prototypes(model)
    model.train()
    assert_close(model.zero_shot.prototypes(model), expected)
    assert all(part.training for part in model.modules())


def test_the_cache_spares_the_language_model(files, tmp_path, monkeypatch):
    settings = dict(zero_shot=dict(classes=NAMES, templates=TEMPLATES, cache=str(tmp_path)))
    expected = build(files, **settings)
    expected = expected.zero_shot.prototypes(expected)

    def refuse(*args, **kwargs):
        raise AssertionError('the language model was loaded')

    monkeypatch.setattr('lbbt_mm.models.multimodal.zero_shot_classes.TextEncoder', refuse)
    again = build(files, **settings)
    assert_close(again.zero_shot.prototypes(again), expected)
    (next(tmp_path.glob('prototypes-*'))).unlink()
    assert_close(again.train().eval().zero_shot.prototypes(again), expected)
    others = build(files, zero_shot=dict(classes=NAMES[::-1], templates=TEMPLATES, cache=str(tmp_path)))
    with pytest.raises(AssertionError, match='the language model was loaded'):
        others.zero_shot.prototypes(others)


def test_checkpoints_have_the_projections_alone(files):
    model = build(files)
    model.test_step(dict(inputs=list(images())))
    assert {name.split('.')[0] for name in model.state_dict()} == {'text_projection', 'pair_loss'}
    assert not any('vision' in name for name, _ in model.named_parameters())


class TestErrors:

    @pytest.mark.parametrize('settings, message', [
        (dict(zero_shot=dict(classes=['cat', ''])), 'class 1 has no name'),
        (dict(zero_shot=dict(classes=NAMES, templates='a photo')), "'a photo' has no place for the name of a class"),
        (dict(zero_shot=dict(templates='{}')), 'zero_shot names no classes'),
        (dict(zero_shot=dict(classes=NAMES, template='{}')), "zero_shot has no setting 'template'; expected some of"),
        (dict(vision=dict(type='ResNet')), "vision has no setting 'type'; expected some of backbone, checkpoint, pooling"),
        (dict(text=None), r'zero-shot classes need a language model; expected model.text=dict\(location='),
    ])
    def test_settings_that_cannot_be_are_refused_when_the_model_is_built(self, files, settings, message):
        with pytest.raises(ValueError, match=message):
            build(files, **settings)

    @pytest.mark.parametrize('settings, message', [
        (dict(vision=None), 'images are to be classified, and model.vision is None'),
        (dict(zero_shot=None), 'images are to be classified, and model.zero_shot is None'),
        (dict(vision=dict(backbone=VIT)), 'the config names no weights of the vision model'),
        (dict(text_projection=dict(type='lbbt_mm.MLPProjection', in_channels=32, out_channels=8, hidden_channels=24)),
         'images are 16 wide, those of classes 8'),
    ])
    def test_what_the_config_does_not_name(self, files, settings, message):
        with pytest.raises(ValueError, match=message):
            build(files, **settings).test_step(dict(inputs=list(images())))

    def test_a_label_without_a_name(self, files):
        with pytest.raises(ValueError, match='an image has the label 3, and zero_shot.classes has 3 names'):
            build(files).test_step(dict(inputs=list(images()), data_samples=samples(0, 1, 3, 0)))

    def test_a_checkpoint_of_another_backbone(self, files):
        with pytest.raises(CheckpointMisfit, match='vit.pth: does not fit the backbone of VisionTransformer'):
            build(files, vision=dict(backbone={**VIT, 'patch_size': 4}, checkpoint=files['vision'])).test_step(
                dict(inputs=list(images())))

    def test_features_that_are_not_finite(self, files):
        features = torch.randn(3, 16)
        features[1, 2] = torch.nan
        with pytest.raises(ValueError, match='the features of image 1 of the batch are not finite'):
            build(files).predict(dict(image=features))
