"""Stores of each model's features of texts: made once, and not by a model that need not be loaded."""
import pytest
import torch

from lbbt_mm.figures.parts import Parts
from lbbt_mm.language.text_encoder import TextEncoder
from lbbt_mm.zero_shot.compare_text_encoders import parse_args
from lbbt_mm.zero_shot.text_sides import LanguageModel, Texts, random_side
from tests.tiny_comparison import write_comparison

TEXTS = Texts(captions=[('1.png', 'a cat'), ('1.png', 'a red cat'), ('2.png', 'the dog')],
              prompts=[('a bird', 'a bird'), ('a dog', 'a dog')], probe=[('3.png', 'a bird sits')])


@pytest.fixture
def model(tmp_path):
    files = write_comparison(tmp_path)
    args = parse_args(files.arguments([f'tiny={files.language("llama")}']))

    def make():
        language, = args.language
        return LanguageModel('tiny', language.location, args, Parts(tmp_path / 'parts.json', 1))
    return make


def test_features_are_those_of_the_encoder(model, tmp_path):
    side = model().side(tmp_path / 'side', TEXTS).make()
    encoder = TextEncoder(str(tmp_path / 'llama'))
    for store, pairs in ((side.captions, TEXTS.captions), (side.prompts, TEXTS.prompts), (side.probe, TEXTS.probe)):
        assert store.keys == [key for key, _ in pairs] and store.index.kind == 'text'
        torch.testing.assert_close(store.rows(torch.arange(len(store))), encoder.features([text for _, text in pairs]))
    prompts = side.prompt_features(['a dog', 'a bird', 'a dog'])
    assert torch.equal(prompts, side.prompts.rows(torch.tensor([1, 0, 1])))


def test_what_a_store_will_hold_is_known_before_it_is_made(model, tmp_path):
    planned = model().side(tmp_path / 'side', TEXTS)
    assert not (tmp_path / 'side').exists()
    made = planned.make().captions
    assert (planned.captions.folder, planned.captions.index) == (made.folder, made.index)


def test_what_is_there_is_kept_without_loading_a_model(model, tmp_path, monkeypatch):
    first = model()
    first.side(tmp_path / 'side', TEXTS).make()
    loss = first.loss(tmp_path / 'text.txt')
    assert 0 < loss.bits_per_byte < 50 and first.facts['causal'] and first.facts['parameters'] > 1000
    monkeypatch.setattr('lbbt_mm.zero_shot.text_sides.TextEncoder', None)
    monkeypatch.setattr('lbbt_mm.zero_shot.text_sides.language_loss', None)
    again = model()
    assert again.side(tmp_path / 'side', TEXTS).make().captions.index.width == 32
    assert again.facts == first.facts and again.loss(tmp_path / 'text.txt') == loss


def test_other_texts_in_the_same_place_are_refused(model, tmp_path):
    model().side(tmp_path / 'side', TEXTS).make()
    with pytest.raises(ValueError, match='is of other features'):
        model().side(tmp_path / 'side', TEXTS._replace(captions=TEXTS.captions[:2]))


def test_other_prompts_lie_beside_those_that_are_there(model, tmp_path):
    first = model().side(tmp_path / 'side', TEXTS).make()
    more = model().side(tmp_path / 'side', TEXTS._replace(prompts=[*TEXTS.prompts, ('a cat', 'a cat')])).make()
    assert more.captions.folder == first.captions.folder and more.prompts.folder != first.prompts.folder
    torch.testing.assert_close(more.prompt_features(['a dog']), first.prompt_features(['a dog']))


def test_a_text_that_is_none(model, tmp_path):
    (tmp_path / 'bytes').write_bytes(b'\xff\x00')
    with pytest.raises(ValueError, match='is no text in UTF-8'):
        model().loss(tmp_path / 'bytes')


def test_random_sides_differ_by_their_seed(tmp_path):
    sides = [random_side(unit, seed, 16, tmp_path / f'{unit}{seed}', TEXTS).make()
             for unit in ('text', 'word') for seed in (0, 1)]
    features = [side.captions.rows(torch.arange(3)) for side in sides]
    assert all(not torch.allclose(one, other) for place, one in enumerate(features) for other in features[:place])
    assert {side.label for side in sides} == {'random texts', 'random words'} and sides[0].probe is None
    again = random_side('text', 0, 16, tmp_path / 'again', TEXTS).make().captions.rows(torch.arange(3))
    assert torch.equal(features[0], again)
