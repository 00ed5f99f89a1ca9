"""What fits a model and an optimizer, and what is said of the rest."""
from collections import OrderedDict

import pytest
import torch
from torch import nn

from lbbt_mm.files.checkpoint_fit import (CheckpointMisfit, check_optimizer_state, fit_table, is_below,
                                          load_and_compare, parts_of)


def net(classes=3, width=4) -> nn.Module:
    return nn.ModuleDict(dict(body=nn.Linear(2, width), norm=nn.BatchNorm1d(width), head=nn.Linear(width, classes)))


def fit(model, state):
    return load_and_compare(model, state, 'x.pth')


def test_all_that_fits_is_loaded():
    model, other = net(), net()
    found = fit(model, other.state_dict())
    assert found.names == [] and len(found.loaded) == len(model.state_dict())
    assert torch.equal(model['head'].weight, other['head'].weight)


def test_shapes_names_and_what_is_missing():
    state = net(classes=80).state_dict()
    state['neck.weight'] = state.pop('body.bias')
    found = fit(net(), state)
    assert found.misshapen == {'head.weight': ('(80, 4)', '(3, 4)'), 'head.bias': ('(80,)', '(3,)')}
    assert (found.missing, found.extra) == (['body.bias'], ['neck.weight'])
    assert found.describe() == ('head.weight has shape (80, 4) there and (3, 4) in this model (2 such tensors); it lacks '
                                'body.bias; this model has no neck.weight')
    assert 'body.weight' in found.loaded and 'head.weight' not in found.loaded


def test_a_scalar_and_a_matrix():
    model = nn.Module()
    model.scale = nn.Parameter(torch.ones(()))
    assert fit(model, dict(scale=torch.ones(2, 3))).misshapen == {'scale': ('(2, 3)', '()')}


def test_a_counter_that_old_batch_norms_lack_is_no_misfit():
    state = net().state_dict()
    del state['norm.num_batches_tracked']
    state._metadata['norm']['version'] = 2
    assert fit(net(), state).names == []


def test_a_module_may_resize_or_rename_as_it_loads():
    model = net()
    model['head'].register_load_state_dict_pre_hook(
        lambda module, state, prefix, *args: state.update({f'{prefix}weight': state[f'{prefix}weight'][:3],
                                                           f'{prefix}bias': state[f'{prefix}bias'][:3]}))
    assert fit(model, net(classes=80).state_dict()).names == []


@pytest.mark.parametrize('value', ['text', None, 3, [1]])
def test_what_is_no_tensor_is_named(value):
    with pytest.raises(CheckpointMisfit, match=f'x.pth: body.bias is a {type(value).__name__}; expected a tensor'):
        fit(net(), OrderedDict(net().state_dict(), **{'body.bias': value}))


def test_prefixes_are_whole_parts():
    assert is_below('head.fc.weight', ['head']) and is_below('head', ['head'])
    assert is_below('head.fc.weight', ['a', 'head.fc'])
    assert not is_below('heads.weight', ['head']) and not is_below('a.head.weight', ['head'])


def test_the_parts_to_name_are_few_and_deep():
    assert parts_of(['bbox_head.fc_cls.weight', 'bbox_head.fc_cls.bias']) == ['bbox_head.fc_cls']
    assert parts_of([f'backbone.blocks.{i}.attn.weight' for i in range(9)]) == ['backbone.blocks']
    assert parts_of(['query_embedding']) == ['query_embedding']


def test_the_table_counts_each_part():
    state = net(classes=80).state_dict()
    state['aux.a.weight'] = torch.ones(1)
    table = fit_table(fit(net(), state), 'Checkpoint x.pth')
    rows = {cells[0]: cells[1:] for cells in ([cell.strip() for cell in line.strip('|').split('|')]
                                              for line in table.splitlines() if line.startswith('|'))}
    assert rows['head'] == ['0', '2', '2'] and rows['body'] == ['2', '0', '0'] and rows['aux.a'] == ['0', '0', '1']
    assert rows['total'] == ['7', '2', '3']


