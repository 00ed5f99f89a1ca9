"""tools/analysis/mutual_knn.py: its numbers are those of the blocks' features, and it recommends no more than they show."""
import argparse

import pandas as pd
import pytest
import torch

from lbbt_mm.analysis.mutual_knn import LayerPairs, average, clamp_level, nearest_neighbours, prepare
from lbbt_mm.analysis.permutation import calibrate
from lbbt_mm.figures import mutual_knn, mutual_knn_maps
from lbbt_mm.figures.block_features import read_block_features
from lbbt_mm.figures.trained import OpenedRun, read_trained
from lbbt_mm.language.text_files import find_text_model
from lbbt_mm.language.text_model import TextModel
from tests.tiny_checkpoints import build_model
from tests.tiny_runs import write_images, write_run
from tests.tiny_tokenizer import WORDS, write_tokenizer
from tests.tool_processes import run_tool

CAPTIONS = [f'a {WORDS[7 + number % 6]} {WORDS[20 + number % 23]}' for number in range(24)]


@pytest.fixture
def trained(tmp_path, folders):
    images = write_images(tmp_path / 'images')
    return lambda name='run', images=images, **options: write_run(tmp_path, images, folders['gpt2'], name, **options)


@pytest.fixture
def language(tmp_path):
    def write(name='llama', **options):
        build_model(name, **options).save_pretrained(tmp_path / name)
        return write_tokenizer(tmp_path / name)
    return write


@pytest.fixture
def captions(tmp_path):
    (tmp_path / 'captions.txt').write_text('\n'.join(CAPTIONS))
    return tmp_path / 'captions.txt'


@pytest.fixture
def tool(figure):
    """Runs the tool; returns its exit status, what it printed, and its numbers."""
    return lambda *arguments, out='out', neighbours=4, permutations=19: figure(
        mutual_knn, *arguments, '--neighbours', neighbours, '--permutations', permutations, out=out)


def matrix(table, name):
    return torch.tensor(table.pivot(index='language_block', columns='vision_block', values=name).to_numpy())


@pytest.mark.parametrize('clamp, quantile, normalise, last', [
    ('samples', 0.95, 'unit', 'output'), ('tensor', 0.8, 'unit', 'normed'), ('none', 0.95, 'none', 'output')])
def test_numbers_are_those_of_the_features(trained, language, captions, tool, tmp_path, clamp, quantile, normalise, last):
    run, folder = trained(), language()
    of_clamp = [] if clamp == 'none' else ['--quantile', quantile]
    status, output, table = tool(run, '--language', f'tiny={folder}', '--captions', captions, '--clamp', clamp, *of_clamp,
                                 '--normalise', normalise, '--last-block', last, '--seed', 3)
    assert status == 0, output
    opened, model = OpenedRun(read_trained(run)), TextModel(find_text_model(str(folder)))
    text = model.read(model.encode(CAPTIONS), last=last)
    vision = read_block_features(opened.at_end(), opened.images('test', 1000, 24), 'mean', 'run')
    near = []
    for features in (text, vision):
        level = clamp_level(list(features), quantile, clamp)
        near.append([nearest_neighbours(prepare(layer, level, normalise == 'unit'), 4) for layer in features])
    pairs = LayerPairs(*near)
    expected = calibrate(pairs.scores, 24, 19, 3)
    for name, values in (('score', expected.scores), ('p', expected.p_values), ('calibrated', expected.calibrated()),
                         ('null_mean', expected.null_mean), ('null_std', expected.null_std)):
        torch.testing.assert_close(matrix(table, name), values, msg=name)
    assert set(table.chance) == {4 / 23} and len(table) == 16
    for ending in ('png', 'pdf'):
        assert (tmp_path / 'out' / f'mutual_knn.{ending}').stat().st_size > 1000
    models = pd.read_csv(tmp_path / 'out' / 'mutual_knn_models.csv').iloc[0]
    assert (models.language_block, models.vision_block) == expected.best and models.permutations == 19
    assert models.language_parameters == sum(map(torch.numel, build_model('llama').model.parameters()))
    assert f'{expected.scores.max():.4f} ({expected.calibrated().max():.4f}, p {expected.p_values.min():.3g})' in output


