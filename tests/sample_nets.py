"""Small networks of one module in all manners of use, and the gradients of each sample by a loop."""
import torch
import torch.nn.functional as F
from mmpretrain.models.utils import LayerScale
from torch import nn

from lbbt_mm.analysis.gsnr import whole_rows
from lbbt_mm.analysis.sample_check import check
from lbbt_mm.analysis.sample_gradients import SampleGradients, linear_rows, norm_rows, recomputed_rows
from tests.closeness import assert_close

WIDTH, TOKENS, SAMPLES = 6, 5, 7


class Net(nn.Module):
    """Tokens, some module, and a loss that is a mean over samples."""

    def __init__(self, module, run=None):
        super().__init__()
        self.module = module
        self.head = nn.Linear(WIDTH, 3)
        self.run = run or (lambda module, tokens: module(tokens))

    def forward(self, x, y):
        return F.cross_entropy(self.head(self.run(self.module, x).flatten(1, -2).mean(1)), y)


class Shift(nn.Module):
    """A parameter of its own, and no rule."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(WIDTH))
        self.drop = nn.Dropout(0.)

    def forward(self, x):
        return self.drop(x + self.weight.tanh())


class Scale(nn.Module):
    """A single number."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.7))

    def forward(self, x):
        return x * self.weight


class Tied(nn.Module):
    """Two layers of one weight."""

    def __init__(self):
        super().__init__()
        self.one, self.other = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.other.weight = self.one.weight

    def forward(self, x):
        return self.other(self.one(x).tanh())


def linear():
    """A layer."""
    return nn.Linear(WIDTH, WIDTH)


def gained(module, x):
    """The norm's weight is used by something else too, as in a block that is given positions."""
    return module(x) + module.weight * x.flip(1)


def windows(module, x):
    """Rows of windows, one sample's after another's."""
    padded = F.pad(x, (0, 0, 0, 1))
    return module(padded.unflatten(1, (2, 3)).flatten(0, 1).tanh()).unflatten(0, (len(x), 2)).flatten(1, 2)


def twice(module, x):
    """On all tokens, and on some of what came out, with something unused."""
    module(x)
    return module(module(x).tanh()[:, :3])


def side_by_side(module, x):
    """Twice as many rows, of the same samples."""
    return torch.cat(module(torch.cat([x, x.tanh()])).chunk(2), dim=1)


CASES = {  # what is in the middle, how it runs, and how its gradients are had
    'linear': (linear, None, linear_rows),
    'linear of vectors': (linear, lambda module, x: module(x[:, 0])[:, None], linear_rows),
    'linear of maps': (linear, lambda module, x: module(x[:, :, None].expand(-1, -1, 3, -1)), linear_rows),
    'linear without bias': (lambda: nn.Linear(WIDTH, WIDTH, bias=False), None, linear_rows),
    'layer norm': (lambda: nn.LayerNorm(WIDTH), None, norm_rows),
    'layer norm of maps': (lambda: nn.LayerNorm((TOKENS, WIDTH)), None, norm_rows),
    'RMS norm': (lambda: nn.RMSNorm(WIDTH), None, norm_rows),
    'layer scale': (lambda: LayerScale(WIDTH, 0.1), None, recomputed_rows),
    'no rule': (Shift, None, recomputed_rows),
    'a single number': (Scale, None, recomputed_rows),
    'convolution': (lambda: nn.Conv1d(TOKENS, TOKENS, 3, padding=1), None, recomputed_rows),
    'twice': (linear, twice, linear_rows),
    'twice, no rule': (Shift, twice, recomputed_rows),
    'side by side': (linear, side_by_side, linear_rows),
    'changed in place behind it': (linear, lambda module, x: module(x).relu_(), None),
    'windows': (linear, windows, None),
    'used elsewhere too': (lambda: nn.LayerNorm(WIDTH), gained, None),
    'used past its module': (linear, lambda module, x: F.linear(x, module.weight, module.bias), None),
    'named arguments': (linear, lambda module, x: module(input=x), None),
    'two tensors': (lambda: nn.Bilinear(WIDTH, WIDTH, WIDTH), lambda module, x: module(x, x.cos()), None),
}


def loss(model, batch):
    """The mean loss of a batch."""
    return model(**batch)


def batch_of(size=SAMPLES, dtype=torch.float64):
    """Samples and their labels."""
    return dict(x=torch.randn(size, TOKENS, WIDTH, dtype=dtype), y=torch.randint(3, (size, )))


def looped(model, batch, names, loss=loss, take=lambda batch, i: {key: value[i:i + 1] for key, value in batch.items()}):
    """The gradients of each sample, ``(B, *shape)`` by name, one backward pass after another."""
    found = {name: [] for name in names}
    parameters = dict(model.named_parameters())
    for index in range(len(next(iter(batch.values())))):
        grads = torch.autograd.grad(loss(model, take(batch, index)), [parameters[name] for name in names],
                                    allow_unused=True, materialize_grads=True)
        for name, grad in zip(names, grads):
            found[name].append(grad)
    return {name: torch.stack(rows) for name, rows in found.items()}


def collector():
    """What keeps rows, and what they are in the end."""
    kept = {}

    def take(name, rows):
        kept.setdefault(name, []).extend(whole_rows(rows).detach().clone())

    return take, lambda: {name: torch.stack(rows) for name, rows in kept.items()}


def checked(model, batch, names=None, loss=loss):
    """The way to a model's gradients, found for a batch."""
    names = names or [name for name, _ in model.named_parameters() if not name.startswith('head')]
    gradients = SampleGradients(model, names)
    check(gradients, loss, batch)
    return gradients


def assert_same(found, expected, scale=1.):
    """Fail if the gradients by some name differ."""
    assert found.keys() == expected.keys()
    for name, rows in expected.items():
        assert_close(found[name] * scale, rows, msg=name)
