"""Logits of pairs, a block of rows at a time: each row once, its own text, and gradients as of the whole matrix."""
import pytest
import torch

from lbbt_mm.models.losses import pair_logits
from lbbt_mm.models.losses.pair_logits import PairLogits, texts_of_all_ranks
from tests.closeness import assert_close

SCALE = torch.tensor(3.)


@pytest.fixture
def pairs():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(7, 4, generator=generator), torch.randn(7, 4, generator=generator)


@pytest.mark.parametrize('chunk_size, lengths', [(1, [1] * 7), (3, [3, 3, 1]), (7, [7]), (100, [7])])
def test_blocks_are_the_rows_of_the_matrix_in_order(pairs, chunk_size, lengths):
    image, text = pairs
    blocks = [(block.rows, block.own.tolist(), block.logits.clone())
              for block in PairLogits(image, text, SCALE, chunk_size).blocks()]
    assert [rows.stop - rows.start for rows, _, _ in blocks] == lengths
    assert [number for _, own, _ in blocks for number in own] == list(range(7))
    assert_close(torch.cat([logits for _, _, logits in blocks]), 3 * image @ text.t())


@pytest.mark.parametrize('chunk_size', [2, 7])
def test_gradients_are_those_of_the_whole_matrix(pairs, chunk_size):
    """Of half the sum of squares of the logits, whose gradient is the logits."""
    image, text, scale = (part.clone().requires_grad_() for part in (*pairs, SCALE))
    expected = torch.autograd.grad((scale * image @ text.t()).square().sum() / 2, (image, text, scale))
    found = PairLogits(*pairs, SCALE, chunk_size).gradients(lambda block: block.logits.clone(), of_scale=True)
    for ours, theirs in zip(found, expected):
        assert_close(ours, theirs, depth=3)
    assert PairLogits(*pairs, SCALE, chunk_size).gradients(lambda block: block.logits, of_scale=False)[2] is None


def test_a_rank_has_the_rows_of_its_images_and_their_texts_further_on(pairs, monkeypatch):
    """The second of two ranks; the sum over ranks of a gradient that is the same on both is twice it."""
    monkeypatch.setattr(pair_logits, 'get_rank', lambda: 1)
    monkeypatch.setattr(pair_logits, 'all_reduce', lambda tensor: tensor.mul_(2))
    image, text = pairs[0][:3], pairs[1][:6]
    logits = PairLogits(image, text, SCALE, 2)
    assert [number for block in logits.blocks() for number in block.own.tolist()] == [3, 4, 5]
    of_image, of_text, _ = logits.gradients(lambda block: torch.ones_like(block.logits), of_scale=False)
    assert_close(of_image, 2 * 3 * text.sum(0).expand(3, 4))
    assert_close(of_text, 2 * 2 * 3 * image.sum(0).expand(3, 4))


def test_texts_of_one_rank_are_its_own(pairs):
    assert texts_of_all_ranks(pairs[1], gather=True) is pairs[1]


@pytest.fixture
def two_ranks(monkeypatch):
    """The other rank has as many pairs, or as many as the test says."""
    def start(others=None):
        monkeypatch.setattr(pair_logits, 'get_world_size', lambda: 2)
        monkeypatch.setattr(pair_logits, 'all_gather', lambda tensor: [
            tensor, torch.tensor([others]) if others and tensor.numel() == 1 else tensor + 1])
    return start


def test_texts_of_all_ranks_stand_in_the_order_of_ranks(pairs, two_ranks):
    two_ranks(others=7)
    assert torch.equal(texts_of_all_ranks(pairs[1], gather=True), torch.cat([pairs[1], pairs[1] + 1]))
    assert texts_of_all_ranks(pairs[1], gather=False) is pairs[1]


def test_ranks_with_other_numbers_of_pairs(pairs, two_ranks):
    two_ranks(others=6)
    with pytest.raises(ValueError, match=r'ranks have batches of \[7, 6\] pairs; expected equal ones. Use a sampler'):
        texts_of_all_ranks(pairs[1], gather=True)