def test_images_of_a_class_are_averaged(trained, language, tool, tmp_path):
    run, folder = trained(), language()
    (tmp_path / 'names.txt').write_text('red_cat\ndog\ngreen bird\n')
    status, output, table = tool(run, '--language', folder, '--template', 'the {} runs', '--clamp', 'none', '--class-names',
                                 tmp_path / 'names.txt', neighbours=1)
    assert status == 0 and "24 images with captions such as 'the red cat runs'" in output, output
    assert '3 are different, and images with the same one are averaged' in output.replace('\n', ' ')
    opened, model = OpenedRun(read_trained(run)), TextModel(find_text_model(str(folder)))
    text = model.read(model.encode(['the red cat runs', 'the dog runs', 'the green bird runs']))
    vision = read_block_features(opened.at_end(), opened.images('test', 1000, 24), 'mean', 'run')
    groups = torch.arange(3).repeat_interleave(8)
    near = [[nearest_neighbours(prepare(layer), 1) for layer in layers]
            for layers in (text, [average(layer, groups) for layer in vision])]
    torch.testing.assert_close(matrix(table, 'score'), LayerPairs(*near).scores())


def test_twins_tell_nothing_of_the_language_model(trained, language, tool, tmp_path):
    """And the output says so: the same score for all blocks of all language models."""
    (tmp_path / 'names.txt').write_text('red cat\ndog\ngreen bird\n')
    options = ['--duplicates', 'share', '--class-names', tmp_path / 'names.txt', '--language',
               *(f'{name}={language(name)}' for name in ('llama', 'gpt2'))]
    status, output, table = tool(trained(), *options)
    assert status == 0 and '24 of 24 samples have 4 or more others with the very same caption' in output, output
    assert 'samples with the same one share the places of neighbours' in output.replace('\n', ' ')
    assert output.count('nothing is to be recommended. Of 100% of the samples all neighbours have the very same') == 2
    assert (table.groupby('vision_block').score.nunique() == 1).all() and table.vision_block.nunique() == 4
    status, output, table = tool(trained('two'), *options, out='two', neighbours=9)
    assert 'very same caption' not in output and (table.groupby('vision_block').score.nunique() > 1).any()


def test_what_is_done_is_not_done_again(trained, language, captions, tool, monkeypatch):
    calls = []
    for name in ('_see', '_read'):
        original = getattr(mutual_knn_maps, name)
        monkeypatch.setattr(mutual_knn_maps, name, lambda *args, name=name, original=original: (
            calls.append(name) or original(*args)))
    arguments = (trained(), '--language', f'tiny={language()}', '--captions', captions)
    first = tool(*arguments)[2]
    assert tool(*arguments)[2].equals(first) and calls == ['_see', '_read']
    assert not tool(*arguments, '--seed', 1, permutations=30)[2].equals(first) and len(calls) == 2
    language()
    tool(*arguments, '--language', f'other={language("gpt2")}')
    assert calls[2:] == ['_read', '_read'], 'the first one is another file now'
    tool(*arguments, neighbours=5)
    assert calls[4:] == ['_see', '_read'], 'another question'
    captions.write_text('\n'.join(CAPTIONS[::-1]))
    tool(*arguments, neighbours=5)
    assert calls[6:] == ['_see', '_read'], 'other captions'


def refused(result, *texts):
    status, output, table = result
    lines = [line for line in output.strip().splitlines() if 'images with captions such as' not in line]
    assert status == 2 and table is None and len(lines) == 1, output
    assert all(text in output for text in texts), output


@pytest.mark.parametrize('options, texts', [
    ([], ('run: 3 different captions of 24 images, and 4 nearest neighbours of each; expected 5 or more', '(--neighbours)')),
    (['--max-samples', 3, '--duplicates', 'share'], ('run: 3 images with captions, and 4 nearest neighbours', )),
    (['--tokens', 'class', '--duplicates', 'share'], ('run: its LLMBackbone has no class token', )),
    (['--class-names', 'same.txt', '--duplicates', 'share'], ("run: all images have the caption 'a photo of a cat'", ))])
