"""tools/analysis/hessian.py: its numbers are those of the dense Hessian of a run whose head alone trains."""
import math
import re
import sys
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.runner import set_random_seed
from mmpretrain.registry import MODELS

from lbbt_mm.figures import hessian
from lbbt_mm.figures.losses import load_batches
from lbbt_mm.figures.trained import OpenedRun, read_trained
from tests.test_analysis.test_hessian_operator import Once

pytest.importorskip('curvlinops')
from lbbt_mm.figures import hessian_draws, hessian_numbers  # noqa: E402
FEW = ['--steps', '10', '--draws', '2', '--trace-draws', '6', '--leading', '4', '--noise-draws', '2', '--noise', '0.1']


@pytest.fixture
def trained(trained):
    """Writes runs, by default of one whose head alone trains: 99 parameters."""
    return lambda *names, **options: trained(*names, **{**dict(frozen_stages=4), **options})


@pytest.fixture
def tool(figure):
    """Runs the tool; returns its exit status, what it printed, and its numbers."""
    return partial(figure, hessian)


def dense(text, side):
    """Loss, gradient and Hessian of the head, from features."""
    run = OpenedRun(read_trained(text))
    model = getattr(run, f'at_{side}')()
    batch = load_batches(run, model, 'train', 64, 64)[0][1]
    features = model.extract_feat(batch['inputs'])[-1].detach().double()
    labels = torch.tensor([int(sample.gt_label) for sample in batch['data_samples']])
    flat = torch.cat([model.head.fc.weight.flatten(), model.head.fc.bias]).detach().double()

    def loss(flat):
        return F.cross_entropy(features @ flat[:-3].view(3, -1).T + flat[-3:], labels)

    return loss(flat), torch.autograd.functional.jacobian(loss, flat), torch.autograd.functional.hessian(loss, flat)


@pytest.mark.parametrize('side', ['start', 'end'])
def test_numbers_are_those_of_the_dense_hessian(trained, tool, tmp_path, side):
    text = trained()
    status, said, numbers = tool(f'a={text}', *FEW, '--at', side, '--draws', 6, '--steps', 30)
    assert status == 0, said
    numbers = numbers.fillna({'of': ''}).set_index(['measure', 'of'])
    loss, gradient, matrix = dense(text, side)
    values = torch.linalg.eigvalsh(matrix)
    exact = {
        ('loss', ''): loss, ('largest eigenvalue', ''): values[-1], ('spectral gap', 'largest 2'): values[-1] - values[-2],
        ('maximum parameter sensitivity', ''): gradient.abs().max(),
        ('participation ratio', 'leading 4'): values[-4:].sum()**2 / (4 * values[-4:].square().sum()),
        ('negative eigenvalue ratio', 'leading 4'): 0., ('negative eigenvalue ratio', 'all'): 0.}
    for key, value in exact.items():
        assert numbers.value[key] == pytest.approx(float(value), rel=1e-3, abs=1e-4), key
    for key, value in {('trace of the Hessian', 'all'): values.sum(),
                       ('participation ratio', 'all'): values.sum()**2 / (len(values) * values.square().sum())}.items():
        assert abs(numbers.value[key] - float(value)) < 4 * numbers.standard_error[key], key
    assert numbers['where'][('maximum parameter sensitivity', '')] in ('head.fc.weight', 'head.fc.bias')
    for name in ('hessian.png', 'hessian.pdf'):
        assert (tmp_path / 'out' / name).stat().st_size > 5000


@pytest.fixture
def bent(trained, tmp_path):
    """A run whose head alone trains, and has a hidden layer: 147 parameters, and a Hessian with negative eigenvalues."""
    trained('plain')
    cfg = Config.fromfile(tmp_path / 'plain.py')
    cfg.model.head = dict(type='StackedLinearClsHead', num_classes=3, in_channels=32, mid_channels=[4],
                          act_cfg=dict(type='Tanh'))
    cfg.dump(tmp_path / 'bent.py')
    set_random_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    with torch.no_grad():
        for parameter in model.head.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'bent.pth')
    return f'{tmp_path}/bent.py,{tmp_path}/bent.pth'


