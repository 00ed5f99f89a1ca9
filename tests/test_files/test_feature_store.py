"""Stores of features: what is written is read; what is not whole, not ours or not what is expected is refused."""
import json
import pickle
from dataclasses import replace

import pytest
import torch

from lbbt_mm.files.feature_store import FeatureError, FeatureStore, FeatureWriter
from tests.feature_stores import FEATURES, INDEX, KEYS, spoil, write_shards, write_store


@pytest.fixture
def store(tmp_path):
    assert write_shards(tmp_path / 'store').finish()
    return tmp_path / 'store'


def test_rows_are_read_in_any_order(store):
    opened = FeatureStore.open(store)
    assert len(opened) == 10 and opened.keys == KEYS and opened.index == INDEX
    for indices in ([9, 0, 4, 4, 3], range(10), [], [7]):
        indices = torch.tensor(list(indices), dtype=torch.long)
        assert torch.equal(opened.rows(indices), FEATURES[indices])


def test_rows_are_copies(store):
    opened = FeatureStore.open(store)
    opened.rows(torch.arange(10)).zero_()
    assert torch.equal(opened.rows(torch.arange(10)), FEATURES)
    assert list(map(opened.fault_of, range(3))) == [''] * 3


def test_half_precision_is_half_the_size_and_read_as_float32(store, tmp_path):
    assert write_shards(tmp_path / 'half', replace(INDEX, dtype='bfloat16')).finish()
    found = FeatureStore.open(tmp_path / 'half').rows(torch.tensor([5, 2]))
    assert found.dtype == torch.float32 and torch.equal(found, FEATURES[[5, 2]].bfloat16().float())


def test_a_row_that_is_not_there(store):
    for wrong in (10, -1):
        with pytest.raises(IndexError, match=f'row {wrong} is asked for; expected 0 to 9'):
            FeatureStore.open(store).rows(torch.tensor([3, wrong]))


@pytest.mark.parametrize('bad', [float('nan'), float('inf')])
def test_features_that_are_no_numbers(store, bad):
    """A store is not written with such, but files change."""
    spoil(store, bad, row=6)
    opened = FeatureStore.open(store)
    assert torch.equal(opened.rows(torch.tensor([5, 7, 8])), FEATURES[[5, 7, 8]])
    with pytest.raises(FeatureError, match=r"store: the features of row 6 \('image3'\) are not finite numbers; expected"):
        opened.rows(torch.tensor([9, 6, 0]))


def test_finite_features_whose_sum_is_not_are_read(tmp_path):
    features = torch.full((3, 4), 3e38)
    opened = FeatureStore.open(write_store(tmp_path / 'large', 'image', 'abc', features))
    assert torch.equal(opened.rows(torch.arange(3)), features)


def test_a_pickled_store_holds_no_features(store):
    opened = FeatureStore.open(store)
    opened.rows(torch.arange(10))
    assert torch.equal(pickle.loads(pickle.dumps(opened)).rows(torch.tensor([8])), FEATURES[[8]])
    assert pickle.loads(pickle.dumps(opened))._maps == {}


def test_a_half_written_store_is_noticed(tmp_path):
    write_shards(tmp_path / 'half', numbers=[0, 2])
    with pytest.raises(ValueError, match='is a half-written store of features: 2 of its 3 shards are there. Run tools/'):
        FeatureStore.open(tmp_path / 'half')
    with pytest.raises(FileNotFoundError, match='has no index.json; expected a store of features'):
        FeatureStore.open(tmp_path)


@pytest.mark.parametrize('change', [
    dict(model='other'), dict(revision='def'), dict(layer=3), dict(pooling='mean'), dict(inputs='0' * 64),
    dict(kind='image'), dict(dtype='bfloat16')])
def test_a_store_of_other_features_is_noticed(store, tmp_path, change):
    (name, value), = change.items()
    says = f'{name} {getattr(INDEX, name)!r} where {value!r} is expected'
    with pytest.raises(ValueError, match=f'holds other features: {says}'):
        FeatureStore.open(store, **change)
    with pytest.raises(ValueError, match=f'is of other features: {says}'):
        FeatureWriter(store, replace(INDEX, **change), KEYS)
    (store / 'index.json').unlink()
    with pytest.raises(ValueError, match=f'safetensors: is of other features: {says}'):
        FeatureWriter(store, replace(INDEX, **change), KEYS)


def test_a_shard_of_another_store_is_noticed(store, tmp_path):
    write_shards(tmp_path / 'other', replace(INDEX, revision='def'))
    name = 'shard-00001-of-00003.safetensors'
    (store / name).write_bytes((tmp_path / 'other' / name).read_bytes())
    with pytest.raises(ValueError, match='is a shard of another store; expected shard 1 of this one'):
        FeatureStore.open(store)
    (store / name).write_bytes((store / 'shard-00000-of-00003.safetensors').read_bytes())
    with pytest.raises(ValueError, match='is a shard of another store'):
        FeatureStore.open(store)
    with pytest.raises(ValueError, match='is shard 0, and has the name of another'):
        FeatureWriter(store, INDEX, KEYS)


def test_a_shard_that_was_cut_is_noticed(store):
    path = store / 'shard-00002-of-00003.safetensors'
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match='has [0-9]+ bytes; expected [0-9]+. It was cut or written again'):
        FeatureStore.open(store)
    with pytest.raises(ValueError, match='cannot be read as a shard of features'):
        FeatureWriter(store, INDEX, KEYS)


def test_numbers_that_changed_are_noticed_by_their_checksum(store):
    path = store / 'shard-00000-of-00003.safetensors'
    path.write_bytes(path.read_bytes()[:-4] + b'\0\0\0\0')
    first, *others = map(FeatureStore.open(store).fault_of, range(3))
    assert first.startswith(f'{path}: has another checksum than index.json says; its numbers have changed')
    assert not any(others)


def test_an_index_that_names_files_elsewhere_is_refused(store):
    found = json.loads((store / 'index.json').read_text())
    found['shards'][0]['file'] = '../elsewhere.safetensors'
    (store / 'index.json').write_text(json.dumps(found))
    with pytest.raises(ValueError, match='it lists 3 shards that are not the 3 of its rows'):
        FeatureStore.open(store)


def test_keys_that_changed_are_noticed(store):
    (store / 'keys.json').write_text(json.dumps(KEYS[::-1]))
    with pytest.raises(ValueError, match='keys.json: is not the list of keys that index.json was written with'):
        FeatureStore.open(store)
