"""Two losses, one step: Eq. 10 of the rectifier paper, and what is logged of it."""
import pytest
import torch
from mmengine.model import BaseModule
from mmengine.model.weight_init import trunc_normal_
from mmpretrain.models.heads import LinearClsHead
from torch import nn

from lbbt_mm.models.rectifiers.two_paths import AuxiliaryHead, halves, refuse_shared_statistics, weighted_losses


def test_features_part_into_those_of_the_paths_whatever_holds_them():
    first, second = torch.arange(8.).view(4, 2), torch.arange(4.)
    main, auxiliary = halves(((first, second), [first]))
    assert torch.equal(main[0][0], first[:2]) and torch.equal(auxiliary[0][1], second[2:])
    assert isinstance(main, tuple) and isinstance(auxiliary[1], list)


def test_losses_sum_to_equation_10_and_every_part_is_logged():
    main = {'loss': torch.tensor(3.), 'accuracy_top-1': torch.tensor(50.)}
    auxiliary = {'loss': torch.tensor(5.), 'accuracy_top-1': torch.tensor(25.)}
    found = {name: float(value) for name, value in weighted_losses(main, auxiliary, 0.25).items()}
    assert found == {'loss_main': 2.25, 'loss_aux': 1.25, 'main_unweighted': 3., 'aux_unweighted': 5., 'lambda': 0.25,
                     'accuracy_top-1': 50., 'aux_accuracy_top-1': 25.}
    assert sum(value for name, value in found.items() if 'loss' in name) == 0.75 * 3 + 0.25 * 5


def test_a_batch_norm_behind_the_place_of_insertion_is_refused():
    refuse_shared_statistics({'neck': nn.LayerNorm(2)})
    with pytest.raises(ValueError, match=r"neck.0 is a BatchNorm1d, which would take its statistics over both paths .* Use "
                       "a norm of each sample, or path='inserted'."):
        refuse_shared_statistics({'neck': nn.Sequential(nn.BatchNorm1d(2))})


def test_an_auxiliary_head_needs_pooled_features():
    with pytest.raises(ValueError, match=r'found features of shape \(2, 4, 3\); expected pooled ones'):
        AuxiliaryHead(3, 5, LinearClsHead(2, 3)).loss((torch.ones(2, 4, 3), ), [])


def test_an_auxiliary_head_s_layers_are_drawn_like_mappers_and_the_log_says_so(monkeypatch):
    head, said = AuxiliaryHead(3, 5, LinearClsHead(2, 3)), {}
    monkeypatch.setattr(BaseModule, '_dump_init_info', lambda self: said.update(
        {name: self._params_init_info[parameter]['init_info'] for name, parameter in self.named_parameters()}))
    torch.manual_seed(5)
    head.init_weights()
    for layer in (0, 2):
        assert said[f'layers.{layer}.weight'] == 'TruncNormalInit: a=-2, b=2, mean=0, std=0.02, bias=0'
    assert said['head.fc.weight'].startswith('NormalInit')
    torch.manual_seed(5)
    for layer in (head.layers[0], head.layers[2]):
        assert torch.equal(layer.weight, trunc_normal_(torch.empty_like(layer.weight), std=0.02))
