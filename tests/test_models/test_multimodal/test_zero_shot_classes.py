"""ZeroShotClasses: prompts are read once, in memory or on the disk, and prototypes follow the projection."""
import json

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lbbt_mm.models.multimodal import zero_shot_classes
from lbbt_mm.models.multimodal.zero_shot_classes import ZeroShotClasses
from tests.closeness import assert_close

NAMES, TEMPLATES, WIDTH = ['cat', 'red_dog'], ['a {}', 'the {}'], 6


def feature(text):
    return torch.randn(WIDTH, generator=torch.Generator().manual_seed(sum(text.encode())))


@pytest.fixture
def read(monkeypatch):
    """A language model of which nothing has to be loaded; a list of what it reads."""
    seen = []

    class Encoder:
        width = WIDTH

        def __init__(self, location, layer=-1):
            self.identity = identity(location, layer)

        def features(self, texts, batch_tokens, track):
            for _ in track([texts]):
                seen.append((list(texts), batch_tokens))
            return torch.stack(list(map(feature, texts)))

    def identity(location, layer=-1):
        return dict(model=location, revision='1', layer=layer, pooling='last', dtype='float32')

    monkeypatch.setattr(zero_shot_classes, 'TextEncoder', Encoder)
    monkeypatch.setattr(zero_shot_classes, 'text_identity', identity)
    return seen


def build(cache=None, **options):
    return ZeroShotClasses(**{**dict(text=dict(location='model'), classes=NAMES, templates=TEMPLATES, batch_tokens=99,
                                     cache=None if cache is None else str(cache)), **options})


def prototypes(classes, projection):
    return classes.prototypes(projection, lambda features: F.normalize(projection(features), dim=-1))


@torch.no_grad()
def by_hand(projection, names=('cat', 'red dog'), templates=TEMPLATES):
    rows = []
    for name in names:
        found = [projection(feature(template.replace('{}', name))) for template in templates]
        mean = sum(one / one.norm() for one in found)
        rows.append(mean / mean.norm())
    return torch.stack(rows)


@pytest.mark.parametrize('rows', [3, 4096])
@pytest.mark.parametrize('cached', [True, False])
def test_prototypes_are_means_over_templates(read, tmp_path, monkeypatch, cached, rows):
    monkeypatch.setattr(zero_shot_classes, '_SHARD_ROWS', rows)
    classes, projection = build(tmp_path / 'cache' if cached else None), nn.Linear(WIDTH, 4)
    assert_close(prototypes(classes, projection), by_hand(projection))
    assert [text for texts, _ in read for text in texts] == ['a cat', 'the cat', 'a red dog', 'the red dog']
    assert {tokens for _, tokens in read} == {99} and len(read) == (2 if cached and rows == 3 else 1)
    assert (len(classes), classes.names) == (2, ['cat', 'red dog'])


@pytest.mark.parametrize('cached', [True, False])
def test_a_projection_that_changes_has_other_prototypes_of_the_same_features(read, tmp_path, cached):
    classes, projection = build(tmp_path if cached else None), nn.Linear(WIDTH, 4)
    before = prototypes(classes, projection)
    assert prototypes(classes, projection) is before
    with torch.no_grad():
        projection.weight.add_(1.)
    assert_close(prototypes(classes, projection), by_hand(projection))
    other = nn.Linear(WIDTH, 4)
    assert_close(prototypes(classes, other), by_hand(other))
    assert len(read) == 1
    found = prototypes(classes, other)
    classes.forget()
    assert prototypes(classes, other) is not found and len(read) == 1


def test_without_parameters_there_are_prototypes_too(read):
    assert_close(prototypes(build(), nn.Identity()), by_hand(nn.Identity()))


def test_the_disk_keeps_features_of_the_same_prompts_of_the_same_model(read, tmp_path):
    projection = nn.Linear(WIDTH, 4)
    prototypes(build(tmp_path), projection)
    prototypes(build(tmp_path, classes=['cat', 'red dog']), projection)
    assert len(read) == 1
    others = [dict(classes=['cat', 'dog']), dict(templates=['{}']), dict(text=dict(location='other')),
              dict(text=dict(location='model', layer=2)), dict(classes=['red dog', 'cat'])]
    for count, options in enumerate(others, 2):
        prototypes(build(tmp_path, **options), projection)
        assert len(read) == count and len(list(tmp_path.glob('prompts-*'))) == count, options


def test_features_that_were_half_written_are_finished(read, tmp_path, monkeypatch):
    monkeypatch.setattr(zero_shot_classes, '_SHARD_ROWS', 1)
    projection = nn.Linear(WIDTH, 4)
    prototypes(build(tmp_path), projection)
    store, = tmp_path.glob('prompts-*')
    (store / 'index.json').unlink()
    (store / 'shard-00002-of-00004.safetensors').unlink()
    next(tmp_path.glob('prototypes-*')).unlink()
    assert_close(prototypes(build(tmp_path), projection), by_hand(projection))
    assert read[4:] == [(['a red dog'], 99)] and json.loads((store / 'index.json').read_text())['num_rows'] == 4


def test_progress_is_shown(read):
    batches = []
    prototypes(build(track=lambda found: (batches.append(batch) or batch for batch in found)), nn.Linear(WIDTH, 4))
    assert len(batches) == 1


@pytest.mark.parametrize('options, message', [
    (dict(text=None), r'zero-shot classes need a language model; expected model.text=dict\(location=FOLDER'),
    (dict(text=dict(layer=1)), 'zero-shot classes need a language model'),
    (dict(classes=['cat', ' ']), 'class 1 has no name'),
    (dict(templates=['the']), "'the' has no place for the name of a class")])
def test_settings_that_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        build(**options)
