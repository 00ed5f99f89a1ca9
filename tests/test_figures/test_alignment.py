"""tools/analysis/alignment.py: the networks of the theorem, and the first layer of trained models."""

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

from lbbt_mm.analysis.alignment import PatchMoments, align, eigenspaces, second_moment, transfer
from lbbt_mm.figures import alignment
from lbbt_mm.figures.alignment_measures import summarise, verdicts
from tests.tiny_runs import write_images, write_run

NETWORKS = ['--networks', '2', '--steps', '30', '--dimensions', '8', '--width', '16', '--inputs', '50']


@pytest.fixture
def trained(tmp_path, folders):
    """Writes a run of a tiny model, whose patch embedding it changes at will; returns CONFIG,CHECKPOINT."""
    write_images(tmp_path / 'images', each=2)

    def write(name='run', change=lambda weight: weight + 0.1 * torch.randn_like(weight), seed=0):

        def train(model):
            weight = model.backbone.patch_embed.projection.weight
            start = weight.clone()
            weight.copy_(change(weight))
            write.weights = start, weight.clone()

        return write_run(tmp_path, tmp_path / 'images', folders['gpt2'], name, train, seed)

    return write


@pytest.fixture
def tool(figure):
    """Runs the tool without networks unless some are named; returns its exit status and what it printed."""

    def run(*arguments):
        networks = [] if '--networks' in arguments else ['--networks', '0']
        return figure(alignment, *arguments, *networks, '--rotations', 5)[:2]

    return run


def numbers(tmp_path, name='alignment'):
    return pd.read_csv(tmp_path / 'out' / f'{name}.csv', dtype=dict(at=str, number=str))