def bent_loss(text):
    """The loss of its head as a function of all parameters in a row ``(..., 147)``, in float64; these; and their sizes."""
    run = OpenedRun(read_trained(text))
    model = run.at_end()
    batch = load_batches(run, model, 'train', 64, 64)[0][1]
    features = model.backbone(batch['inputs'])[-1].detach().double()
    labels = torch.tensor([int(sample.gt_label) for sample in batch['data_samples']])
    tensors = [parameter.detach().double() for parameter in model.head.parameters()]
    sizes = [tensor.numel() for tensor in tensors]

    def loss(flat):
        first, offset, second, last = flat.split(sizes, -1)
        hidden = torch.tanh(features @ first.unflatten(-1, (4, 32)).mT + offset.unsqueeze(-2))
        logits = hidden @ second.unflatten(-1, (3, 4)).mT + last.unsqueeze(-2)
        return -logits.log_softmax(-1)[..., torch.arange(len(labels)), labels].mean(-1)

    return loss, torch.cat([tensor.flatten() for tensor in tensors]), sizes


def test_numbers_are_those_of_a_dense_hessian_with_negative_eigenvalues(bent, tool):
    """Of the leading ones to rounding; of all, and of noise, to the standard errors that stand beside them."""
    status, said, numbers = tool(f'a={bent}', '--at', 'end', '--steps', 60, '--draws', 12, '--trace-draws', 30, '--leading',
                                 8, '--noise', 0.1, 0.2, '--noise-draws', 60, '--along', 0.01, 0.03)
    assert status == 0, said
    numbers = numbers.fillna({'of': ''}).set_index(['measure', 'of'])
    loss, flat, sizes = bent_loss(bent)
    values = torch.linalg.eigvalsh(torch.autograd.functional.hessian(loss, flat))
    leading, above = values[values.abs().argsort()[-8:]], values[values > 0].flip(0)[:8]

    def excess(some):
        return (some - some.mean()).pow(4).mean() / some.var(correction=0)**2 - 3

    def negative_share(some):
        return some[some < 0].abs().sum() / some.abs().sum()

    def gradient(at):
        return torch.autograd.functional.jacobian(loss, at)

    first = gradient(flat)
    seconds = torch.stack([gradient(flat - step * flat.norm() * first / first.norm()) for step in (0.01, 0.03)])
    exact = {
        ('loss', ''): loss(flat), ('largest eigenvalue', ''): values[-1], ('smallest eigenvalue', ''): values[0],
        ('spectral gap', 'largest 2'): values[-1] - values[-2],
        ('eigenvalue decay rate', 'largest 8 above 0'): np.polyfit(np.log(np.arange(1, 9)), above.log().numpy(), 1)[0],
        ('kurtosis of eigenvalues', 'leading 8'): excess(leading),
        ('participation ratio', 'leading 8'): leading.abs().sum()**2 / (8 * leading.square().sum()),
        ('negative eigenvalue ratio', 'leading 8'): (leading < 0).double().mean(),
        ('negative share of curvature', 'leading 8'): negative_share(leading),
        ('gradient predictiveness: change', ''): (seconds - first).norm(dim=1).mean() / first.norm(),
        ('gradient predictiveness: cosine', ''): F.cosine_similarity(seconds, first[None]).mean(),
        ('maximum parameter sensitivity', ''): first.abs().max()}
    assert 0 < exact['negative eigenvalue ratio', 'leading 8'] < 0.9, 'or the test shows nothing'
    for key, value in exact.items():
        assert numbers.value[key] == pytest.approx(float(value), rel=5e-3), key

    generator = torch.Generator().manual_seed(0)
    size = torch.cat([part.square().mean().sqrt().expand(len(part)) for part in flat.split(sizes)])
    noise = torch.randn(20000, len(flat), generator=generator, dtype=torch.float64) * size
    added = [((loss(flat + scale * noise) + loss(flat - scale * noise)) / 2 - loss(flat)).mean() for scale in (0.1, 0.2)]
    estimated = {
        ('trace of the Hessian', 'all'): values.sum(), ('kurtosis of eigenvalues', 'all'): excess(values),
        ('participation ratio', 'all'): values.abs().sum()**2 / (len(values) * values.square().sum()),
        ('negative eigenvalue ratio', 'all'): (values < -1e-4 * values.abs().max()).double().mean(),
        ('negative share of curvature', 'all'): negative_share(values),
        ('noise sensitivity AUC', ''): (added[0] / 2 * 0.1 + (added[0] + added[1]) / 2 * 0.1) / 0.2}
    for key, value in estimated.items():
        error = numbers.standard_error[key]
        assert abs(numbers.value[key] - float(value)) < 4 * error, key
        size = values.abs().sum() if key[0].startswith('trace') else abs(value)  # a sum of both signs may be about 0
        assert error < 0.5 * float(size), (key, 'or the test shows nothing')


