"""How each module's gradients of single samples can be had is found out, and what cannot be had is refused."""
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lbbt_mm.analysis.gsnr import whole_rows
from lbbt_mm.analysis.sample_check import MixedSamples, by_chunks, by_loop, check
from lbbt_mm.analysis.sample_gradients import SampleGradients
from lbbt_mm.language import LanguageOptions
from lbbt_mm.models.layers import LanguageBlock
from tests.closeness import assert_close
from tests.sample_nets import (CASES, SAMPLES, TOKENS, WIDTH, Net, Shift, Tied, assert_same, batch_of, checked, collector,
                               linear, looped, loss)
from tests.tiny_checkpoints import CONFIGS
from tests.tiny_rectified import VIT, build, images, samples


@pytest.mark.parametrize('case', CASES)
def test_gradients_are_those_of_a_loop_in_whatever_way_they_are_had(case):
    make, run, method = CASES[case]
    model, batch = Net(make(), run).double(), batch_of()
    gradients = checked(model, batch)
    used = {owner.methods[0] if owner.methods else None for owner in gradients.owners}
    assert used == {method}
    expected = looped(model, batch, gradients.names)
    for chunk in (SAMPLES, 3):
        take, found = collector()
        by_chunks(gradients, loss, batch, take, chunk)
        assert_same(found(), expected)


def test_auxiliary_training_whose_second_path_is_more_rows_of_the_same_samples(folders):
    model = build(folders['llama'], insert_after='first', aux_weight=0.3, backbone=dict(VIT, qkv_bias=False)).double()
    inputs, labels = images(4).double(), samples(4)
    batch = dict(inputs=inputs, data_samples=labels)

    def loss(model, batch):
        return model.parse_losses(model(**batch, mode='loss'))[0]

    names = [name for name, parameter in model.named_parameters() if 'backbone.layers.' in name]
    gradients = checked(model, batch, names, loss)
    assert not gradients.others
    take, found = collector()
    by_chunks(gradients, loss, batch, take, 4)
    assert_same(found(), looped(model, batch, names, loss,
                                lambda batch, i: dict(inputs=inputs[i:i + 1], data_samples=labels[i:i + 1])))


def test_language_block_with_activations_computed_again():
    """What a block got is kept meanwhile; positions use the norm's gain past the norm, and the projection past its layer."""
    spec = LanguageOptions.from_dict(dict(config=CONFIGS['gpt2'])).spec.block
    positions = torch.randn(1, TOKENS, spec.embed_dims, dtype=torch.float64)
    for pos, others in ((None, set()), (positions, {'module.norm1.weight', 'module.norm1.bias', 'module.attn.qkv.weight',
                                                    'module.attn.qkv.bias'})):
        block = LanguageBlock(spec, with_cp=True)
        model = Net(block, lambda module, x, pos=pos: module(x.repeat(1, 1, 6)[..., :spec.embed_dims], pos=pos)[..., :WIDTH])
        model, batch = model.double(), batch_of(4)
        gradients = checked(model, batch)
        assert set(gradients.others) == others
        take, found = collector()
        by_chunks(gradients, loss, batch, take, 4)
        expected, ours = looped(model, batch, gradients.names), found()
        for name, rows in expected.items():
            if 'qkv.bias' not in name:  # of a key's, the gradient is rounding
                assert_close(ours[name], rows, msg=name)


def test_a_weight_that_two_modules_share_has_the_gradient_of_both():
    model, batch = Net(Tied()).double(), batch_of()
    gradients = checked(model, batch)
    assert gradients.others == ['module.one.weight', 'module.one.bias']
    take, found = collector()
    by_chunks(gradients, loss, batch, take, SAMPLES)
    assert_same(found(), looped(model, batch, gradients.names))


def test_a_module_that_draws_is_not_run_again():
    """Its second run would draw other numbers: each sample gets a pass, whose draws are its own."""

    class Noisy(Shift):

        def forward(self, x):
            return F.dropout(x * self.weight, 0.5, self.training)

    model, batch = Net(Noisy()).double(), batch_of()
    gradients = checked(model, batch)
    assert gradients.others == ['module.weight']
    rows = []
    by_loop(gradients, loss, {key: value[:1].repeat(4, *[1] * (value.ndim - 1)) for key, value in batch.items()},
            lambda name, part: rows.extend(whole_rows(part)))
    assert len({float(row.sum()) for row in rows}) == 4, 'the same sample four times'


class Contrast(nn.Module):
    """A loss that compares the samples of a batch."""

    def __init__(self):
        super().__init__()
        self.layer = linear()

    def forward(self, x, y):
        features = self.layer(x).mean(1)
        return F.cross_entropy(features @ features.T, torch.arange(len(x)))


def test_samples_that_change_each_other_are_refused():
    batch = batch_of(dtype=torch.float32)
    norm = Net(nn.Sequential(linear(), nn.BatchNorm1d(TOKENS)))
    with pytest.raises(MixedSamples, match=r'Net: the gradient of an image changes by \d+% with the other images of its '
                       r'batch; expected a loss that is a mean over samples. module.1 normalises over the batch. Freeze'):
        checked(norm, batch)
    checked(norm.eval(), batch)
    with pytest.raises(MixedSamples, match='Its loss, or a part of it, compares or counts samples'):
        checked(Contrast(), batch)


@pytest.mark.parametrize('case', ('linear', 'windows'))
def test_gradients_that_are_all_0_prove_nothing(case):
    """As in the first step of a network whose head starts at 0."""
    make, run, method = CASES[case]
    model, batch = Net(make(), run).double(), batch_of()
    weight = model.head.weight.detach().clone()
    torch.nn.init.zeros_(model.head.weight)
    gradients = checked(model, batch)
    assert gradients.unchecked == gradients.watched == gradients.owners and not gradients.others
    model.head.weight.data = weight
    check(gradients, loss, batch)
    assert not gradients.unchecked and bool(gradients.others) == (method is None)


@pytest.mark.parametrize('method', ('checked', 'watched', 'looped'))
def test_nothing_is_changed(method):
    torch.manual_seed(5)
    model = Net(nn.Sequential(linear(), nn.Dropout(0.5), nn.BatchNorm1d(TOKENS).requires_grad_(False), Tied())).double()
    model.module[2].eval()
    model.register_buffer('count', torch.zeros(1))
    model.register_forward_pre_hook(lambda module, inputs: [module.count.add_(1)] * 0 or None)
    batch = batch_of()
    loss(model, batch).backward()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    grads = {name: parameter.grad for name, parameter in model.named_parameters()}
    values = {name: None if grad is None else grad.clone() for name, grad in grads.items()}
    gradients = SampleGradients(model, [name for name, parameter in model.named_parameters() if parameter.requires_grad])
    random = torch.get_rng_state()
    if method == 'checked':
        check(gradients, loss, batch)
        assert torch.equal(torch.get_rng_state(), random)
    elif method == 'watched':
        by_chunks(gradients, loss, batch, lambda name, rows: whole_rows(rows), 3)
    else:
        gradients.owners[0].methods = []
        by_loop(gradients, loss, batch, lambda name, rows: None)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
    for name, parameter in model.named_parameters():
        assert parameter.grad is grads[name] and (grads[name] is None or torch.equal(grads[name], values[name]))
        assert parameter.requires_grad == ('module.2' not in name)
    assert not any(module._forward_hooks for module in model.modules())
    assert model.training and not model.module[2].training
