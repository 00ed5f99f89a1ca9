"""Prototypes: equal to those made by hand, kept for what they were made of, and refused where they mean nothing."""
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lbbt_mm.files.feature_store import FeatureStore
from lbbt_mm.models.multimodal.prototypes import cached_prototypes, class_prototypes, projection_checksum
from tests.closeness import assert_close
from tests.feature_stores import write_store

CLASSES, TEMPLATES = 5, 3


@pytest.fixture
def features():
    return torch.randn(CLASSES * TEMPLATES, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def embed():
    projection = nn.Linear(8, 4)
    return lambda found: F.normalize(projection(found), dim=-1)


def by_hand(features, embed):
    rows = []
    for number in range(CLASSES):
        mean = sum(embed(features[number * TEMPLATES + place]) for place in range(TEMPLATES)) / TEMPLATES
        rows.append(mean / mean.norm())
    return torch.stack(rows)


@pytest.mark.parametrize('at_once', [1, 4, 1000])
def test_they_are_means_of_unit_embeddings_of_unit_length(features, embed, monkeypatch, at_once):
    monkeypatch.setattr('lbbt_mm.models.multimodal.prototypes._AT_ONCE', at_once)
    found = class_prototypes(embed, features, CLASSES)
    assert_close(found, by_hand(features, embed))
    assert_close(found.norm(dim=1), torch.ones(CLASSES))
    assert not found.requires_grad


def test_of_one_template_they_are_the_embeddings(features, embed):
    assert_close(class_prototypes(embed, features, len(features)), embed(features))


def test_a_store_gives_the_same(features, embed, tmp_path):
    store = FeatureStore.open(write_store(tmp_path / 'store', 'text', list(map(str, range(len(features)))), features))
    assert_close(class_prototypes(embed, store, CLASSES), by_hand(features, embed))


@pytest.mark.parametrize('rows, classes', [(14, 5), (0, 5), (4, 5)])
def test_prompts_that_are_no_whole_number_for_each_class(embed, rows, classes):
    with pytest.raises(ValueError, match=f'{rows} prompts of {classes} classes; expected as many for each'):
        class_prototypes(embed, torch.randn(rows, 8), classes)


@pytest.mark.parametrize('spoilt', [torch.tensor([[1., 0.], [-1., 0.]]), torch.tensor([[1., 0.], [torch.nan, 0.]])])
def test_prompts_that_give_no_direction(spoilt):
    features = torch.cat((torch.eye(2), spoilt))
    with pytest.raises(ValueError, match='the prompts of class 1 give no direction'):
        class_prototypes(lambda found: found, features, 2)


class TestCache:

    def test_what_was_made_of_the_same_is_not_made_again(self, tmp_path):
        made = []

        def make():
            made.append(1)
            return torch.full((2, 3), float(len(made)))

        facts = dict(text=dict(model='a', layer=-1), prompts='p', projection='q')
        first = cached_prototypes(tmp_path / 'cache', facts, make)
        assert torch.equal(cached_prototypes(tmp_path / 'cache', dict(reversed(facts.items())), make), first)
        for changed in (dict(facts, prompts='other'), dict(facts, projection='other'),
                        dict(facts, text=dict(model='a', layer=3))):
            before = len(made)
            cached_prototypes(tmp_path / 'cache', changed, make)
            assert len(made) == before + 1

    @pytest.mark.parametrize('damage', [lambda path: path.write_bytes(path.read_bytes()[:-5]),
                                        lambda path: path.write_bytes(b''),
                                        lambda path: path.write_bytes(path.read_bytes().replace(b'"p', b'"r'))])
    def test_what_is_damaged_or_of_something_else_is_made_again(self, tmp_path, damage):
        facts, made = dict(prompts='p'), torch.randn(2, 3)
        cached_prototypes(tmp_path, facts, lambda: made)
        path, = tmp_path.iterdir()
        whole = path.read_bytes()
        damage(path)
        assert path.read_bytes() != whole
        assert torch.equal(cached_prototypes(tmp_path, facts, lambda: made), made)
        assert path.read_bytes() == whole and len(list(tmp_path.iterdir())) == 1

    def test_a_projection_is_known_by_its_numbers(self):
        torch.manual_seed(0)
        one, other = nn.Linear(3, 3), nn.Linear(3, 3)
        before = projection_checksum(one)
        assert before == projection_checksum(one) != projection_checksum(other)
        other.load_state_dict(one.state_dict())
        assert projection_checksum(other) == before
        with torch.no_grad():
            one.bias[2] += 1e-6
        assert projection_checksum(one) != before
        assert projection_checksum(nn.Identity()) != before
