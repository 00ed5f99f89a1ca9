"""Features are written shard by shard: whatever stopped the writer and whoever shared the work, the bytes are the same."""
import pytest

from lbbt_mm.files.feature_store import FeatureStore, FeatureWriter
from lbbt_mm.files.feature_writer import refuse_other_files
from tests.feature_stores import FEATURES, INDEX, KEYS, write_shards


@pytest.fixture
def store(tmp_path):
    assert write_shards(tmp_path / 'store').finish()
    return tmp_path / 'store'


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_writer_goes_on_where_another_was_stopped(store, tmp_path):
    other = tmp_path / 'other'
    assert not write_shards(other, numbers=[2]).finish()
    (other / 'shard-00001-of-00003.safetensors.77.lbbt_mm.part').write_bytes(b'half')
    assert FeatureWriter(other, INDEX, KEYS).missing == [0, 1]
    assert write_shards(other).finish()
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
    assert write_shards(store).finish()
    assert content(store) == before


def test_rows_of_other_samples_are_noticed(store):
    with pytest.raises(ValueError, match='the keys of its rows are others'):
        FeatureWriter(store, INDEX, KEYS[::-1])


def test_nothing_is_written_among_other_files(tmp_path):
    (tmp_path / 'thesis.tex').touch()
    with pytest.raises(ValueError, match='holds thesis.tex, which is of no store of features'):
        FeatureWriter(tmp_path, INDEX, KEYS)
    with pytest.raises(ValueError, match='is a file; expected a folder'):
        FeatureWriter(tmp_path / 'thesis.tex', INDEX, KEYS)


def test_folders_that_can_be_written_to_before_it_is_known_what(store, tmp_path):
    (store / 'shard-00001-of-00003.safetensors.77.lbbt_mm.part').write_bytes(b'half')
    for folder in (store, tmp_path / 'none'):
        refuse_other_files(folder)
    (store / 'notes').touch()
    with pytest.raises(ValueError, match='store: holds notes, which is of no store of features'):
        refuse_other_files(store)


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