def test_samples_that_do_not_do(trained, language, tool, tmp_path, monkeypatch, options, texts):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'same.txt').write_text('cat\ncat\ncat\n')
    refused(tool(trained(), '--language', f'tiny={language()}', *options), *texts)


def test_runs_with_other_captions(trained, language, tool, tmp_path):
    other = trained('other', write_images(tmp_path / 'fewer', each=6))
    refused(tool(f'a={trained()}', f'b={other}', '--language', language(), neighbours=2),
            'b: its images have other captions than those of a; expected the same for all models of a table')


def test_a_language_model_without_a_tokenizer_is_refused_first(trained, folders, tool, monkeypatch):
    monkeypatch.setattr(mutual_knn_maps, 'open_runs', lambda args: pytest.fail('work has begun'))
    refused(tool(trained(), '--language', folders['gpt2']), 'has no tokenizer (none of tokenizer.json')


@pytest.mark.parametrize('arguments, message', [
    (['--language', 'a=x', 'a=y'], '--language: a is there twice. Give names that differ: LABEL=MODEL'),
    (['--language', 'x', '--template', 'a photo'], 'has no place for the name of a class'),
    (['--language', 'x', '--captions', '/nowhere.txt'], '/nowhere.txt: no such file'),
    (['--language', 'x', '--quantile', '1.5'], '1.5: expected a number above 0 and up to 1'),
    (['--language', '_a=x'], "the label '_a' begins with _"),
    (['--language', ''], 'expected a folder, a GGUF file or a hub id'),
    (['--language', 'x', '--permutations', '18'], '--permutations: 18: expected a whole number, 19 or more; with fewer, p'),
    (['--language', 'x', '--captions', __file__, '--class-names', __file__], 'expected one of them'),
    (['--language', 'x', '--captions', __file__, '--template', 'x {}'], "--template 'x {}': is for names of classes"),
    (['--language', 'x', '--clamp', 'none', '--quantile', '0.5'], '--quantile 0.5: nothing reads it with --clamp none'),
    ([], '--language')])
def test_command_lines_that_do_not_do(arguments, message, capsys):
    with pytest.raises(SystemExit):
        mutual_knn.parse_args(['run', *arguments])
    said = capsys.readouterr().err
    assert message in said and len(said.splitlines()) == 1


def test_a_template_s_slot_is_written_as_clip_benchmark_does_too():
    assert mutual_knn.parse_args(['run', '--language', 'x', '--template', 'a {c}, {c}']).template == 'a {}, {}'


def test_language_models_have_the_names_of_their_files():
    found = mutual_knn.parse_args(['run', '--language', 'owner/name', '/models/a.gguf', 'b=/models/a.gguf']).language
    assert found == [('name', 'owner/name'), ('a.gguf', '/models/a.gguf'), ('b', '/models/a.gguf')]
    assert isinstance(mutual_knn.parse_args(['run', '--language', 'x']), argparse.Namespace)


def test_the_command(trained, language, captions, tmp_path):
    status, output = run_tool('analysis/mutual_knn.py', f'a={trained()}', f'a={trained("two", seed=1)}', '--language',
                              f'tiny={language()}', f'other={language("gpt2", seed=1)}', '--captions', captions,
                              '--neighbours', 3, '--permutations', 19, '--out', tmp_path / 'out')
    assert status == 0 and 'The best score over all pairs of blocks' in output and 'a, run 1: ' in output, output
    assert 'no special token is in front' in output and (tmp_path / 'out' / 'mutual_knn.png').exists()


@pytest.mark.parametrize('arguments, template, quantile', [
    ([], 'a photo of a {}', 0.95), (['--template', 'the {}', '--quantile', '0.5'], 'the {}', 0.5),
    (['--captions', __file__, '--clamp', 'none'], 'a photo of a {}', 0.95)])
def test_what_is_not_said_is_as_published(arguments, template, quantile):
    args = mutual_knn.parse_args(['run', '--language', 'x', *arguments])
    assert (args.template, args.quantile) == (template, quantile)
