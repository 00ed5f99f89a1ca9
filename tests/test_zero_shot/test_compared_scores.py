"""Accuracies on features whose classes are known to be told apart, or not at all."""
from types import SimpleNamespace

import pytest
import torch
from mmengine.registry import init_default_scope

from lbbt_mm.datasets import FeaturePairs
from lbbt_mm.files.feature_store import FeatureStore
from lbbt_mm.registry import MODELS
from lbbt_mm.zero_shot.compared_scores import (asif_accuracies, neighbourhood, probe_images, probe_texts,
                                               zero_shot_accuracy)
from lbbt_mm.zero_shot.tasks import Task
from lbbt_mm.zero_shot.text_sides import TextSide
from tests.feature_stores import write_pairs, write_store

CLASSES, EACH, WIDTH = 4, 6, 16
ARGS = SimpleNamespace(asif_kept=800, asif_power=8., max_samples=1000, neighbours=5, permutations=99)


def directions(seed=0):
    return torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=torch.Generator().manual_seed(seed)))[0]


@pytest.fixture
def task():
    labels = torch.arange(CLASSES).repeat_interleave(EACH)
    return Task('things', torch.arange(CLASSES * EACH).flip(0), labels.flip(0), CLASSES,
                [f'{kind} {name}' for name in 'abcd' for kind in ('a', 'the')])


def store(folder, kind, keys, features):
    return FeatureStore.open(write_store(folder, kind, keys, features))


@pytest.fixture
def images(tmp_path):
    """Of each class near its own direction."""
    features = directions()[:CLASSES].repeat_interleave(EACH, 0) + 0.1 * torch.randn(
        CLASSES * EACH, WIDTH, generator=torch.Generator().manual_seed(1))
    return store(tmp_path / 'images', 'image', [f'{number}.png' for number in range(len(features))], features)


def side_of(folder, task, prompts, captions=None):
    texts = store(folder / 'prompts', 'text', task.prompts, prompts)
    return TextSide('model', captions or texts, texts)


def sharelock(**options):
    init_default_scope('mmengine')
    return MODELS.build(dict(type='lbbt_mm.ShareLock', **options)).eval()


def test_images_are_of_the_class_of_the_nearest_prototype(images, task, tmp_path):
    """The mean of a class's prompts counts: each alone lies elsewhere."""
    aside = 3 * directions()[CLASSES:2 * CLASSES].repeat_interleave(2, 0) * torch.tensor([1., -1.] * CLASSES)[:, None]
    prompts = directions()[:CLASSES].repeat_interleave(2, 0) + aside
    assert zero_shot_accuracy(sharelock(), side_of(tmp_path, task, prompts), images, task) == 1
    wrong = side_of(tmp_path / 'wrong', task, prompts.roll(2, 0))
    assert zero_shot_accuracy(sharelock(), wrong, images, task) == 0


def test_the_projection_maps_the_prompts(images, task, tmp_path):
    prompts = torch.randn(2 * CLASSES, 3)
    model = sharelock(text_projection=dict(type='lbbt_mm.MLPProjection', in_channels=3, out_channels=WIDTH, num_layers=1))
    found = zero_shot_accuracy(model, side_of(tmp_path, task, prompts), images, task)
    prototypes = torch.nn.functional.normalize(model.embed_text(prompts).reshape(CLASSES, 2, WIDTH).mean(1), dim=1)
    nearest = (images.rows(task.rows) @ prototypes.T).argmax(1)
    assert found == pytest.approx((nearest == task.labels).float().mean().item())


def test_asif_goes_through_pairs_alone(images, task, tmp_path):
    """Texts lie where a rotation that nothing but the pairs knows has put them."""
    turned = directions(seed=7)
    things = torch.randn(200, WIDTH, generator=torch.Generator().manual_seed(3)) + 2 * directions()[:CLASSES].repeat(50, 1)
    keys = [f'{number}' for number in range(200)]
    known, read = (write_store(tmp_path / kind, kind, keys, features)
                   for kind, features in (('image', things), ('text', things @ turned)))
    side = side_of(tmp_path, task, directions()[:CLASSES].repeat_interleave(2, 0) @ turned)
    pairs = FeaturePairs(str(known), str(read), captions='all')
    assert asif_accuracies(pairs, side, images, [task], ARGS) == {'things': pytest.approx(1)}
    mixed = write_store(tmp_path / 'mixed', 'text', keys, (things @ turned).roll(1, 0))
    pairs = FeaturePairs(str(known), str(mixed), captions='all')
    assert asif_accuracies(pairs, side, images, [task], ARGS)['things'] < 0.6


def test_probes_learn_the_labels_of_the_task(images, task, tmp_path):
    assert probe_images(images, task) == 1
    assert probe_images(images, task._replace(labels=torch.arange(CLASSES).repeat(EACH))) < 0.6
    keys = [key for key in images.keys for _ in range(2)] + ['of no label.png']
    rows = torch.cat([images.rows(torch.arange(len(images))).repeat_interleave(2, 0), torch.zeros(1, WIDTH)])
    captions = store(tmp_path / 'captions', 'text', keys, rows)
    assert probe_texts(captions, images, task) == 1


def test_neighbours_of_captions_and_images(tmp_path):
    stores = write_pairs(tmp_path, num_images=60, noise=0.01)
    found = neighbourhood(FeaturePairs(**stores, captions='first'), ARGS)
    assert found.samples == 60 and found.p == 0.01 and found.score > found.calibrated > 0.1
    few = SimpleNamespace(**{**vars(ARGS), 'max_samples': 30})
    assert neighbourhood(FeaturePairs(**stores, captions='first'), few).samples == 30


def test_images_with_one_caption_are_one_sample(tmp_path):
    """Twelve captions of five images each; noise in the images is averaged away."""
    generator = torch.Generator().manual_seed(0)
    texts = torch.randn(12, 4, generator=generator)
    images = texts.repeat_interleave(5, 0) + 0.1 * torch.randn(60, 4, generator=generator)
    keys = [str(number) for number in range(60)]
    stores = [str(write_store(tmp_path / kind, kind, keys, features))
              for kind, features in (('image', images), ('text', texts.repeat_interleave(5, 0)))]
    found = neighbourhood(FeaturePairs(*stores, captions='first'), ARGS)
    assert found.samples == 12 and found.score > 0.8
    with pytest.raises(ValueError, match='12 different captions of 60 images, and 20 nearest neighbours'):
        neighbourhood(FeaturePairs(*stores, captions='first'), SimpleNamespace(**{**vars(ARGS), 'neighbours': 20}))
