"""tools/analysis/hessian.py: its numbers are those of the dense Hessian of a run whose head alone trains."""
import math
import re
import sys
from functools import partial

import pandas as pd
import pytest
import torch
import torch.nn.functional as F

from lbbt_mm.analysis.lanczos import Quadrature
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


def test_of_a_gap_in_one_run_there_is_no_mean():
    frame = pd.DataFrame(dict(label='a', checkpoint=list('pqr'), measure='m', of='x', value=[1., 3., math.nan],
                              standard_error=0.))
    assert hessian_numbers.summarise(frame)['a'].tolist() == ['-']
    assert hessian_numbers.summarise(frame[:2])['a'].tolist() == ['2 ± 1.4']


def spectrum(values, residuals=0.):
    values = torch.tensor(values, dtype=torch.float64)
    return Quadrature(values, torch.full_like(values, 1 / len(values)), torch.zeros_like(values) + torch.tensor(residuals))


@pytest.mark.parametrize('values, residuals, leading, given, note', [
    ([-5., -1., 1., 2., 4.], 0., 3, 'decay gap leading', ''),
    ([-5., -1., 1., 2., 4.], 0., 4, 'gap leading', '3 found; take more --steps'),
    ([1., 2., 4.], 0., 4, 'gap', '3 found; take more --steps'),
    ([-5., -1., 1., 2., 4.], [0.4, 0., 0., 0., 0.], 3, 'decay gap leading', ''),  # of -5, 8 %
    ([-5., -1., 1., 2., 4.], [0.6, 0., 0., 0., 0.], 3, 'decay gap', 'known to within 12% of its magnitude only'),
    ([-5., -1., 1., 2., 4.], [0., 0., 0.2, 0., 0.], 3, 'gap leading', 'known to within 20% of its magnitude only'),
    ([-5., -4., -3., 1., 2.], [0., 0., 0., 3., 0.], 3, 'leading', 'one is known to within 100% or more of its magnitude'),
    ([-5., -4., -3., 1., 2.], [0., 0., 0., 0.3, 0.], 3, 'leading', 'known to within 30% of its magnitude only'),
])
def test_fewer_eigenvalues_or_others_are_a_gap(values, residuals, leading, given, note):
    """One draw that has not found them is enough."""
    args = hessian.parse_args(['a', '--leading', str(leading)])
    gradient = dict(loss=1., change=1., cosine=1., sensitivity=dict(w=1.))
    draws = dict(lanczos=[spectrum(sorted(abs(v) for v in range(1, 9))), spectrum(values, residuals)], gradient=[gradient],
                 trace=[1.], noise=[[0.] * len(args.noise)])
    frame = pd.DataFrame(hessian_numbers.numbers(draws, args))
    named = {'decay': frame.measure == 'eigenvalue decay rate', 'gap': frame.measure == 'spectral gap',
             'leading': (frame.of == f'leading {leading}') & ~frame.measure.str.startswith('distance')}
    for name, rows in named.items():
        assert frame[rows].value.notna().all() == frame[rows].value.notna().any() == (name in given.split()), name
        assert (frame[rows].note == '').all() == (name in given.split())
    assert any(note in said for said in frame.note) and frame[frame.of == 'all'].value.notna().all()


def test_a_gap_is_said_in_a_line(trained, tool):
    """The Hessian of a head of three classes, from 4 products: nothing else has converged."""
    status, said, numbers = tool(f'a={trained()}', *FEW[2:], '--steps', 4, '--at', 'end', '--converged', '1e-9')
    assert status == 0 and numbers.note.notna().any()
    line = r'^a, end of training, leading 4: no number; one is known to within (\d+%|100% or more) of its magnitude only'
    assert re.search(line, said, re.M), said
    assert said.count('leading 4: no number') == 1


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


def test_without_curvlinops_it_says_what_to_install(monkeypatch, capfd):
    monkeypatch.setitem(sys.modules, 'curvlinops', None)
    assert hessian.main(['a']) == 2
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