class TestOptimizerState:

    @staticmethod
    def stepped(model, kind=torch.optim.AdamW, **options):
        optimizer = kind(model.parameters(), lr=0.1, **options)
        model['head'](model['norm'](model['body'](torch.randn(4, 2)))).sum().backward()
        optimizer.step()
        return optimizer

    @pytest.mark.parametrize('kind, options', [
        (torch.optim.AdamW, {}), (torch.optim.AdamW, dict(amsgrad=True)), (torch.optim.SGD, dict(momentum=0.9)),
        (torch.optim.RMSprop, {}), (torch.optim.Adagrad, {}), (torch.optim.Adamax, {}), (torch.optim.Adadelta, {})])
    def test_state_of_other_shapes_is_named_with_its_parameter(self, kind, options):
        saved = self.stepped(net(width=5), kind, **options).state_dict()
        model = net()
        optimizer = kind(model.parameters(), lr=0.1, **options)
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        with pytest.raises(CheckpointMisfit, match=r'the optimizer state \w+ of body.weight has shape \(5, 2\) there, the '
                                                   r'parameter in this model has \(4, 2\)'):
            check_optimizer_state(optimizer, saved, names)
        check_optimizer_state(optimizer, self.stepped(net(), kind, **options).state_dict(), names)

    def test_parameters_that_train_without_state_are_named(self):
        saved = self.stepped(net()).state_dict()
        model = net()
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        assert check_optimizer_state(optimizer, saved, names) == []
        absent = list(names.values()).index('norm.weight')
        del saved['state'][absent]
        assert check_optimizer_state(optimizer, saved, names) == ['norm.weight']
        model['norm'].weight.requires_grad_(False)
        assert check_optimizer_state(optimizer, saved, names) == []
        plain = torch.optim.SGD(net().parameters(), lr=0.1)
        assert check_optimizer_state(plain, self.stepped(net(), torch.optim.SGD).state_dict(), names) == []

    def test_state_that_torch_keeps_in_another_shape_is_left_to_it(self):
        saved = self.stepped(net(), torch.optim.Adafactor).state_dict()
        check_optimizer_state(torch.optim.Adafactor(net().parameters()), saved, {})

    def test_other_numbers_of_parameters_and_groups(self):
        saved = self.stepped(net()).state_dict()
        model = net()
        one = torch.optim.AdamW([dict(params=[parameter]) for parameter in model.parameters()])
        with pytest.raises(CheckpointMisfit, match='its optimizer had 6 parameters in 1 groups, this one has 6 in 6'):
            check_optimizer_state(one, saved, {})
        with pytest.raises(CheckpointMisfit, match='had 6 parameters in 1 groups, this one has 2 in 1'):
            check_optimizer_state(torch.optim.AdamW(model['head'].parameters()), saved, {})

    @pytest.mark.parametrize('saved', [None, {}, [], dict(param_groups=3, state={}), dict(param_groups=[], state=None)])
    def test_what_is_no_state(self, saved):
        with pytest.raises(CheckpointMisfit, match='its optimizer state is not one that torch writes'):
            check_optimizer_state(torch.optim.AdamW(net().parameters()), saved, {})

    @pytest.mark.parametrize('key, value, message', [
        ('exp_avg', torch.zeros(1).expand(4, 2), 'is no plain tensor: its numbers do not lie one beside the other'),
        ('exp_avg', torch.zeros(4, 1).expand(4, 2), 'is no plain tensor'),
        ('exp_avg_sq', torch.zeros(8, 4)[::2, ::2], 'is no plain tensor'),
        ('exp_avg', torch.zeros(4, 2).to_sparse(), 'is no plain tensor'),
        ('step', torch.zeros(0), r'has shape \(0,\) there, which is neither one number nor that of the parameter, \(4, 2\)'),
        ('step', torch.zeros(100_000), 'which is neither one number'),
        ('exp_avg', None, 'lacks exp_avg, which that of other parameters has'),
        ('step', None, 'lacks step, which that of other parameters has'),
    ])
    def test_state_that_fused_optimizers_would_write_beyond(self, key, value, message):
        model = net()
        saved = state_of(model, torch.optim.AdamW)
        entry = saved['state'][0]
        if value is None:
            del entry[key]
        else:
            entry[key] = value
        with pytest.raises(CheckpointMisfit, match=message):
            check_optimizer_state(torch.optim.AdamW(net().parameters()), saved, {})

    @pytest.mark.parametrize('key, value', [
        ('step', torch.tensor(-3.)), ('step', float('nan')), ('step', 'x'), ('step', True),
        ('exp_avg_sq', torch.full((4, 2), -1.)), ('exp_avg_sq', torch.full((4, 2), float('nan'))),
        ('exp_avg', torch.full((4, 2), float('nan')))])
    def test_state_that_no_training_leaves(self, key, value):
        saved = state_of(net(), torch.optim.AdamW)
        saved['state'][0][key] = value
        with pytest.raises(CheckpointMisfit, match=f'the optimizer state {key} of .* holds NaN or numbers that it cannot'):
            check_optimizer_state(torch.optim.AdamW(net().parameters()), saved, {})

    @pytest.mark.parametrize('option, value', [
        ('lr', 'x'), ('lr', -0.1), ('lr', float('nan')), ('lr', None), ('lr', True), ('weight_decay', [0.1]), ('eps', 'x')])
    def test_options_that_are_no_numbers(self, option, value):
        saved = state_of(net(), torch.optim.AdamW)
        saved['param_groups'][0][option] = value
        with pytest.raises(CheckpointMisfit, match=f"the option '{option}' of its optimizer is .*; expected a number"):
            check_optimizer_state(torch.optim.AdamW(net().parameters()), saved, {})

    def test_state_in_another_order_of_memory_is_dense(self):
        saved = state_of(net(), torch.optim.AdamW)
        saved['state'][0]['exp_avg'] = torch.zeros(2, 4).T
        check_optimizer_state(torch.optim.AdamW(net().parameters()), saved, {})

    def test_a_group_without_an_option(self):
        saved = state_of(net(), torch.optim.AdamW)
        del saved['param_groups'][0]['betas']
        with pytest.raises(CheckpointMisfit, match="lacks the option 'betas'"):
            check_optimizer_state(torch.optim.AdamW(net().parameters()), saved, {})

    @pytest.mark.parametrize('kind', [torch.optim.Adafactor, torch.optim.ASGD, torch.optim.Rprop, torch.optim.Adagrad,
                                      torch.optim.NAdam, torch.optim.RMSprop, torch.optim.LBFGS, torch.optim.SGD])
    def test_torch_s_own_state_fits_whatever_the_optimizer(self, kind):
        model = net()
        check_optimizer_state(kind(net().parameters(), lr=0.1), state_of(model, kind, lr=0.1), {})


