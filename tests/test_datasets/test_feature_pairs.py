"""FeaturePairs: each image with a caption of its own, whatever is asked for at once."""
from collections import Counter

import numpy as np
import pytest
import torch

from lbbt_mm.datasets import FeaturePairs
from lbbt_mm.registry import DATASETS
from tests.feature_stores import write_pairs, write_store

COUNTS = [1, 3, 2, 1, 4] * 4


@pytest.fixture(scope='module')
def stores(tmp_path_factory):
    return write_pairs(tmp_path_factory.mktemp('stores'), captions=COUNTS)


def rows(dataset, indices):
    """Rows of the two stores that a batch is made of."""
    batch = dataset.__getitems__(indices)
    found = []
    for name, store in (('image', dataset.images), ('text', dataset.texts)):
        every = store.rows(torch.arange(len(store)))
        found.append([int((every == one).all(1).nonzero()) for one in batch['inputs'][name]])
    return found


def own_rows(image):
    start = sum(COUNTS[:image])
    return range(start, start + COUNTS[image])


def test_a_pair_is_an_image_and_one_of_its_captions(stores):
    dataset = DATASETS.build(dict(type='lbbt_mm.FeaturePairs', **stores))
    images, texts = rows(dataset, [7, 3, 19, 7])
    assert images == [7, 3, 19, 7]
    assert all(text in own_rows(image) for image, text in zip(images, texts))
    assert len(dataset) == 20 and 'data_samples' not in dataset.__getitems__([0])


def test_the_caption_is_a_function_of_seed_epoch_and_sample(stores):
    dataset = FeaturePairs(**stores)
    epochs = [rows(dataset, range(20 * epoch, 20 * epoch + 20))[1] for epoch in range(30)]
    assert rows(FeaturePairs(**stores), [20 * 9 + 4, 20 * 8 + 4, 4])[1] == [epochs[9][4], epochs[8][4], epochs[0][4]]
    assert rows(FeaturePairs(**stores, seed=1), range(20))[1] != epochs[0]
    for image, seen in enumerate(zip(*epochs)):
        assert set(seen) == set(own_rows(image)), 'all of them come in thirty epochs'


def test_captions_are_drawn_alike(stores):
    dataset = FeaturePairs(**stores)
    seen = Counter(rows(dataset, [20 * epoch + 4 for epoch in range(400)])[1])
    assert all(abs(count - 100) < 40 for count in seen.values())


def test_first_is_the_first_and_all_are_all(stores):
    first, every = FeaturePairs(**stores, captions='first'), FeaturePairs(**stores, captions='all')
    assert rows(first, range(20))[1] == [own_rows(image)[0] for image in range(20)]
    assert len(every) == sum(COUNTS)
    images, texts = rows(every, range(len(every)))
    assert texts == list(range(len(every))) and images == np.repeat(range(20), COUNTS).tolist()
    samples = every.__getitems__([1, 5])['data_samples']
    assert [(sample.image_key, sample.text_row) for sample in samples] == [('0001.png', 1), ('0002.png', 5)]


def test_it_says_of_which_models_the_features_are(stores):
    assert FeaturePairs(**stores).metainfo == {f'{kind}_features': dict(
        model=f'a-{kind}-model', revision='1', layer=-1, pooling='last', dtype='float32') for kind in ('image', 'text')}


def test_one_sample_is_a_batch_of_one(stores):
    dataset = FeaturePairs(**stores, captions='first')
    one, batch = dataset[3], dataset.__getitems__([3])
    for name in ('image', 'text'):
        assert torch.equal(one['inputs'][name], batch['inputs'][name][0])
    assert one['data_samples'].image_key == '0003.png'


def test_an_image_is_in_its_split_whatever_others_there_are(stores, tmp_path):
    def keys(where, split):
        dataset = FeaturePairs(**where, split=split, val_share=0.3)
        return {dataset.images.keys[row] for row in rows(dataset, range(len(dataset)))[0]}

    train, val = (keys(stores, split) for split in ('train', 'val'))
    assert train | val == {f'{index:04d}.png' for index in range(20)} and not train & val and len(val) > 1
    more = write_pairs(tmp_path, num_images=200)
    assert keys(more, 'val') & (train | val) == val
    assert 40 < len(keys(more, 'val')) < 80


