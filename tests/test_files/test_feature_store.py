"""Stores of features: what is written is read, whatever stopped the writer; what is not whole or not ours is refused."""
import json
import pickle
from dataclasses import replace

import pytest
import torch

from lbbt_mm.files.feature_store import FeatureIndex, FeatureStore, FeatureWriter, checksum

KEYS = [f'image{row // 2}' for row in range(10)]  # two captions each
INDEX = FeatureIndex(kind='text', model='tiny', revision='abc', layer=-1, pooling='last', dtype='float32',
                     inputs=checksum((key, b'') for key in KEYS), num_rows=10, width=6, shard_rows=4)
FEATURES = torch.randn(10, 6, generator=torch.Generator().manual_seed(0))


def write(folder, index=INDEX, keys=KEYS, numbers=None, features=FEATURES):
    writer = FeatureWriter(folder, index, keys)
    for number in writer.missing if numbers is None else numbers:
        rows = index.shard_range(number)
        writer.write(number, features[rows.start:rows.stop, :index.width])
    return writer


@pytest.fixture
def store(tmp_path):
    assert write(tmp_path / 'store').finish()
    return tmp_path / 'store'


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


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
    opened.verify()


def test_half_precision_is_half_the_size_and_read_as_float32(store, tmp_path):
    assert write(tmp_path / 'half', replace(INDEX, dtype='bfloat16')).finish()
    found = FeatureStore.open(tmp_path / 'half').rows(torch.tensor([5, 2]))
    assert found.dtype == torch.float32 and torch.equal(found, FEATURES[[5, 2]].bfloat16().float())


def test_a_row_that_is_not_there(store):
    for wrong in (10, -1):
        with pytest.raises(IndexError, match=f'row {wrong} is asked for; expected 0 to 9'):
            FeatureStore.open(store).rows(torch.tensor([3, wrong]))


def test_a_pickled_store_holds_no_features(store):
    opened = FeatureStore.open(store)
    opened.rows(torch.arange(10))
    assert torch.equal(pickle.loads(pickle.dumps(opened)).rows(torch.tensor([8])), FEATURES[[8]])
    assert pickle.loads(pickle.dumps(opened))._maps == {}


def test_a_writer_goes_on_where_another_was_stopped(store, tmp_path):
    other = tmp_path / 'other'
    assert not write(other, numbers=[2]).finish()
    (other / 'shard-00001-of-00003.safetensors.77.lbbt_mm.part').write_bytes(b'half')
    assert FeatureWriter(other, INDEX, KEYS).missing == [0, 1]
    assert write(other).finish()
    assert content(other) == content(store)


def test_processes_may_share_the_shards(store, tmp_path):
    other = tmp_path / 'other'
    first, second = FeatureWriter(other, INDEX, KEYS), FeatureWriter(other, INDEX, KEYS)
    first.write(1, FEATURES[4:8])
    second.write(0, FEATURES[:4])
    assert not second.finish()
    first.write(2, FEATURES[8:])
    assert first.finish() and second.finish()
    assert content(other) == content(store)


def test_finishing_twice_changes_nothing(store):
    before = content(store)
    assert FeatureWriter(store, INDEX, KEYS).missing == [] and FeatureWriter(store, INDEX, KEYS).finish()
    assert content(store) == before


def test_a_shard_that_was_moved_away_is_made_again(store):
    before = content(store)
    (store / 'shard-00001-of-00003.safetensors').unlink()
    with pytest.raises(ValueError, match='shard-00001-of-00003.safetensors: is not there'):
        FeatureStore.open(store)
    assert write(store).finish()
    assert content(store) == before


def test_a_half_written_store_is_noticed(tmp_path):
    write(tmp_path / 'half', numbers=[0, 2])
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


def test_rows_of_other_samples_are_noticed(store):
    with pytest.raises(ValueError, match='the keys of its rows are others'):
        FeatureWriter(store, INDEX, KEYS[::-1])


def test_a_shard_of_another_store_is_noticed(store, tmp_path):
    write(tmp_path / 'other', replace(INDEX, revision='def'))
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
    with pytest.raises(ValueError, match='has another checksum than index.json says'):
        FeatureStore.open(store).verify()


@pytest.mark.parametrize('text', ['', '[]', '{"format": 9}', '{"format": 1}', '{"format": 1, "kind": 3}', '[' * 100000])
def test_a_damaged_index_is_noticed(store, text):
    (store / 'index.json').write_text(text)
    with pytest.raises(ValueError, match='index.json: cannot be read as the index of a store of features'):
        FeatureStore.open(store)


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


def test_nothing_is_written_among_other_files(tmp_path):
    (tmp_path / 'thesis.tex').touch()
    with pytest.raises(ValueError, match='holds thesis.tex, which is of no store of features'):
        FeatureWriter(tmp_path, INDEX, KEYS)
    with pytest.raises(ValueError, match='is a file; expected a folder'):
        FeatureWriter(tmp_path / 'thesis.tex', INDEX, KEYS)


@pytest.mark.parametrize('number', [float('nan'), float('inf'), 1e39])
def test_features_that_are_not_finite_are_refused(tmp_path, number):
    features = FEATURES.double()
    features[5, 3] = number
    writer = FeatureWriter(tmp_path / 'store', INDEX, KEYS)
    with pytest.raises(ValueError, match=r'the features of row 5 are not finite \(1 of the 4 rows of shard 1\)'):
        writer.write(1, features[4:8])
    assert writer.missing == [0, 1, 2]


def test_features_of_another_shape_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r'shard 2 is given features of shape \(4, 6\); expected \(2, 6\)'):
        FeatureWriter(tmp_path / 'store', INDEX, KEYS).write(2, FEATURES[:4])


@pytest.mark.parametrize('keys, says', [(KEYS[1:], '9 keys for 10 features'), (['', *KEYS[1:]], "row 0 has the key ''")])
def test_every_row_has_a_key(tmp_path, keys, says):
    with pytest.raises(ValueError, match=says):
        FeatureWriter(tmp_path / 'store', INDEX, keys)


@pytest.mark.parametrize('change', [dict(kind='sound'), dict(dtype='float16'), dict(num_rows=0), dict(width=0),
                                    dict(shard_rows=True)])
def test_an_index_of_what_cannot_be(change):
    with pytest.raises(ValueError, match=f'features: {next(iter(change))} is '):
        replace(INDEX, **change)


def test_a_checksum_knows_order_keys_and_where_a_row_ends():
    sums = {checksum(inputs) for inputs in (
        [('a', b'x'), ('b', b'y')], [('b', b'y'), ('a', b'x')], [('a', b'xb'), ('', b'y')], [('a', b'y'), ('b', b'x')])}
    assert len(sums) == 4
