"""tools/analysis/separability.py: its numbers are those of the features, and runs without numbers are marked."""
import sys

import numpy as np
import pytest

from lbbt_mm.analysis.separability import MEASURES, cluster, embed, measure, standardise
from lbbt_mm.figures import separability, separability_planes
from lbbt_mm.figures.features import read_features
from lbbt_mm.figures.trained import OpenedRun, read_trained
from tests.tiny_runs import write_images, write_run
from tests.tool_processes import run_tool


@pytest.fixture
def trained(tmp_path, folders):
    images = write_images(tmp_path / 'images')
    return lambda name='run', **options: write_run(tmp_path, images, folders['gpt2'], name, **options)


@pytest.fixture
def tool(figure):
    """Runs the tool with few neighbours and permutations; returns its exit status, what it printed, and its numbers."""
    return lambda *arguments, perplexity=5, neighbours=4, **more: figure(
        separability, *arguments, '--perplexity', perplexity, '--neighbours', neighbours, '--permutations', 3, **more)


@pytest.mark.parametrize('scale', ('standard', 'none'))
def test_numbers_are_those_of_the_features_and_of_their_plane(trained, tool, tmp_path, scale):
    run = trained()
    status, output, table = tool(f'one={run}', '--scale', scale, '--seed', 1)
    assert status == 0, output
    table = table.set_index(['at', 'space'])
    opened = OpenedRun(read_trained(run))
    for at, model in (('start', opened.at_start()), ('end', opened.at_end())):
        features, labels = (part.numpy() for part in read_features(opened, model, 'test', 1000, 64))
        scaled = standardise(features) if scale == 'standard' else features.astype(np.float64)
        for space, points in (('features', scaled), ('plane', embed(scaled, 5., 1))):
            expected = measure(points, labels, cluster(points, 3, 1), 4, 3, 1)
            assert table.loc[at, space][[*expected]].to_dict() == pytest.approx(expected)
            assert table.loc[at, space].samples == 24 and table.loc[at, space].classes == 3
    for ending in ('png', 'pdf'):
        assert (tmp_path / 'out' / f'separability.{ending}').stat().st_size > 1000
    value, permuted = table.loc['end', 'plane'][['purity', 'purity_permuted']]
    assert f'{value:.3f} ({permuted:.3f})' in output


def test_runs_of_one_label_are_a_mean_with_a_deviation(trained, tool):
    runs = [trained(f'seed{seed}', seed=seed) for seed in (0, 1)]
    status, output, table = tool(*(f'same={run}' for run in runs), '--at', 'end')
    assert status == 0, output
    values = table[table.space == 'features'].silhouette
    assert len(values) == 2 and f'{values.mean():.3f}±{values.std():.3f}' in output


def test_what_is_done_is_not_done_again(trained, tool, monkeypatch):
    run, calls, original = trained(), [], separability_planes._measure
    monkeypatch.setattr(separability_planes, '_measure', lambda *args: calls.append(args[1]) or original(*args))
    first = tool(run, '--at', 'end')[2]
    assert tool(run, '--at', 'end', '--colors', 'clusters')[2].equals(first) and calls == ['end']
    tool(run, trained('two', seed=1))
    assert calls == ['end', 'start', 'start', 'end']
    tool(run, '--at', 'end', '--stage', 0)
    assert len(calls) == 5, 'another question'


def shown(axes):
    """Colour and marker of each point of a panel."""
    return {tuple(point): (tuple(dots.get_facecolor()[0]), dots.get_paths()[0].vertices.shape)
            for dots in axes.collections for point in dots.get_offsets().tolist()}


def test_points_have_the_colours_of_their_classes_or_of_their_clusters():
    rng = np.random.default_rng(0)
    labels, clusters = rng.integers(0, 10, 50) + 3, rng.integers(0, 10, 50)
    plane = rng.standard_normal((50, 2))
    part = dict(plane=plane.tolist(), labels=labels.tolist(), clusters=clusters.tolist(),
                numbers=dict(plane=dict(nmi=0.5, nmi_permuted=0.25)))
    canvas = separability_planes.draw({('a', 'start'): part, ('a', 'end'): part, ('b', 'end'): part}, ['true', 'clusters'])
    assert canvas.axes.shape == (4, 2)
    for row, groups in enumerate((labels, clusters) * 2):
        looks = shown(canvas.axes[row, 0])
        of_group = {group: {looks[tuple(point)] for point in plane[groups == group]} for group in set(groups)}
        assert all(len(found) == 1 for found in of_group.values())
        assert len(set.union(*of_group.values())) == 10, 'ten classes look different, with seven colours'
    assert [axes.get_title() for axes in canvas.axes[2]] == ['a, end', 'b, end']
    assert canvas.axes[0, 1].texts[0].get_text().startswith('no numbers'), 'a gap is marked'
    assert canvas.axes[0, 0].get_xlabel() == 'NMI 0.50 (permuted 0.25)'
    assert 'true classes' in canvas.axes[0, 0].get_ylabel() and 'own clusters' in canvas.axes[1, 0].get_ylabel()
    assert [text.get_text() for text in canvas.figure.legends[0].get_texts()][:2] == ['class or cluster 0', '1']


