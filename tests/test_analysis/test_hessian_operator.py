"""Hessian-vector products, against the dense Hessian, curvlinops and differences of gradients."""
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call

from lbbt_mm.analysis.hessian import mean_and_error
from lbbt_mm.analysis.hessian_operator import HessianOperator
from lbbt_mm.analysis.lanczos import lanczos
from lbbt_mm.models.backbones import LLMBackbone
from tests.tiny_checkpoints import CONFIGS


def small_net(norm=nn.LayerNorm):
    """A network of few parameters, and three batches of different sizes."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), norm(6), nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 3)).double()
    data = torch.randn(10, 4, dtype=torch.float64), torch.randint(3, (10, ))
    return net, list(zip(*(part.split([4, 4, 2]) for part in data)))


def operator_of(net, batches, loss=F.cross_entropy):
    images = sum(len(x) for x, _ in batches)
    return HessianOperator(lambda: (loss(net(x), y) * (len(x) / images) for x, y in batches), tuple(net.parameters()))


def dense_hessian(net, batches):
    names, sizes = zip(*((name, parameter.shape) for name, parameter in net.named_parameters()))
    x, y = (torch.cat(part) for part in zip(*batches))

    def loss(flat):
        parts = flat.split([size.numel() for size in sizes])
        tensors = {name: part.view(size) for name, part, size in zip(names, parts, sizes)}
        return F.cross_entropy(functional_call(net, tensors, x), y)

    return torch.autograd.functional.hessian(loss, torch.cat([p.detach().flatten() for p in net.parameters()]))


def test_products_are_those_of_the_dense_hessian():
    net, batches = small_net()
    operator, dense = operator_of(net, batches), dense_hessian(net, batches)
    assert operator.shape == dense.shape
    torch.testing.assert_close(operator @ torch.eye(len(dense), dtype=torch.float64), dense)
    vector = torch.randn(len(dense), dtype=torch.float64)
    torch.testing.assert_close(operator @ vector, dense @ vector)


def test_extreme_eigenvalues_are_those_of_the_dense_hessian():
    net, batches = small_net()
    exact = torch.linalg.eigvalsh(dense_hessian(net, batches))
    found = lanczos(operator_of(net, batches), torch.randn(len(exact), dtype=torch.float64), 30).values
    torch.testing.assert_close(found[-3:], exact[-3:], rtol=1e-4, atol=0)
    torch.testing.assert_close(found[:2], exact[:2], rtol=1e-4, atol=0)


def test_the_trace_is_within_four_standard_errors_of_the_dense_one():
    """And the error is that of Hutchinson's estimator with signs, of variance 2 (|H|^2 - |diagonal|^2)."""
    hutchinson_trace = pytest.importorskip('curvlinops').hutchinson_trace
    net, batches = small_net()
    operator, dense = operator_of(net, batches), dense_hessian(net, batches)
    value, error = mean_and_error([float(hutchinson_trace(operator, 1)) for _ in range(100)])
    known = float((2 * (dense.square().sum() - dense.diagonal().square().sum()) / 100).sqrt())
    assert abs(value - float(dense.trace())) < 4 * known and error == pytest.approx(known, rel=0.3)


def test_products_are_those_of_curvlinops():
    """Without LayerNorm, at whose weights theirs are not those of the dense Hessian (torch 2.9)."""
    curvlinops = pytest.importorskip('curvlinops')
    net, batches = small_net(nn.Identity)
    theirs = curvlinops.HessianLinearOperator(net, nn.CrossEntropyLoss(), list(net.parameters()), batches)
    vector = torch.randn(theirs.shape[0], dtype=torch.float64)
    torch.testing.assert_close(operator_of(net, batches) @ vector, theirs @ vector)


class Once(torch.autograd.Function):
    """An operator as many of mmcv's: its derivative has none."""

    @staticmethod
    def forward(ctx, inputs):
        return inputs.clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        return gradient


def test_layers_without_a_second_derivative():
    """Torch gives 0 for them, and no error."""
    weight = nn.Parameter(torch.ones(2))
    operator = HessianOperator(lambda: [(Once.apply(weight) * weight).sum(), (weight**3).sum()], [weight])
    with pytest.raises(ValueError, match='a layer of it has a first derivative only, as many operators of mmcv'):
        operator @ torch.ones(2)


def test_a_part_that_the_loss_is_linear_in():
    """Its gradient does not depend on anything; without it there would be nothing to differentiate."""
    weight, offset = (nn.Parameter(torch.ones(2)) for _ in range(2))
    operator = HessianOperator(lambda: [(weight**2).sum() * 3 + 2 * offset.sum()], (weight, offset))
    assert (operator @ torch.ones(4)).tolist() == [6., 6., 0., 0.]
    operator = HessianOperator(lambda: [(weight**2).sum() * 3, 2 * offset.sum()], (weight, offset))
    assert (operator @ torch.ones(4)).tolist() == [6., 6., 0., 0.]


@pytest.mark.parametrize('position', ['learned', 'rotary'])
@pytest.mark.parametrize('model_type', ['gpt2', 'llama', 'qwen3'])
def test_of_a_real_backbone_they_are_differences_of_gradients(model_type, position):
    """Attention, rotary positions, LayerNorm, RMSNorm of tokens and heads, GELU and SiLU, gated or not."""
    if model_type == 'gpt2' and position == 'rotary':
        return
    net = nn.Sequential(LLMBackbone(dict(config=CONFIGS[model_type], blocks='0:2', arm='host'), img_size=8, patch_size=4,
                                    attention_kernel='math', position=position, attention='causal'))
    net[0].init_weights()
    net = net.double().eval()
    images = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    parameters = tuple(net.parameters())

    def loss():
        return net(images)[0].sin().square().sum()

    vector = torch.randn(sum(parameter.numel() for parameter in parameters), dtype=torch.float64)
    steps = [part.view_as(parameter) for part, parameter in zip(
        vector.split([parameter.numel() for parameter in parameters]), parameters)]
    gradients = []
    for length in (1e-6, -2e-6):
        with torch.no_grad():
            for parameter, step in zip(parameters, steps):
                parameter += length * step
        gradients.append(torch.cat([part.flatten() for part in torch.autograd.grad(loss(), parameters)]))
    with torch.no_grad():
        for parameter, step in zip(parameters, steps):
            parameter += 1e-6 * step
    difference = (gradients[0] - gradients[1]) / 2e-6
    product = HessianOperator(lambda: [loss()], parameters) @ vector
    assert product.norm() > 0.1
    torch.testing.assert_close(product, difference, rtol=1e-4, atol=1e-5 * float(product.abs().max()))
