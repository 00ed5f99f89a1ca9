"""The zero-shot test configs: models and images that are those of the stores, names for all labels."""
import json
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from lbbt_mm.checks import check_settings
from lbbt_mm.registry import DATASETS, MODELS

CONFIGS = Path(__file__).resolve().parent.parent / 'configs'
IMAGENET = sorted((CONFIGS / 'zero_shot').glob('imagenet_*.py'))
RUNS = [*IMAGENET, CONFIGS / 'small' / 'zero_shot_emoji.py']
VISION = dict(dinov2_l14='zero_shot/imagenet_llama3_8b', efficientnet_lite0='small/zero_shot_emoji')


@pytest.fixture
def names(tmp_path, monkeypatch):
    """The package clip-benchmark, with names of ImageNet's classes, and names of emoji."""
    folder = tmp_path / 'site' / 'clip_benchmark' / 'datasets'
    folder.mkdir(parents=True)
    for language in ('en', 'cn'):
        for kind, found in (('classnames', [f'{language} {n}' for n in range(1000)]),
                            ('zeroshot_classification_templates', [f'{{c}} {n}' for n in range(80)])):
            (folder / f'{language}_{kind}.json').write_text(json.dumps(dict(imagenet1k=found)))
    monkeypatch.syspath_prepend(tmp_path / 'site')
    (tmp_path / 'test_names_ar.txt').write_text('one\ntwo\n')
    (tmp_path / 'test_labels.txt').write_text('a.png 0\nb.png 1\n')
    monkeypatch.setenv('LBBT_DATA_ROOT', str(tmp_path))
    monkeypatch.setenv('LBBT_LANGUAGE', 'ar')
    return tmp_path


def build(cfg):
    init_default_scope('mmpretrain')
    with torch.device('meta'):
        return MODELS.build(cfg.model)


@pytest.mark.parametrize('path', RUNS, ids=lambda path: path.stem)
def test_every_config_builds_its_model_with_a_name_for_each_class(path, names):
    cfg = Config.fromfile(path)
    if cfg.model.text.location is None:
        cfg.model.text.location = 'model.gguf'
    check_settings(cfg, ('test_dataloader', ))
    classes = build(cfg).zero_shot.classes
    language = 'cn ' if 'cn' in path.stem else 'en '
    assert (len(classes), classes.names[0]) == ((1000, f'{language}0') if path in IMAGENET else (2, 'one'))
    assert cfg.test_evaluator.topk == (1, 5)


@pytest.mark.parametrize('base', VISION)
def test_images_are_seen_as_when_the_features_were_made(base):
    """So the stores of tools/precompute_features.py and the test config's images have the same features."""
    made = Config.fromfile(CONFIGS / '_base_' / 'vision' / f'{base}.py')
    tested = Config.fromfile(CONFIGS / f'{VISION[base]}.py')
    assert tested.model.vision.backbone == made.model.backbone
    dataset = tested.test_dataloader.dataset
    assert dataset.pipeline == made.test_pipeline
    for key in ('mean', 'std', 'to_rgb'):
        assert tested.data_preprocessor[key] == made.data_preprocessor[key]


@pytest.mark.parametrize('path', IMAGENET, ids=lambda path: path.stem)
def test_the_language_model_is_that_of_the_stores(path):
    cfg = Config.fromfile(path)
    expected = cfg.train_dataloader.dataset.text_expected
    assert (cfg.model.text.location, cfg.model.text.layer, cfg.model.text.pooling) == (
        expected.model, expected.layer, expected.pooling)
    assert cfg.model.vision.pooling == cfg.train_dataloader.dataset.image_expected.pooling


def test_the_emojis_labels_have_their_names(names):
    init_default_scope('mmpretrain')
    data = DATASETS.build(Config.fromfile(CONFIGS / 'small' / 'zero_shot_emoji.py').test_dataloader.dataset)
    assert data.metainfo['classes'] == ('one', 'two') and data.get_gt_labels().tolist() == [0, 1]
