"""Gradients of each sample off one backward pass, against a loop over the samples."""
import pytest
import torch
import torch.nn.functional as F
from mmpretrain.models import VisionTransformer
from torch import nn

from lbbt_mm.analysis import sample_gradients
from lbbt_mm.analysis.gsnr import GradientMoments
from lbbt_mm.analysis.sample_check import by_chunks
from lbbt_mm.analysis.sample_gradients import SampleGradients, linear_rows, norm_rows
from tests.closeness import assert_close
from tests.sample_nets import CASES, SAMPLES, WIDTH, Net, assert_same, batch_of, checked, collector, linear, looped, loss


@pytest.mark.parametrize('case', [case for case, (_, _, method) in CASES.items() if method])
def test_they_come_off_an_ordinary_backward_pass_as_shares_of_its_gradient(case):
    make, run, _ = CASES[case]
    model, batch = Net(make(), run).double(), batch_of()
    gradients = checked(model, batch)
    take, found = collector()
    with gradients.watch(SAMPLES, take):
        loss(model, batch).backward()
    assert_same(found(), looped(model, batch, gradients.names), scale=SAMPLES)
    for name, rows in found().items():
        assert_close(rows.sum(0), dict(model.named_parameters())[name].grad, msg=name)


@pytest.mark.parametrize('options', (dict(), dict(layer_scale_init_value=0.1)))
def test_vision_transformer(options):
    backbone = VisionTransformer(arch=dict(embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=32), img_size=8,
                                 patch_size=4, qkv_bias=False, **options)  # of a key's bias the gradient is rounding
    model = nn.ModuleDict(dict(backbone=backbone, head=nn.Linear(16, 3))).double()
    batch = dict(x=torch.randn(SAMPLES, 3, 8, 8, dtype=torch.float64), y=torch.randint(3, (SAMPLES, )))

    def loss(model, batch):
        return F.cross_entropy(model['head'](model['backbone'](batch['x'])[-1]), batch['y'])

    names = [name for name, _ in model.named_parameters() if '.layers.' in name]
    gradients = checked(model, batch, names, loss)
    assert not gradients.others
    take, found = collector()
    by_chunks(gradients, loss, batch, take, 4)
    assert_same(found(), looped(model, batch, names, loss))


def test_a_parameter_that_the_loss_does_not_depend_on_has_no_gradients():
    class Spare(nn.Module):

        def __init__(self):
            super().__init__()
            self.used, self.spare, self.called = linear(), linear(), linear()

        def forward(self, x):
            self.called(x)
            return self.used(x)

    model, batch = Net(Spare()).double(), batch_of()
    gradients = checked(model, batch)
    take, found = collector()
    by_chunks(gradients, loss, batch, take, SAMPLES)
    assert found().keys() == {'module.used.weight', 'module.used.bias'} and not gradients.others


def test_dropout_is_that_of_the_pass():
    model, batch = Net(nn.Sequential(linear(), nn.Dropout(0.5), linear(), nn.Dropout(0.3))).double(), batch_of()
    gradients = checked(model, batch)
    assert not gradients.others
    take, found = collector()
    with gradients.watch(SAMPLES, take):
        loss(model, batch).backward()
    for name, rows in found().items():
        assert_close(rows.sum(0), dict(model.named_parameters())[name].grad, msg=name)


def test_under_autocast_rows_are_those_of_its_pass():
    model, batch = Net(nn.Sequential(nn.LayerNorm(WIDTH), linear())), batch_of(64, torch.float32)

    def loss(model, batch):
        with torch.autocast('cpu', torch.bfloat16):
            return model(**batch)

    gradients = checked(model, batch, loss=loss)
    assert [owner.methods[0] for owner in gradients.owners] == [norm_rows, linear_rows]
    take, found = collector()
    with gradients.watch(64, take):
        loss(model, batch).backward()
    for name, rows in found().items():
        assert rows.dtype == torch.float32
        grad = dict(model.named_parameters())[name].grad
        assert (rows.sum(0) - grad).norm() < 0.02 * grad.norm(), name


@pytest.mark.parametrize('cached', (100_000, 640, 1))
def test_memory_is_that_of_a_part_of_one_sample_s_gradient(cached, monkeypatch):
    """Of a layer's weight the gradients of all samples would be a hundred times as much."""
    monkeypatch.setattr(sample_gradients, '_CACHED', cached)
    model, size, addresses = nn.Linear(64, 32).double(), 100, set()
    inputs = torch.randn(size, 3, 64, dtype=torch.float64, requires_grad=True)
    gradients, moments = SampleGradients(model, ['weight']), GradientMoments(model.weight)

    def take(name, parts):
        moments.add((part, (addresses.add((row.data_ptr(), len(row))) or row for row in rows)) for part, rows in parts)

    with gradients.watch(size, take):
        model(inputs).square().mean().backward()
    lengths = {length for _, length in addresses}
    assert len({address for address, _ in addresses}) == 1 and max(lengths) == max(1, min(32, cached // 64))
    torch.testing.assert_close(moments.mean * size, model.weight.grad)
    outputs = model(inputs).detach()
    rows = 2 / outputs.numel() * outputs.transpose(1, 2) @ inputs.detach()
    torch.testing.assert_close(moments.squares / size, rows.var(0, correction=0))
