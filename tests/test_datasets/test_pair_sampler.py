"""PairSampler and collate_pairs: whole epochs, the same samples on any number of ranks, a place to go on from."""
from itertools import islice

import pytest
import torch
from mmengine.runner import Runner

from lbbt_mm.datasets import FeaturePairs, PairSampler, collate_pairs, pair_sampler
from tests.feature_stores import write_pairs


def first(sampler, number):
    return list(islice(iter(sampler), number))


def of_rank(monkeypatch, rank, world_size, **settings):
    monkeypatch.setattr(pair_sampler, 'get_dist_info', lambda: (rank, world_size))
    return PairSampler(range(23), seed=0, **settings)


def test_no_batch_has_samples_of_two_epochs():
    numbers = first(PairSampler(range(23), batch_size=5, seed=0), 40)
    for batch in torch.tensor(numbers).split(5):
        assert len(set((batch // 23).tolist())) == 1 and len(set(batch.tolist())) == 5
    assert [number // 23 for number in numbers] == [0] * 20 + [1] * 20
    assert {number % 23 for number in numbers} == set(range(23)), 'what an epoch leaves out, others have'


def test_without_a_batch_size_an_epoch_has_all():
    numbers = first(PairSampler(range(23), seed=0), 46)
    assert sorted(numbers) == list(range(46)) and numbers[23:] != [number + 23 for number in numbers[:23]]


def test_ranks_share_the_batches_of_one(monkeypatch):
    one = torch.tensor(first(of_rank(monkeypatch, 0, 1, batch_size=6), 36)).split(6)
    two = [torch.tensor(first(of_rank(monkeypatch, rank, 2, batch_size=3), 18)).split(3) for rank in range(2)]
    assert [sorted(batch.tolist()) for batch in one] == [sorted(torch.cat(pair).tolist()) for pair in zip(*two)]


@pytest.mark.parametrize('skipped', [0, 7, 20, 33])
def test_it_goes_on_from_a_place(skipped):
    whole = first(PairSampler(range(23), batch_size=5, seed=0), 60)
    sampler = PairSampler(range(23), batch_size=5, seed=0)
    sampler.skip(skipped)
    assert first(sampler, 60 - skipped) == whole[skipped:]


def test_seeds_have_their_own_orders():
    assert first(PairSampler(range(23), seed=0), 23) != first(PairSampler(range(23), seed=1), 23)
    assert first(PairSampler(range(23), shuffle=False, seed=0), 30) == list(range(30))


def test_a_batch_larger_than_the_store(monkeypatch):
    with pytest.raises(ValueError, match='batch_size=24 for 23 pairs; expected no more than there are'):
        PairSampler(range(23), batch_size=24, seed=0)
    with pytest.raises(ValueError, match='batch_size=12 on 2 ranks for 23 pairs'):
        of_rank(monkeypatch, 0, 2, batch_size=12)


@pytest.mark.parametrize('num_workers', [0, 1])
def test_a_loader_reads_a_batch_at_once(tmp_path, num_workers, monkeypatch):
    calls = []
    read = FeaturePairs.__getitems__
    monkeypatch.setattr(FeaturePairs, '__getitems__',
                        lambda self, indices: calls.append(len(indices)) or read(self, indices))
    loader = Runner.build_dataloader(dict(
        batch_size=5, num_workers=num_workers, dataset=dict(type='lbbt_mm.FeaturePairs', **write_pairs(tmp_path)),
        sampler=dict(type='lbbt_mm.PairSampler', batch_size=5), collate_fn=dict(type='lbbt_mm.collate_pairs')), seed=3)
    batches = list(islice(iter(loader), 6))
    assert [batch['inputs']['text'].shape for batch in batches] == [(5, 10)] * 6
    assert calls == [] if num_workers else calls == [5] * 6  # a worker's calls are its own
    dataset, numbers = loader.dataset, first(PairSampler(range(20), batch_size=5, seed=3), 30)
    for batch, indices in zip(batches, torch.tensor(numbers).split(5)):
        assert torch.equal(batch['inputs']['image'], read(dataset, indices.tolist())['inputs']['image'])


def test_single_samples_are_put_together(tmp_path):
    dataset = FeaturePairs(**write_pairs(tmp_path), captions='first')
    batch, whole = collate_pairs([dataset[2], dataset[5]]), dataset.__getitems__([2, 5])
    for name in ('image', 'text'):
        assert torch.equal(batch['inputs'][name], whole['inputs'][name])
    assert [sample.image_key for sample in batch['data_samples']] == ['0002.png', '0005.png']