def test_the_density_has_one_eigenvalue_s_share_at_each(trained, tool, tmp_path):
    tool(trained(), *FEW, '--at', 'end', '--draws', 6)
    curve = pd.read_csv(tmp_path / 'out' / 'hessian-density.csv')
    step = curve.eigenvalue.diff().mean()
    assert curve.density.sum() * step == pytest.approx(1, abs=0.01)
    assert curve.eigenvalue[curve.density.idxmax()] == pytest.approx(0, abs=0.1 * curve.eigenvalue.max())  # most are 0


def test_of_all_parts_it_takes_those_that_train(trained, tool):
    """And both ends, and a network with gates, grouped heads and RMSNorm."""
    status, said, numbers = tool(f'a={trained(model_type="qwen3", frozen_stages=2)}', *FEW)
    assert status == 0, said
    assert '52 Hessian-vector products on 64 images' in said and 'start of training' in said and 'end of training' in said
    given = numbers.value.notna() | numbers.note.notna()
    assert given.sum() >= len(numbers) - 2


def test_a_seed_gives_the_same_and_what_is_done_is_not_done_again(trained, tool, monkeypatch):
    text = trained()
    first = tool(text, *FEW)[2]
    pd.testing.assert_frame_equal(tool(text, *FEW, out='again')[2], first)
    assert not first.value.equals(tool(text, *FEW, '--seed', 1, out='other')[2].value)
    real = hessian_draws.Point.make
    monkeypatch.setattr(hessian_draws.Point, 'make', lambda self, kind, number: real(self, kind, number) if (
        kind == 'trace' and number >= 6) else pytest.fail('made again'))
    status, said, more = tool(text, *FEW, '--trace-draws', 8)
    assert status == 0 and '4 Hessian-vector products' in said, said
    same = first.measure != 'trace of the Hessian'
    pd.testing.assert_frame_equal(more[same], first[same])
    monkeypatch.setattr(hessian_draws, 'Point', None)
    pd.testing.assert_frame_equal(tool(text, *FEW, '--trace-draws', 8)[2], more)


def test_several_runs_of_a_label_are_a_mean_and_a_deviation(trained, tool):
    texts = [trained(), trained('other', seed=1)]
    said, numbers = tool(*(f'a={text}' for text in texts), *FEW, '--at', 'end')[1:]
    values = numbers[numbers.measure == 'largest eigenvalue'].value
    assert len(values) == 2
    assert f'{values.mean():.4g} ± {values.std():.2g}' in said


def test_a_gap_is_said_in_a_line(trained, tool):
    """The Hessian of a head of three classes, from 4 products: nothing else has converged."""
    status, said, numbers = tool(f'a={trained()}', *FEW[2:], '--steps', 4, '--at', 'end', '--converged', '1e-9')
    assert status == 0 and numbers.note.notna().any()
    line = r'^a, end of training, leading 4: no number; one is known to within (\d+%|100% or more) of its magnitude only'
    assert re.search(line, said, re.M), said
    assert said.count('leading 4: no number') == 1


def saturated(model):
    """One class has all of the probability, in float32 too: the loss is linear in the head, and its Hessian 0."""
    model.head.fc.bias[0] = 1e4


def test_a_hessian_that_is_0_is_a_gap_and_other_runs_are_shown(trained, tool, tmp_path, monkeypatch):
    drawn, draw = [], hessian_numbers.draw
    monkeypatch.setattr(hessian_numbers, 'draw', lambda curves: drawn.append(draw(curves)) or drawn[0])
    flat, other = trained(change=saturated), trained('other', seed=1)
    status, said, numbers = tool(f'flat={flat}', f'other={other}', *FEW, '--at', 'end')
    assert status == 0, said
    of_flat = numbers[numbers.label == 'flat'].fillna({'of': ''}).set_index(['measure', 'of'])
    for key in (('largest eigenvalue', ''), ('smallest eigenvalue', ''), ('trace of the Hessian', 'all'),
                ('negative eigenvalue ratio', 'all')):
        assert of_flat.value[key] == 0, key
    for name in ('kurtosis of eigenvalues', 'participation ratio', 'negative share of curvature'):
        assert math.isnan(of_flat.value[name, 'all'])
        assert of_flat.note[name, 'all'] == 'all eigenvalues that were found are the same'
    assert of_flat.note['spectral gap', 'largest 2'] == '1 found; there are no more different ones'
    assert 'flat, end of training, all: no number; all eigenvalues that were found are the same.' in said
    assert numbers[numbers.label == 'other'].value.notna().sum() > 10
    assert set(pd.read_csv(tmp_path / 'out' / 'hessian-density.csv').label) == {'other'}
    first, second = drawn[0].axes[:, 0]
    assert not first.lines and first.texts[0].get_text().startswith('no density') and second.lines
    status, said, numbers = tool(f'flat={flat}', *FEW, '--at', 'end', out='alone')
    assert status == 0 and (tmp_path / 'alone' / 'hessian.png').stat().st_size > 1000
    assert pd.read_csv(tmp_path / 'alone' / 'hessian-density.csv').empty