@pytest.mark.parametrize('from_file', [True, False])
def test_keys_choose_the_images(stores, tmp_path, from_file):
    keys = ['0005.png', '0002.png']
    if from_file:
        (tmp_path / 'keys.txt').write_text('\n'.join(keys) + '\n\n')
        keys = str(tmp_path / 'keys.txt')
    assert rows(FeaturePairs(**stores, keys=keys), range(2))[0] == [2, 5]


class TestStoresThatDoNotBelongTogether:
    texts = torch.zeros(3, 4)

    def opened(self, tmp_path, images, texts, **settings):
        write_store(tmp_path / 'images', 'image', images, torch.zeros(len(images), 4))
        write_store(tmp_path / 'texts', 'text', texts, torch.zeros(len(texts), 4))
        return FeaturePairs(str(tmp_path / 'images'), str(tmp_path / 'texts'), **settings)

    def test_other_lengths(self, tmp_path):
        with pytest.raises(ValueError, match="3 images, and captions of 2; 'c' has no caption. Make both stores from the "
                                             'same captions'):
            self.opened(tmp_path, 'abc', 'ab')

    def test_a_caption_without_an_image(self, tmp_path):
        with pytest.raises(ValueError, match="2 images, and captions of 3; 'x' has no image"):
            self.opened(tmp_path, 'ab', 'abx')

    def test_another_order(self, tmp_path):
        with pytest.raises(ValueError, match="same images in another order; number 1 is 'b' in one and 'c' in the other"):
            self.opened(tmp_path, 'abc', 'acb')

    def test_captions_of_an_image_apart_from_each_other(self, tmp_path):
        with pytest.raises(ValueError, match="another order; number 1 is 'b' in one and 'c'"):
            self.opened(tmp_path, 'abc', 'acbc')

    def test_an_image_that_is_there_twice(self, tmp_path):
        with pytest.raises(ValueError, match='an image is there twice'):
            self.opened(tmp_path, 'aab', 'ab')

    @pytest.mark.parametrize('expected, message', [
        (dict(image_expected=dict(model='other')), "images: holds other features: model 'a-image-model' where 'other'"),
        (dict(text_expected=dict(model='a-text-model', pooling='mean')), "texts: .* pooling 'last' where 'mean'")])
    def test_other_models_than_the_config_names(self, expected, message, tmp_path):
        with pytest.raises(ValueError, match=message):
            self.opened(tmp_path, 'ab', 'ab', **expected)

    def test_stores_that_were_exchanged(self, tmp_path):
        write_store(tmp_path / 'images', 'image', 'ab', torch.zeros(2, 4))
        with pytest.raises(ValueError, match="kind 'image' where 'text' is expected"):
            FeaturePairs(str(tmp_path / 'images'), str(tmp_path / 'images'))

    def test_a_store_that_is_not_there(self, tmp_path):
        with pytest.raises(FileNotFoundError, match='precompute_features'):
            FeaturePairs(str(tmp_path / 'images'), str(tmp_path / 'texts'))


@pytest.mark.parametrize('settings, message', [
    (dict(captions='some'), "captions='some'; expected one of 'draw', 'first', 'all'"), (dict(split='test'), "split='test'"),
    (dict(val_share=0), 'val_share=0; expected a number above 0 and below 1'), (dict(keys=[]), 'the list is empty'),
    (dict(keys=['none.png']), "'none.png' is no image of"),
    (dict(split='val', val_share=1e-9), "no image of 20 is in split='val'")])
def test_settings_that_cannot_be(stores, settings, message):
    with pytest.raises(ValueError, match=message):
        FeaturePairs(**stores, **settings)


def test_a_file_of_keys_that_is_not_there(stores):
    with pytest.raises(FileNotFoundError, match='keys: none.txt does not exist'):
        FeaturePairs(**stores, keys='none.txt')
