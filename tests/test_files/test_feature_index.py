"""What a store of features says of itself."""
from dataclasses import replace

import pytest

from lbbt_mm.files.feature_index import checksum, other_features
from lbbt_mm.files.feature_store import FeatureStore
from tests.feature_stores import INDEX, write_shards


@pytest.fixture
def store(tmp_path):
    assert write_shards(tmp_path / 'store').finish()
    return tmp_path / 'store'


@pytest.mark.parametrize('text', ['', '[]', '{"format": 9}', '{"format": 1}', '{"format": 1, "kind": 3}', '[' * 100000])
def test_a_damaged_index_is_noticed(store, text):
    (store / 'index.json').write_text(text)
    with pytest.raises(ValueError, match='index.json: cannot be read as the index of a store of features'):
        FeatureStore.open(store)


@pytest.mark.parametrize('change', [dict(kind='sound'), dict(dtype='float16'), dict(num_rows=0), dict(width=0),
                                    dict(shard_rows=True)])
def test_an_index_of_what_cannot_be(change):
    with pytest.raises(ValueError, match=f'features: {next(iter(change))} is '):
        replace(INDEX, **change)


def test_a_checksum_knows_order_keys_and_where_a_row_ends():
    sums = {checksum(inputs) for inputs in (
        [('a', b'x'), ('b', b'y')], [('b', b'y'), ('a', b'x')], [('a', b'xb'), ('', b'y')], [('a', b'y'), ('b', b'x')])}
    assert len(sums) == 4


@pytest.mark.parametrize('model, odd', [
    ({}, None), (dict(model='moved'), None), (dict(revision='b'), 'revision'), (dict(layer=0), 'layer'),
    (dict(layer=-2), None),
    (dict(pooling='mean'), 'pooling'), (dict(pooling='auto'), None), (dict(dtype='bfloat16'), 'dtype'),
    (dict(model='b', revision='b'), 'revision')])
def test_features_of_another_model(model, odd):
    """The revision tells models apart whatever they are called; what only a loaded model decides is not compared."""
    identity = INDEX.of_model
    assert identity == dict(model='tiny', revision='abc', layer=-1, pooling='last', dtype='float32')
    assert other_features(identity, {**identity, **model}) == odd


@pytest.mark.parametrize('revision, odd', [('ab', None), ('ab.cd', None), ('a', 'revision'), ('ab.c', 'revision'),
                                           ('ab.cd.e', 'revision')])
def test_the_first_parts_of_a_revision_may_be_all_that_is_known(revision, odd):
    assert other_features(dict(revision='ab.cd'), dict(revision=revision)) == odd


def test_without_a_revision_the_name_tells():
    assert other_features(dict(model='a', revision='1'), dict(model='b')) == 'model'
    assert other_features(dict(model='a'), dict(model='a', revision='1')) is None
    assert other_features(dict(model='a', dtype='float32'), dict(model='b'), ['dtype']) is None
