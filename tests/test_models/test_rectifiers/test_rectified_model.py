"""What every rectified model has: on a model of plain layers, without a host library's."""
import pytest
import torch
from mmengine.model import BaseModule
from torch import nn

from lbbt_mm.models.rectifiers.rectified_model import RectifiedModel

WIDTH = 6


class Backbone(BaseModule):
    """Three blocks that each double the tokens, then the mean over the tokens."""
    embed_dims = WIDTH

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(3))
        for layer in self.layers:
            layer.weight.data = 2 * torch.eye(WIDTH)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x.mean(1)


class Model(RectifiedModel):

    def __init__(self, language, arm='language', insert_after='last', path='auxiliary', aux_weight=0.25, behind=None):
        super().__init__()
        self.backbone = Backbone()
        given = dict(type='lbbt_mm.LanguageRectifier', language=dict(checkpoint=str(language), blocks=-1, arm=arm, seed=0))
        self.add_rectifier(given, insert_after, path, aux_weight, behind or {}, lambda: nn.Linear(WIDTH, 2))

    def extract(self, x):
        return self.backbone(x)


def tokens():
    return torch.randn(2, 4, WIDTH, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(('place', 'index'), [('embedding', -1), ('first', 0), ('middle', 1), (-1, 2), ('last', 2)])
def test_both_paths_come_from_one_run(folders, place, index):
    model, x = Model(folders['gpt2'], insert_after=place), tokens()
    assert model.insert_after == model.place_of(place) == index
    main, auxiliary = model.of_both_paths(lambda: model.extract(x))
    assert torch.equal(main, 8 * x.mean(1)) and torch.equal(model.extract(x), main), 'outside, the plain model'
    before = 2**(index + 1)
    torch.testing.assert_close(auxiliary, 8 / before * model.rectifier(before * x).mean(1))


def test_an_inserted_rectifier_always_runs(folders):
    model, x = Model(folders['gpt2'], path='inserted'), tokens()
    torch.testing.assert_close(model.extract(x), model.rectifier(8 * x).mean(1))


def test_a_failure_on_both_paths_leaves_the_plain_model(folders):
    model, x = Model(folders['gpt2']), tokens()
    with pytest.raises(ZeroDivisionError):
        model.of_both_paths(lambda: 1 / 0)
    assert torch.equal(model.extract(x), 8 * x.mean(1))


@pytest.mark.parametrize(('arm', 'path', 'parts'), [
    ('language', 'auxiliary', 'rectifier'), ('mappers', 'inserted', 'rectifier'), ('none', 'auxiliary', 'aux_head'),
    ('none', 'inserted', ''), ('plain', 'auxiliary', ''), ('plain', 'inserted', '')])
def test_which_part_is_added(folders, arm, path, parts):
    model = Model(folders['gpt2'], arm, path=path)
    assert [name for name in ('rectifier', 'aux_head') if getattr(model, name) is not None] == parts.split()


def test_the_plain_model_draws_the_same_numbers_whatever_is_added(folders):
    drawn = []
    for arm in ('language', 'mappers', 'none', 'plain'):
        torch.manual_seed(3)
        Model(folders['gpt2'], arm)
        drawn.append(torch.rand(3))
    assert all(torch.equal(drawn[0], other) for other in drawn[1:])


def test_each_part_is_initialised_once_and_stays_in_the_model(folders, monkeypatch):
    model = Model(folders['gpt2'])
    calls, rectifier = [], model.rectifier
    monkeypatch.setattr(type(rectifier), 'init_weights', lambda self: calls.append(self))
    model.init_weights()
    assert calls == [rectifier] and model.rectifier is rectifier and 'rectifier' in model._modules


def test_the_weight_is_a_number_from_0_to_1_and_no_part_of_a_checkpoint(folders):
    model = Model(folders['gpt2'])
    assert model.aux_weight == 0.25 and not any('aux_weight' in name for name in model.state_dict())
    model.set_aux_weight(1)
    losses = model.weighted(dict(loss=torch.tensor(3.)), dict(loss=torch.tensor(5.)))
    assert (float(losses['loss_main']), float(losses['loss_aux']), float(losses['lambda'])) == (0, 5, 1)
    for weight in (-0.1, 1.1, True, '0.3', None):
        with pytest.raises(ValueError, match='expected a number from 0 to 1'):
            model.set_aux_weight(weight)
    assert model.aux_weight == 1


def test_batch_norms_behind_the_place_are_refused_on_an_auxiliary_path_alone(folders):
    behind = dict(neck=nn.BatchNorm1d(2))
    with pytest.raises(ValueError, match='neck is a BatchNorm1d, which would take'):
        Model(folders['gpt2'], behind=behind)
    Model(folders['gpt2'], behind=behind, path='inserted')
    Model(folders['gpt2'], 'none', behind=behind)
    Model(folders['gpt2'], 'plain', behind=behind)


@pytest.mark.parametrize(('options', 'said'), [
    (dict(path='both'), "Model: path='both'; expected one of"), (dict(insert_after=3), 'one of 3 blocks, -3 to 2')])
def test_what_does_not_fit_is_refused(folders, options, said):
    with pytest.raises(ValueError, match=said):
        Model(folders['gpt2'], **options)