def test_a_loss_that_is_not_finite_is_one_line(trained, tool):
    """The weights are finite; the logits overflow, so that the loss is infinity or none."""
    status, said, numbers = tool(f'a={trained(change=lambda model: model.head.fc.weight.fill_(3e38))}', *FEW, '--at', 'end')
    said = [line for line in said.strip().splitlines() if 'Hessian-vector products' not in line]
    assert status == 2 and numbers is None and len(said) == 1, said
    assert re.match(r'a, end of training: its loss is (nan|inf); expected a number\. Leave the run out', said[0]), said


def test_the_picture_says_that_it_shows_one_run_of_several(trained, tool, monkeypatch):
    drawn, draw = [], hessian_numbers.draw
    monkeypatch.setattr(hessian_numbers, 'draw', lambda curves: drawn.append(draw(curves)) or drawn[0])
    texts = [trained(), trained('other', seed=1)]
    assert tool(f'a={texts[0]}', f'a={texts[1]}', *FEW, '--at', 'end')[0] == 0
    assert [axes.get_title() for axes in drawn[0].axes.flat] == ['a, end of training\n(1 of 2 runs)']


@pytest.mark.parametrize('arguments, found', [
    (['--steps', '3'], '--steps 3: expected 4 or more'),
    (['--leading', '2'], '--leading 2: expected 3 or more'),
    (['--steps', '10', '--leading', '11'], '--leading 11 with --steps 10: as many steps find as many eigenvalues at most. '
     'Give --steps 55, or a lower --leading'),
])
def test_command_lines_that_cannot_be(arguments, found, capsys):
    with pytest.raises(SystemExit) as ended:
        hessian.parse_args(['a', *arguments])
    assert ended.value.code == 2 and found in capsys.readouterr().err


def diverge(model):
    model.head.fc.weight[0, 0] = float('inf')


@pytest.mark.parametrize('options, arguments, found', [
    (dict(change=diverge), [], 'a: head.fc.weight has values that are not finite, so the run has diverged'),
    (dict(seed=None), [], 'a: its config has no randomness.seed, so its start'),
    ({}, ['--split', 'val'], 'a: its config has no val_dataloader. Give another split'),
])
def test_runs_that_have_no_hessian(trained, tool, options, arguments, found):
    status, said, numbers = tool(f'a={trained(**options)}', *FEW, *arguments)
    assert status == 2 and numbers is None and found in said, said
    said = [line for line in said.strip().splitlines() if 'Hessian-vector products' not in line]
    assert len(said) == 1, said


@pytest.mark.parametrize('options, found', [
    (dict(change=diverge), 'b: head.fc.weight has values that are not finite'),
    (dict(seed=None), 'b: its config has no randomness.seed, so its start')])
def test_a_run_that_has_none_is_found_before_work_begins(trained, tool, tmp_path, options, found):
    status, said, numbers = tool(f'a={trained()}', f'b={trained("other", **options)}', *FEW)
    assert status == 2 and found in said, said
    assert not (tmp_path / 'out').exists()


def test_without_curvlinops_it_says_what_to_install(monkeypatch, capfd, tmp_path):
    monkeypatch.setitem(sys.modules, 'curvlinops', None)
    assert hessian.main([str(tmp_path)]) == 2
    said = capfd.readouterr().err
    assert re.fullmatch(r"curvlinops-for-pytorch is not installed.* pip install 'curvlinops-for-pytorch>=3,<4'\n", said)


def point_of(text, change):
    """The end of a run whose model is changed."""
    run = OpenedRun(read_trained(f'a={text}'))
    model = run.at_end()
    change(model)
    run.at_end = lambda device: model
    return hessian_draws.Point(run, 'end', hessian.parse_args(['a', *FEW]), iter(()))


def test_the_loss_has_to_depend_on_something(trained):
    with pytest.raises(ValueError, match='^a, end of training: its loss depends on no trainable parameter; expected a run'):
        point_of(trained(), lambda model: model.requires_grad_(False))


def test_a_layer_without_a_second_derivative(trained):
    point = point_of(trained(), lambda model: model.head.fc.register_forward_hook(lambda *args: Once.apply(args[-1])))
    assert point.make('gradient', 0)['loss'] > 0
    with pytest.raises(ValueError, match='^a, end of training: a layer of it has a first derivative only'):
        point.make('trace', 0)
