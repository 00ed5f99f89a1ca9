"""tools/analysis/landscape.py: its plane goes through the start and the end of a run, and gaps are gaps."""
import json
import re
from collections import Counter
from functools import partial
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from lbbt_mm.figures import landscape, landscape_planes
from lbbt_mm.figures.landscape_picture import draw, smooth
from lbbt_mm.figures.losses import FixedLoss, load_batches
from lbbt_mm.figures.trained import OpenedRun, read_trained
from tests.test_figures.trained_bridge import IMAGES, train_bridge

GRID = ['--points', '5', '--alphas', '-0.5', '1.5']


@pytest.fixture
def tool(figure):
    """Runs the tool; returns its exit status, what it printed, and its numbers."""
    return partial(figure, landscape)


def loss_at(text, side):
    run = OpenedRun(read_trained(text))
    model = getattr(run, f'at_{side}')()
    return FixedLoss(model, load_batches(run, model, 'train', 64, 64))()


@pytest.mark.parametrize('norm', ['layer', 'filter', 'global'])
def test_the_plane_goes_through_start_and_end(trained, tool, tmp_path, norm):
    text = trained()
    status, said, numbers = tool(f'a={text}', *GRID, '--norm', norm)
    assert status == 0, said
    found = numbers.set_index(['alpha', 'beta']).loss
    assert len(found) == 25 and found.notna().all()
    assert found[0., 0.] == pytest.approx(loss_at(text, 'start'), rel=1e-5)
    assert found[1., 0.] == pytest.approx(loss_at(text, 'end'), rel=1e-5)
    assert found[1., 0.] != pytest.approx(found[0., 0.], rel=1e-3)
    assert found[0., 1.] != pytest.approx(found[0., 0.], rel=1e-5)
    for kind in ('png', 'pdf'):
        assert (tmp_path / 'out' / f'landscape.{kind}').stat().st_size > 5000
    assert re.search(r'│ a +│', said)


def test_runs_of_one_label_are_told_apart_by_their_seeds(trained, tool, monkeypatch):
    drawn, draw = [], landscape_planes.draw
    monkeypatch.setattr(landscape_planes, 'draw', lambda *args: drawn.append(draw(*args)) or drawn[0])
    status, said, numbers = tool(f'a={trained()}', f'a={trained("other", seed=1)}', '--points', 3)
    assert status == 0 and set(numbers.label) == {'a'}, said
    assert [axes.get_title() for axes in drawn[0].axes.flat] == ['a, seed 0', 'a, seed 1']
    assert re.search(r'│ a, seed 0 +│', said) and re.search(r'│ a, seed 1 +│', said)


def test_one_model_and_one_loading_of_the_images_serve_all_points(trained, tool, monkeypatch):
    """Two models are built of a run, its start and its end; a point writes into the second, and reads no image."""
    calls, models = Counter(), []

    def counted(owner, name, note=lambda *args: None):
        real = getattr(owner, name)

        def call(*args, **options):
            calls[name] += 1
            note(*args)
            return real(*args, **options)

        monkeypatch.setattr(owner, name, call)

    text = trained()
    counted(OpenedRun, 'build')
    counted(OpenedRun, 'images')
    counted(landscape_planes, 'load_batches', lambda run, model, *args: models.append(model))
    counted(FixedLoss, '__call__', lambda loss: models.append(loss.model))
    status, said, numbers = tool(text, *GRID)
    assert status == 0 and len(numbers) == 25, said
    assert calls == dict(build=2, images=1, load_batches=1, __call__=25 + 2), 'and both ends for the table'
    assert all(model is models[0] for model in models)


