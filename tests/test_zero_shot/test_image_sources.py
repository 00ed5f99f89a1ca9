"""Images as a config's pipeline makes them, from files, shards and data sets, whichever process loads them."""
from functools import partial

import cv2
import numpy as np
import pytest
import torch
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope

from lbbt_mm.datasets.captions import CaptionSet, open_captions
from lbbt_mm.figures.progress import track
from lbbt_mm.zero_shot.image_sources import CaptionImages, SplitImages, batches, contents
from tests.image_folders import folder_config, write_splits
from tests.tiny_captions import write_captions
from tests.tiny_vision import PIPELINE


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmpretrain')


@pytest.fixture
def captions(tmp_path):
    return open_captions(write_captions(tmp_path, 5))


def through_pipeline(path, pipeline=PIPELINE):
    return Compose(pipeline)(dict(img_path=str(path), sample_idx=0))['inputs']


def test_images_of_a_caption_file_go_through_the_pipeline(captions, tmp_path):
    source = CaptionImages(captions, PIPELINE, 'vit')
    assert source.keys == captions.keys
    for row, key in enumerate(source.keys):
        assert torch.equal(source.image(row), through_pipeline(tmp_path / key))
        assert source.content(row) == (tmp_path / key).read_bytes()


def test_an_image_in_a_shard_is_decoded_as_one_in_a_file(captions, tmp_path):
    inside = CaptionSet('shard', captions.keys, captions.captions, captions._images)
    inside.image = captions.read  # bytes, as shards give them
    source = CaptionImages(inside, PIPELINE, 'vit')
    assert torch.equal(source.image(2), through_pipeline(tmp_path / captions.keys[2]))


def test_how_files_are_loaded_is_the_pipelines_say(captions, tmp_path):
    pipeline = [dict(type='LoadImageFromFile', color_type='unchanged', imdecode_backend='pillow', to_float32=True),
                *PIPELINE[1:]]
    (tmp_path / captions.keys[0]).unlink()
    cv2.imwrite(str(tmp_path / captions.keys[0]), np.random.default_rng(0).integers(0, 256, (20, 20, 4), dtype=np.uint8))
    found = CaptionImages(captions, pipeline, 'vit').image(0)
    assert found.shape == (4, 16, 16) and torch.equal(found, through_pipeline(tmp_path / captions.keys[0], pipeline))


@pytest.mark.parametrize('workers', [0, 2])
def test_batches_are_those_asked_for(captions, workers):
    source = CaptionImages(captions, PIPELINE, 'vit')
    found = list(batches(source, [[3, 0], [4], [1, 2]], workers))
    assert [len(batch) for batch in found] == [2, 1, 2]
    for row, image in zip([3, 0, 4, 1, 2], [image for batch in found for image in batch]):
        assert torch.equal(image, source.image(row))


def test_a_pipeline_that_draws_gives_the_same_for_an_image_wherever_it_is(captions):
    source = CaptionImages(captions, [PIPELINE[0], dict(type='RandomCrop', crop_size=16), PIPELINE[-1]], 'vit')
    first, = (image for batch in batches(source, [[2]], 0) for image in batch)
    *_, last = (image for batch in batches(source, [[0, 1], [3, 4, 2]], 0) for image in batch)
    assert torch.equal(first, last)


@pytest.mark.parametrize('workers', [0, 1])
def test_an_image_that_cannot_be_decoded(captions, tmp_path, workers):
    (tmp_path / captions.keys[1]).write_bytes(b'no image')
    source = CaptionImages(captions, PIPELINE, 'vit')
    with pytest.raises(ValueError) as error:
        list(batches(source, [[0], [1, 2]], workers))
    assert str(error.value).endswith(f'the image {captions.keys[1]} cannot be decoded. Leave it out, or fetch it again.')
    assert '\n' not in str(error.value)


def test_an_image_that_is_not_there(captions, tmp_path):
    (tmp_path / captions.keys[1]).unlink()
    with pytest.raises(FileNotFoundError, match=f'the image .*{captions.keys[1]} is not there'):
        CaptionImages(captions, PIPELINE, 'vit')


def test_a_pipeline_that_loads_no_files(captions):
    with pytest.raises(ValueError, match='vit: its pipeline loads no image files .*--split'):
        CaptionImages(captions, PIPELINE[1:], 'vit')


def test_images_of_a_data_set(tmp_path):
    write_splits(tmp_path)
    config = folder_config(tmp_path, data_prefix='train')
    config['pipeline'] = PIPELINE
    source = SplitImages(config, 'vit, train')
    assert source.keys == [f'{name}/{number}.png' for name in 'abc' for number in range(2)]
    assert source.content(3) == (tmp_path / 'train' / 'b' / '1.png').read_bytes()
    assert torch.equal(source.image(3), through_pipeline(tmp_path / 'train' / 'b' / '1.png'))


def test_a_data_set_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match='vit, test: its data set is not there'):
        SplitImages(folder_config(tmp_path / 'absent', data_prefix='test'), 'vit, test')


def test_contents_are_in_order_however_many_there_are(captions, monkeypatch):
    monkeypatch.setattr('lbbt_mm.zero_shot.image_sources._AT_ONCE', 2)
    source = CaptionImages(captions, PIPELINE, 'vit')
    assert list(contents(source, partial(track, what='images'))) == [(key, source.content(row))
                                                                     for row, key in enumerate(source.keys)]
