"""What is put into the config of each training, and what is read of it."""
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config

from lbbt_mm.files.feature_store import FeatureStore
from lbbt_mm.runs.training_run import OtherRunError
from lbbt_mm.zero_shot.compared_trainings import LIT, SHARELOCK, Protocol
from lbbt_mm.zero_shot.text_sides import TextSide
from tests.feature_stores import write_pairs, write_store
from tests.tool_processes import REPO

CONFIG = REPO / 'configs' / 'small' / 'sharelock_emoji.py'


@pytest.fixture
def stores(tmp_path):
    found = write_pairs(tmp_path, num_images=40, captions=[1, 3] * 20)
    return FeatureStore.open(found['image_store']), FeatureStore.open(found['text_store'])


def protocol(images, *options, config=CONFIG):
    return Protocol(SimpleNamespace(config=config, options=list(options), processes=1), images)


def side(captions):
    return TextSide('tiny', captions, captions)


def asked(run):
    return Config(run.request['config'])


def test_stores_widths_and_the_seed_are_filled_in(stores, tmp_path):
    images, captions = stores
    cfg = asked(protocol(images).training(side(captions), SHARELOCK, 7, tmp_path / 'run'))
    for loader in ('train', 'val', 'test'):
        dataset = cfg[f'{loader}_dataloader'].dataset
        assert (dataset.image_store, dataset.text_store) == (str(images.folder), str(captions.folder))
        assert not dataset.get('image_expected') and not dataset.get('text_expected')
    assert (cfg.model.text_projection.in_channels, cfg.model.text_projection.out_channels) == (10, 6)
    assert cfg.randomness.seed == cfg.train_dataloader.dataset.seed == 7
    assert cfg.model.text_projection.num_layers == 4


def test_lit_is_one_linear_map(stores, tmp_path):
    images, captions = stores
    plain, lit = (asked(protocol(images).training(side(captions), method, 0, tmp_path / 'run'))
                  for method in (SHARELOCK, LIT))
    assert lit.model.text_projection.num_layers == 1
    lit.model.text_projection.num_layers = 4
    assert lit.to_dict() == plain.to_dict(), 'nothing else differs'


def test_a_projection_of_images_goes_the_other_way(stores, tmp_path):
    images, captions = stores

    def config(text):
        path = tmp_path / 'other.py'
        path.write_text(f'_base_ = {str(CONFIG)!r}\n'
                        "vision = dict(_delete_=True, type='lbbt_mm.MLPProjection', in_channels=1280, out_channels=50)\n"
                        f'model = dict(vision_projection=vision, text_projection={text})\n')
        return path

    both = protocol(images, config=config('dict(out_channels=50)'))
    model = asked(both.training(side(captions), SHARELOCK, 0, tmp_path / 'run')).model
    assert (model.text_projection.in_channels, model.vision_projection.in_channels) == (10, 6)
    assert model.text_projection.out_channels == model.vision_projection.out_channels == 50, "the config's own"
    turned = protocol(images, config=config(None))
    model = asked(turned.training(side(captions), SHARELOCK, 0, tmp_path / 'run')).model
    assert (model.vision_projection.in_channels, model.vision_projection.out_channels) == (6, 10)
    with pytest.raises(ValueError, match='has no model.text_projection'):
        turned.check_method(LIT)


def test_other_features_in_the_same_place_are_another_experiment(stores, tmp_path):
    images, captions = stores
    run = protocol(images).training(side(captions), SHARELOCK, 0, tmp_path / 'run')
    run.work_dir.mkdir()
    (run.work_dir / 'request.json').write_text(__import__('json').dumps(dict(run.request, id='x')))
    (run.work_dir / 'done').write_text('finished\n')
    run.check()
    other = FeatureStore.open(write_store(tmp_path / 'other', 'text', captions.keys, torch.randn(80, 10), revision='2'))
    moved = TextSide('tiny', captions.__class__(captions.folder, other.index, captions.keys, []), captions)
    with pytest.raises(OtherRunError, match="captions.revision"):
        protocol(images).training(moved, SHARELOCK, 0, tmp_path / 'run').check()


def test_pairs_are_those_that_the_config_leaves(stores):
    images, captions = stores
    keys = f'train_dataloader.dataset.keys={images.keys[0]},{images.keys[1]}'
    found = protocol(images, keys).pairs(side(captions), 'all')
    assert len(found) == 4 and len(protocol(images).pairs(side(captions), 'first')) == 40


@pytest.mark.parametrize('name, message', [
    ('small/deit_imagefolder.py', 'model is ImageClassifier; expected lbbt_mm.ShareLock'),
    ('demo/detr_smollm2_digits.py', 'model is LanguageDETR; expected lbbt_mm.ShareLock'),
])
def test_a_config_of_something_else(stores, name, message):
    with pytest.raises(ValueError, match=message):
        protocol(stores[0], config=REPO / 'configs' / name)


def test_pairs_inside_another_data_set(stores, tmp_path):
    path = tmp_path / 'wrapped.py'
    path.write_text(f'_base_ = {str(CONFIG)!r}\n'
                    "train_dataloader = dict(dataset=dict(_delete_=True, type='RepeatDataset'))\n")
    with pytest.raises(ValueError, match='train_dataloader.dataset is RepeatDataset; expected lbbt_mm.FeaturePairs'):
        protocol(stores[0], config=path)