@pytest.mark.slow
def test_a_bridge_that_has_learned_its_labels_ends_in_a_valley(tool, tmp_path, monkeypatch):
    """Its loss there is the one that its training logged; its data preprocessor is beside the model in the config."""
    work = train_bridge(tmp_path, kept=3)
    monkeypatch.setenv('LBBT_DATA_ROOT', str(tmp_path / 'data'))
    monkeypatch.setenv('LBBT_NUM_CLASSES', '2')
    logged = [json.loads(line) for line in next(work.glob('*/vis_data/scalars.json')).read_text().splitlines()]
    losses = [line['loss'] for line in logged if 'loss' in line]
    status, said, numbers = tool(work, *GRID, '--split', 'train', '--max-samples', IMAGES)
    assert status == 0, said
    found = numbers.set_index(['alpha', 'beta']).loss
    assert found[1., 0.] == pytest.approx(losses[-1], rel=0.2) and found[1., 0.] < 0.7 * losses[0]
    assert found[0., 0.] == pytest.approx(losses[0], rel=0.05)
    middle = tool(work, *GRID, '--from', work / 'epoch_10.pth', '--to', work / 'epoch_20.pth', out='middle')[2]
    assert found[1., 0.] < middle[(middle.alpha == 1) & (middle.beta == 0)].loss.item() < found[0., 0.]


def test_what_is_done_is_not_done_again(trained, tool, monkeypatch):
    text, row, done = trained(), landscape_planes._row, []

    def one_more(plane, alphas, beta, most):
        if len(done) == most:
            raise KeyboardInterrupt
        done.append(beta)
        return row(plane, alphas, beta)

    monkeypatch.setattr(landscape_planes, '_row', partial(one_more, most=4))
    assert tool(text, *GRID)[0] == 130
    monkeypatch.setattr(landscape_planes, '_row', partial(one_more, most=6))
    status, said, numbers = tool(text, *GRID)
    assert status == 0, said
    assert done == [0., -1., -0.5, 0., 0.5, 1.], 'the two ends, then five rows, each once'
    monkeypatch.setattr(landscape_planes, 'open_plane', None)
    pd.testing.assert_frame_equal(tool(text, *GRID)[2], numbers)
    assert tool(text, *GRID, '--seed', 1)[0] == 2, 'another question is another computation'


def test_another_seed_is_another_direction_and_the_same_one_the_same(trained, tool):
    text = trained()
    first, same, other = (tool(text, *GRID, '--seed', seed, out=out)[2].set_index(['alpha', 'beta']).loss
                          for seed, out in ((0, 'a'), (0, 'b'), (1, 'c')))
    assert first.equals(same)
    assert first[0.5, 0.] == pytest.approx(other[0.5, 0.], rel=1e-5)
    assert first[0.5, 1.] != pytest.approx(other[0.5, 1.], rel=1e-5)


def test_a_loss_that_is_not_finite_is_a_gap(trained, tool, tmp_path):
    status, said, numbers = tool(trained(), '--points', 3, '--alphas', 0, '1e38', '--betas', -1, 1)
    assert status == 0, said
    assert numbers.loss.isna().sum() == 6 and numbers.loss.notna().sum() == 3
    assert re.search(r'│ +6 │$', said, re.M)
    axes = draw([('a', numbers.pivot(index='beta', columns='alpha', values='loss'))], False, 'start', 'end').axes[0][0]
    marked = next(line for line in axes.lines if line.get_label() == 'loss not finite')
    assert len(marked.get_xdata()) == 6


def test_frozen_parts_take_no_part(trained, tool):
    def train(model):
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1)

    said = tool(trained(frozen_stages=4, change=train), *GRID)[1]
    assert re.search(r'│ +2 of \d+ │', said), said  # the head


def test_what_the_public_code_does(trained, tool, tmp_path):
    text = trained()
    status, said, numbers = tool(f'a={text}', '--directions', 'public')
    assert status == 0 and len(numbers) == 400 and '10 images' in said
    grid = numbers.pivot(index='beta', columns='alpha', values='loss')
    assert (grid.index.min(), grid.columns.max()) == (-1, 1)
    canvas = draw([('a', grid)], True, 'start', 'end')
    assert canvas.axes[0][0].get_title() == 'a (smoothed)'
    around = tool(text, '--directions', 'public', '--from', 'end', '--points', 3, '--max-samples', 64, out='end')[2]
    middle = around[(around.alpha == 0) & (around.beta == 0)].loss.item()
    assert middle == pytest.approx(loss_at(text, 'end'), rel=1e-5)


