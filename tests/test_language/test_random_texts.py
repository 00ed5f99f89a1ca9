"""Random features of texts: equal for equal texts, seeded, and alike no further than their unit says."""
import pytest
import torch

from lbbt_mm.language.random_texts import RandomTexts

TEXTS = ['a red cat', 'a red dog', 'the blue bird', 'a red cat', 'A red CAT']


def likeness(features):
    return torch.nn.functional.cosine_similarity(features[:1], features, dim=1)


def test_the_same_text_has_the_same_features():
    for unit in ('text', 'word'):
        found = RandomTexts(4096, unit=unit).features(TEXTS)
        assert torch.equal(found[0], found[3])
        assert torch.equal(found, RandomTexts(4096, unit=unit).features(TEXTS)), 'in another process too'
        assert abs(found.mean()) < 0.05 and abs(found.std() - 1) < 0.05
        other = RandomTexts(4096, seed=1, unit=unit).features(TEXTS)
        assert abs(torch.cosine_similarity(found, other)).max() < 0.1


def test_texts_are_alike_by_their_words_or_not_at_all():
    texts, words = (likeness(RandomTexts(4096, unit=unit).features(TEXTS)) for unit in ('text', 'word'))
    assert texts[[1, 2, 4]].abs().max() < 0.1
    assert words[1] == pytest.approx(2 / 3, abs=0.1) and abs(words[2]) < 0.1 and words[4] == pytest.approx(1)


def test_a_text_of_signs_has_features_too():
    assert torch.isfinite(RandomTexts(8, unit='word').features(['!?', '☺'])).all()


def test_batches_are_of_all_texts():
    (indices, features), = RandomTexts(8).batches(TEXTS)
    assert indices == [0, 1, 2, 3, 4] and torch.equal(features, RandomTexts(8).features(TEXTS))
    assert RandomTexts(8).features([]).shape == (0, 8)


def test_what_they_are_is_told_apart():
    names = {tuple(RandomTexts(8, seed, unit).identity.items()) for seed in (0, 1) for unit in ('text', 'word')}
    assert len(names) == 4


@pytest.mark.parametrize('make', [lambda: RandomTexts(8, unit='letter'), lambda: RandomTexts(8).features(['a', ' '])])
def test_what_cannot_be(make):
    with pytest.raises(ValueError, match="unit='letter'; expected one of 'text', 'word'|a text is empty"):
        make()