def test_more_than_four_labels_go_on_in_the_next_row():
    part = dict(plane=[[0, 0], [1, 1]], labels=[0, 1], clusters=[0, 1], numbers=dict(plane=dict(nmi=0.5, nmi_permuted=0.2)))
    canvas = separability_planes.draw({(name, 'end'): part for name in 'abcdef'}, ['true'])
    assert canvas.axes.shape == (2, 4)
    assert [axes.get_title() for axes in canvas.axes.flat if axes.get_visible()] == [f'{name}, end' for name in 'abcdef']


def collapsed(model):
    model.backbone.patch_embed.projection.weight.zero_()


def diverged(model):
    model.backbone.blocks[1].mlp.fc1.weight.fill_(float('nan'))


@pytest.mark.parametrize('change, problem', [
    (collapsed, 'the same features for all 24 samples'), (diverged, 'features that are not finite')])
def test_a_run_without_numbers_is_a_gap_that_is_named(trained, tool, change, problem):
    bad = trained('bad', change=change)
    status, output, table = tool(f'good={trained()}', f'bad={bad}', '--at', 'end')
    assert status == 0 and f'bad, end of training: {problem}' in output and 'It is left out.' in output, output
    table = table.set_index('label')
    assert table.loc['bad', [*MEASURES]].isna().all(axis=None) and table.loc['good', [*MEASURES]].notna().all(axis=None)
    refused(tool(f'bad={bad}', '--at', 'end', out='alone'), problem, lines=2)


def test_of_a_gap_in_one_run_of_several_there_is_no_mean_and_the_run_is_named(trained, tool, tmp_path, monkeypatch):
    drawn, draw = [], separability_planes.draw
    monkeypatch.setattr(separability_planes, 'draw', lambda *args: drawn.append(draw(*args)) or drawn[0])
    bad, good = trained('bad', change=diverged), trained('good', seed=1)
    alone = trained('alone', seed=2, change=collapsed)
    status, output, _ = tool(f'one={bad}', f'one={good}', f'alone={alone}', '--at', 'end')
    assert status == 0 and f'one ({tmp_path}/bad.pth), end of training: features that are not finite' in output, output
    row = next(line for line in output.splitlines() if line.startswith('│ one '))
    assert [cell.strip()[0] for cell in row.split('│')[4:-1]] == ['2', '-', '-', '-', '-'], row
    titles = {axes.get_title(): bool(axes.collections) for axes in drawn[0].axes.flat if axes.get_visible()}
    assert titles == {'one, end\n(1 of 2 runs)': True, 'alone, end': False}, 'a gap has a panel'


def refused(result, *texts, lines=1):
    status, output, table = result
    assert status == 2 and table is None and len(output.strip().splitlines()) == lines, output
    assert all(text in output for text in texts), output


def test_too_few_images(trained, tool):
    refused(tool(trained(), '--at', 'end', '--max-samples', 3, perplexity=2, neighbours=2),
            'run, test split: 3 samples and 3 clusters, one for each class; expected more samples than that')
    refused(tool(f'{trained()}', '--at', 'end', perplexity=30), '24 samples and 30 for the perplexity of t-SNE')


def test_images_of_one_class(trained, tool):
    refused(tool(trained(), '--at', 'end', '--max-samples', 1), '1 samples of 1 class; expected two classes at least')


def test_labels_that_are_absent(trained, tool):
    refused(tool(trained(), '--at', 'end', '--cfg-options', 'test_dataloader.dataset.with_label=False'),
            'run: the test split has samples without a label')


def test_a_stage_that_is_none(trained, capfd):
    with pytest.raises(SystemExit):
        separability.main([trained(), '--stage', 'logits'])
    assert 'logits: expected the number of a block, backbone, neck or pre_logits' in capfd.readouterr().err


def test_without_scikit_learn_it_says_what_to_install(trained, tool, monkeypatch):
    monkeypatch.setitem(sys.modules, 'sklearn', None)
    refused(tool(trained()), 'scikit-learn is not installed', "pip install 'scikit-learn>=1.3'")


def test_the_command(trained, tmp_path):
    status, output = run_tool('analysis/separability.py', f'one={trained()}', '--at', 'end', '--perplexity', 5,
                              '--stage', '-2', '--colors', 'true', 'clusters', '--out', tmp_path / 'out')
    assert status == 0 and 'Separability by the true labels' in output, output
    assert (tmp_path / 'out' / 'separability.png').exists()