def test_smoothing_keeps_gaps_and_means():
    losses = np.full((9, 9), 2.)
    losses[4, 4] = np.nan
    np.testing.assert_allclose(np.delete(smooth(losses), 40), 2.)
    assert np.isnan(smooth(losses)[4, 4])
    losses[4, 4] = 10.
    assert 2 < smooth(losses)[4, 5] < smooth(losses)[4, 4] < 10


def test_runs_share_one_scale_of_colours():
    grid = pd.DataFrame(np.arange(9.).reshape(3, 3) + 1, index=[-1., 0., 1.], columns=[-1., 0., 1.])
    canvas = draw([('a', grid), ('b', grid * 1000)], False, 'start', 'end')
    norms = [axes.collections[0].norm for axes in canvas.axes.flat]
    assert (norms[0].vmin, norms[0].vmax) == (norms[1].vmin, norms[1].vmax) == (1., 9000.)
    assert type(norms[0]).__name__ == 'LogNorm'


def diverge(model):
    model.head.fc.weight[0, 0] = float('nan')


@pytest.mark.parametrize('options, arguments, found', [
    (dict(change=diverge), [], 'a: head.fc.weight has values that are not finite, so the run has diverged'),
    (dict(change=lambda model: None), [], 'a: no tensor differs between the two ends of the direction'),
    (dict(seed=None), [], 'a: its config has no randomness.seed, so its start'),
    ({}, ['--split', 'val'], 'a: its config has no val_dataloader. Give another split'),
])
def test_runs_that_have_no_plane(trained, tool, options, arguments, found):
    status, said, numbers = tool(f'a={trained(**options)}', *GRID, *arguments)
    assert status == 2 and numbers is None and found in said
    assert len(said.strip().splitlines()) == 1, said


def test_a_run_that_diverged_is_found_before_work_begins(trained, tool, tmp_path):
    status, said, numbers = tool(f'a={trained()}', f'b={trained("other", change=diverge)}', *GRID)
    assert status == 2 and said.startswith('b: head.fc.weight has values that are not finite')
    assert not (tmp_path / 'out').exists()


def test_a_checkpoint_of_another_model(trained, tool, tmp_path):
    other = trained('other', 'llama').split(',')[1]
    status, said, numbers = tool(trained(), '--from', other)
    assert status == 2 and 'does not fit the model' in said and len(said.strip().splitlines()) == 1


@pytest.mark.parametrize('arguments, found', [
    (['a', '--alphas', '1', '0'], '--alphas 1.0 0.0: expected the lower one first'),
    (['a', '--betas', 'nan', '0'], '--betas nan 0.0: expected the lower one first'),
    (['a', '--points', '2'], '--points 2: expected 3 or more'),
    (['a', 'b', '--from', 'x.pth'], '--from and --to name checkpoints of one run, and several runs were given'),
    (['a', '--from', 'none.pth'], '--from none.pth: no such file; expected start, end or a checkpoint of the run. Correct'),
    (['a', '--to', 'begin'], '--to begin: no such file; expected start, end or a checkpoint of the run. Correct the path'),
    (['a', '--directions', 'public', '--norm', 'filter'], '--norm filter: --directions public draws both directions with'),
    (['a', '--directions', 'public', '--norm-of', 'weights'], '--norm-of weights: --directions public draws both'),
])
def test_command_lines_that_make_no_sense(arguments, found, capsys):
    with pytest.raises(SystemExit):
        landscape.main(arguments)
    said = capsys.readouterr().err
    assert found in said and len(said.splitlines()) == 1


def test_parts_and_lengths_of_the_random_direction_have_defaults():
    args = landscape.parse_args(['a'])
    assert (args.norm, args.norm_of) == ('layer', 'step')


def test_buffers_that_differ_are_named(capsys):
    model, far = nn.BatchNorm1d(2), nn.BatchNorm1d(2)
    landscape_planes._say_of_buffers(SimpleNamespace(name='a'), model, far)
    assert capsys.readouterr().err == ''
    model.running_mean += torch.ones(2)
    landscape_planes._say_of_buffers(SimpleNamespace(name='a'), model, far)
    assert capsys.readouterr().err.startswith('a: running_mean and 0 more buffers are those of --to at all points')
