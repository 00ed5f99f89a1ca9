"""What a store of features says of itself."""
from dataclasses import replace

import pytest

from lbbt_mm.files.feature_index import checksum
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