def state_of(model, kind, **options):
    """Saved state of an optimizer after a step."""
    optimizer = kind(model.parameters(), **options)

    def closure():
        optimizer.zero_grad()
        loss = sum((parameter**2).sum() for parameter in model.parameters())
        loss.backward()
        return loss

    optimizer.step(closure)
    return optimizer.state_dict()


@pytest.mark.parametrize('value, message', [
    (lambda there: there.to(torch.int8), 'body.weight is of type torch.int8, in this model of torch.float32; torch'),
    (lambda there: there.to(torch.complex64), 'body.weight is of type torch.complex64'),
    (lambda there: there.to_sparse(), 'body.weight is sparse or quantised')])
def test_numbers_of_another_kind(value, message):
    state = net().state_dict()
    state['body.weight'] = value(state['body.weight'])
    with pytest.raises(CheckpointMisfit, match=message):
        fit(net(), state)


def test_one_number_for_a_row_of_them():
    state = net().state_dict()
    state['body.bias'] = torch.tensor(1.)
    with pytest.raises(CheckpointMisfit, match=r'body.bias has shape \(\) there and \(4,\) in this model'):
        fit(net(), state)


def test_half_precision_fits():
    assert fit(net(), {name: value.half() if value.is_floating_point() else value
                       for name, value in net().state_dict().items()}).names == []


@pytest.mark.parametrize('name, value, refused', [
    ('body.weight', float('nan'), True), ('body.weight', float('-inf'), True), ('norm.running_mean', float('nan'), True),
    ('norm.running_mean', float('-inf'), False), ('body.weight', 3e38, False)])
def test_weights_of_a_training_that_diverged(name, value, refused):
    """A buffer may be a mask of infinities."""
    state = net().state_dict()
    state[name].view(-1)[1] = value
    if refused:
        with pytest.raises(CheckpointMisfit, match=f'x.pth: {name} holds NaN or infinity'):
            fit(net(), state)
    else:
        assert fit(net(), state).names == []
