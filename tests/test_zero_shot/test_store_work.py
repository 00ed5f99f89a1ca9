"""One process's share of a store: which shards it writes, and what it says."""
import argparse
from dataclasses import replace

import pytest
import torch

from lbbt_mm.files.feature_store import FeatureStore, FeatureWriter
from lbbt_mm.zero_shot.store_work import fill
from tests.feature_stores import FEATURES, INDEX, KEYS


def work(folder, number=0, of=1, index=INDEX):
    """Shards that one process writes; batches are of three features at most."""
    writer, done = FeatureWriter(folder, index, KEYS), []

    def encode(numbers):
        done.extend(numbers)
        for shard in numbers:
            rows = index.shard_range(shard)
            yield from [len(batch) for batch in torch.arange(len(rows)).split(3)]
            writer.write(shard, FEATURES[rows.start:rows.stop])

    args = argparse.Namespace(out=folder, shard_of=argparse.Namespace(number=number, of=of))
    assert fill(writer, index, args, encode, 'captions') == 0
    return done


@pytest.mark.parametrize('first, second', [(0, 1), (1, 0)])
def test_processes_share_the_shards_and_the_last_of_them_finishes(tmp_path, capsys, first, second):
    shares = {0: [0, 2], 1: [1]}
    rows = {0: 6, 1: 4}
    assert work(tmp_path / 'store', first, 2) == shares[first]
    assert capsys.readouterr().out == (f'{tmp_path}/store: {rows[first]} features of captions made. {len(shares[second])} '
                                       'of 3 shards are left to other processes.\n')
    assert work(tmp_path / 'store', second, 2) == shares[second]
    assert capsys.readouterr().out == (f'{tmp_path}/store: {rows[second]} features of captions made, {rows[first]} were '
                                       'there. Complete: 10 x 6 in float32, 3 shards.\n')
    assert torch.equal(FeatureStore.open(tmp_path / 'store').rows(torch.arange(10)), FEATURES)


def test_what_is_done_is_not_done_again(tmp_path, capsys):
    index = replace(INDEX, shard_rows=10)
    assert work(tmp_path / 'store', index=index) == [0]
    assert 'Complete: 10 x 6 in float32, 1 shard.\n' in capsys.readouterr().out
    assert work(tmp_path / 'store', index=index) == []
    assert '0 features of captions made, 10 were there. Complete' in capsys.readouterr().out


def test_a_process_without_a_shard(tmp_path, capsys):
    assert work(tmp_path / 'store', 3, 4) == []
    assert capsys.readouterr().out == f'{tmp_path}/store: 0 features of captions made. 3 of 3 shards are left to other ' \
                                      'processes.\n'