def test_numbers_of_a_run_are_those_of_its_weights_and_patches(trained, tool, tmp_path):
    status, output = tool(f'one={trained()}')
    assert status == 0, output
    moments = PatchMoments((4, 4), (4, 4))
    for path in sorted((tmp_path / 'images' / 'train').glob('*/*.png')):
        image = torch.from_numpy(cv2.imread(str(path))[:, :, ::-1].copy()).permute(2, 0, 1).float()
        moments.add(((image - 127) / 64)[None])
    spaces = eigenspaces(moments.covariance())
    table, points = numbers(tmp_path).set_index(['at', 'what']), numbers(tmp_path, 'alignment_transfer')
    start, end = (weight.flatten(1).double() for weight in trained.weights)
    for key, weights in ((('start', 'weights'), start), (('end', 'weights'), end), (('end', 'change'), end - start)):
        expected = align(second_moment(weights), spaces, rotations=5)
        assert table.loc[key, 'alignment'] == pytest.approx(expected.alignment, abs=1e-6), key
        assert table.loc[key, 'overlap'] == pytest.approx(expected.overlap, abs=1e-4), key
        rows = points[(points['at'] == key[0]) & (points['what'] == key[1])]
        np.testing.assert_allclose(rows['sigma'], spaces.values.sqrt(), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(rows['tau'], transfer(second_moment(weights), spaces), rtol=1e-4)
    for ending in ('png', 'pdf'):
        assert (tmp_path / 'out' / f'alignment.{ending}').stat().st_size > 5000


def test_networks_are_shown_over_their_training_and_together(tool, tmp_path):
    status, output = tool(*NETWORKS)
    assert status == 0, output
    table = numbers(tmp_path)
    assert set(table['number']) == {'0', '1', 'all'} and table['at'].iloc[0] == '0' and '30' in set(table['at'])
    assert table.groupby('number')['accuracy'].last()[['0', '1']].notna().all()
    assert '│ network │ 2 │' in output
    image = cv2.imread(str(tmp_path / 'out' / 'alignment.png'))
    assert 2 < image.shape[1] / image.shape[0] < 3.5, 'one row of two panels'


def test_what_is_done_is_not_done_again(trained, tool, tmp_path, monkeypatch):
    run = trained()
    assert tool(run, *NETWORKS)[0] == 0
    files = {name: (tmp_path / 'out' / name).read_bytes() for name in ('alignment.csv', 'alignment.png')}
    for name in ('_look', '_train'):
        monkeypatch.setattr(f'lbbt_mm.figures.alignment_measures.{name}', lambda *args: pytest.fail('done again'))
    assert tool(run, *NETWORKS)[0] == 0
    assert files == {name: (tmp_path / 'out' / name).read_bytes() for name in files}


def test_a_run_without_a_seed_has_no_start(trained, tool, tmp_path):
    status, output = tool(f'known={trained()}', f'unknown={trained("other", seed=None)}')
    assert status == 0 and 'unknown: its config has no randomness.seed, so its start and what changed' in output
    table = numbers(tmp_path)
    assert table.loc[table['label'] == 'unknown', 'at'].tolist() == ['end']


def test_a_frozen_first_layer_has_not_changed(trained, tool, tmp_path):
    status, output = tool(trained(change=lambda weight: weight))
    assert status == 0, output
    change = numbers(tmp_path).query("what == 'change'")
    assert change['alignment'].isna().all() and len(change) == 1


def test_constant_pixels_are_handled(trained, tool, tmp_path):
    for path in (tmp_path / 'images' / 'train').glob('*/*.png'):
        image = cv2.imread(str(path))
        image[:, ::2] = 100
        cv2.imwrite(str(path), image)
    status, output = tool(trained())
    assert status == 0, output
    points = numbers(tmp_path, 'alignment_transfer').query("at == 'end' and what == 'weights'")
    assert (points['sigma'] == 0).sum() == 1 and points['size'].sum() == 48 and points['tau'].notna().all()


@pytest.mark.parametrize('arguments, said', (
    (('--layer', 'backbone.none'), 'RUN: --layer backbone.none is no convolution of its model; there are '
     'backbone.patch_embed.projection. Name the one that sees the images.'),
    (('--split', 'val'), 'RUN: its config has no val_dataloader. Give another split.')))
def test_what_is_not_there_is_one_line(arguments, said, trained, tool, tmp_path):
    status, output = tool(f'RUN={trained()}', *arguments)
    assert status == 2 and output.strip() == said and not (tmp_path / 'out' / 'alignment.csv').exists()


def test_a_run_that_is_refused_is_refused_before_networks_train(trained, tool, monkeypatch):
    monkeypatch.setattr('lbbt_mm.figures.alignment_measures._train', lambda *args: pytest.fail('trained'))
    status, output = tool(trained(), *NETWORKS, '--layer', 'backbone.none')
    assert status == 2 and '--layer backbone.none is no convolution of its model' in output


def test_a_run_that_diverged_is_refused_by_its_name(trained, tool, tmp_path):
    status, output = tool(f'RUN={trained(change=lambda weight: weight.fill_(float("nan")))}')
    assert status == 2 and output.strip() == (
        'RUN: backbone.patch_embed.projection.weight has values that are not finite, so the run has diverged; expected '
        'finite weights. Leave the run out, or give an earlier checkpoint.')
    assert not (tmp_path / 'out').exists()


def test_a_run_that_diverged_is_found_before_work_begins(trained, tool, tmp_path):
    good, bad = trained(), trained('bad', change=lambda weight: weight / 0)
    status, output = tool(f'a={good}', f'a={bad}')
    assert status == 2 and output.startswith(f'a ({tmp_path}/bad.pth): backbone.patch_embed.projection.weight has values')
    assert not (tmp_path / 'out').exists()


def test_a_network_that_diverges_is_one_line(tool, tmp_path):
    status, output = tool(*NETWORKS, '--lr', '1e30')
    assert status == 2 and len(output.strip().splitlines()) == 1
    assert output.startswith('The network of seed 0 has weights that are not finite after')
    assert 'Give an --lr below 1e+30.' in output


def test_runs_of_a_label_with_other_numbers_of_eigenvalues_are_refused(trained, tool, tmp_path):
    first = trained()
    write_images(tmp_path / 'other', each=2)
    for path in (tmp_path / 'other' / 'train').glob('*/*.png'):
        image = cv2.imread(str(path))
        image[:, np.arange(8) % 4 > 0] = 100  # 36 of the 48 numbers of a patch are constant
        cv2.imwrite(str(path), image)
    second = trained('second', seed=1)
    config = tmp_path / 'second.py'
    config.write_text(config.read_text().replace(str(tmp_path / 'images'), str(tmp_path / 'other')))
    status, output = tool(f'a={first}', f'a={second}')
    assert status == 2 and len(output.strip().splitlines()) == 1, output
    assert f'a ({tmp_path}/second.pth): the patches that its first layer sees have' in output
    assert f'those of a ({tmp_path}/run.pth)' in output and 'Give these runs labels of their own' in output
    assert not (tmp_path / 'out' / 'alignment.csv').exists()
    assert tool(f'a={first}', f'b={second}')[0] == 0, 'apart they can be shown'


def test_images_of_one_colour_have_no_direction(trained, tool, tmp_path):
    for path in (tmp_path / 'images' / 'train').glob('*/*.png'):
        cv2.imwrite(str(path), np.full((8, 8, 3), 100, np.uint8))
    status, output = tool(f'RUN={trained()}')
    assert status == 2 and output.startswith('RUN, train split: The covariance of the inputs is a multiple of the identity')


def test_all_runs_are_looked_for_before_work_begins(trained, tool, tmp_path):
    status, output = tool(trained(), tmp_path / 'nothing')
    assert status == 2 and 'nothing' in output and len(output.strip().splitlines()) == 1
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('arguments, said', (
    (['--networks', '0'], '--networks 0 without a run leaves nothing to show'),
    (['--inputs', '-1'], '--inputs: -1: expected a whole number from 0 to 1,000,000. ')))
def test_command_lines_that_cannot_be(arguments, said, capfd):
    with pytest.raises(SystemExit) as caught:
        alignment.parse_args(arguments)
    assert caught.value.code == 2 and said in capfd.readouterr().err


@pytest.mark.parametrize('ends, word', (((0.5, 0.6, 0.55), 'rises'),
                                        ((0.05, 0.06, 0.055), 'rises, but not above 95% of rotations'),
                                        ((-0.5, -0.6, -0.55), 'falls'),
                                        ((0.5, -0.5, 0.1), 'cannot be told')))
def test_a_verdict_is_computed(ends, word):
    rows = [dict(label='a', number=str(number), at=at, what='weights', alignment=value, high=0.4, smooth=0.9 + number / 100,
                 smooth_p=0.001 + number / 20)
            for number, end in enumerate(ends) for at, value in (('start', 0.), ('end', end))]
    row, = verdicts(pd.DataFrame(rows)).to_dict('records')
    assert (row['n'], row['start'], row['it']) == (3, 0, word) and row['R2'] == '0.910 [0.885, 0.935]'
    assert row['smooth in'] == '1 of 3' and row['end'] == pytest.approx(np.mean(ends))


def test_of_a_gap_in_one_run_there_is_no_mean_or_it_is_said_of_how_many_it_is():
    """Runs 0 and 1 rise by 0.2 and 0.4; of run 2, the first that is named, the start is not known, nor is it smooth."""
    rows = [dict(label='a', number=number, at=at, what='weights', alignment=value, high=0.1, overlap=value,
                 overlap_chance=0.1, smooth=np.nan if number == '2' else 0.9, smooth_high=0.1,
                 smooth_p=np.nan if number == '2' else 0.001, rank=0.5)
            for number, values in (('2', dict(end=0.9)), ('0', dict(start=0., end=0.2)), ('1', dict(start=0., end=0.4)))
            for at, value in values.items()]
    row, = verdicts(pd.DataFrame(rows)).to_dict('records')
    assert row['n'] == 3 and np.isnan(row['start']) and row['end'] == pytest.approx(0.5)
    assert row['rise'].startswith('0.300 [') and row['rise'].endswith('] (2 of 3)') and row['smooth in'] == '2 of 2'
    assert row['R2'].endswith('(2 of 3)')
    start, end = (summarise(pd.DataFrame(rows)).set_index('at').loc[at] for at in ('start', 'end'))
    assert (start['n'], end['n']) == (2, 3) and end['alignment'] == '0.500 ± 0.361 (0.100)' and end['smooth'] == '-'


def test_one_alone_has_no_interval():
    rows = [dict(label='a', number='0', at='end', what='weights', alignment=0.5, high=0.1, smooth=0.9, smooth_p=0.001)]
    row, = verdicts(pd.DataFrame(rows)).to_dict('records')
    assert np.isnan(row['start']) and (row['rise'], row['it'], row['R2']) == ('-', '-', '0.900')
