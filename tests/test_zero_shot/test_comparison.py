"""The comparison of language models as a whole, on pictures in miniature; and what it refuses before any work."""
import shutil

import pandas as pd
import pytest
import torch

from lbbt_mm.runs.training_process import TrainingProcess
from lbbt_mm.zero_shot.compare_text_encoders import main, parse_args
from lbbt_mm.zero_shot.comparison import probes, read_data
from tests.feature_stores import write_store
from tests.tiny_comparison import FEW_STEPS, write_comparison


@pytest.fixture
def files(tmp_path):
    return write_comparison(tmp_path)


def read(files, *more):
    return read_data(parse_args(files.arguments(['llama'], *more)))


def test_what_all_models_are_compared_on(files):
    data = read(files)
    assert len(data.images) == len(data.texts.captions) == 36 and len(data.test_images) == 45
    task, = data.tasks
    assert task.name == 'nouns' and task.labels.bincount().tolist() == [9, 9, 27]
    assert [text for _, text in data.texts.prompts] == ['a red cat', 'a red dog', 'a red bird'] and not data.texts.probe
    more = read(files, '--probe-captions', files.folder / 'test.csv', '--baselines', 'linear_probe')
    assert len(more.texts.probe) == 45


def test_captions_of_other_images(files):
    shutil.copy(files.folder / 'test.csv', files.folder / 'train.csv')
    with pytest.raises(ValueError, match='names 45 images, and .*train has 36; expected the same ones in the same order'):
        read(files)


def test_test_images_by_another_model(files):
    shutil.rmtree(files.folder / 'test')
    write_store(files.folder / 'test', 'image', ['1.png'], torch.randn(1, 6), revision='2')
    with pytest.raises(ValueError, match="has revision '2', and .* has '1'; expected features by one vision model"):
        read(files)


def test_a_folder_of_others_is_left_alone(files, capsys):
    (files.folder / 'out').mkdir()
    (files.folder / 'out' / 'results.csv').write_text('mine')
    assert main(files.arguments([files.language('llama')])) == 2
    assert 'was not written by a run of ours' in capsys.readouterr().err
    assert (files.folder / 'out' / 'results.csv').read_text() == 'mine'


def test_a_task_with_one_image_a_class_has_no_probe(files, capsys):
    data = read(files)
    task, = data.tasks
    single = task._replace(name='single', rows=task.rows[:3], labels=torch.arange(3))
    scores = probes({}, data._replace(tasks=[task, single, single._replace(name='other')]))
    assert [(score.model, score.method, score.task) for score in scores] == [('images', 'linear probe', 'nouns')]
    said, = capsys.readouterr().out.splitlines()
    assert said.startswith('single, other: no linear probe: class') and 'has one sample' in said


@pytest.mark.slow
def test_models_and_baselines_are_trained_once(files, capsys, monkeypatch):
    models = [f'{label}={files.language(name)}' for label, name in dict(one='llama', two='gpt2', three='qwen2').items()]
    command = files.arguments(
        models, '--seeds', 0, '--baselines', 'random', 'lit', 'asif', 'linear_probe', '--text', files.folder / 'text.txt',
        '--probe-captions', files.folder / 'test.csv', '--permutations', 19, '--neighbours', 3, '--cfg-options', *FEW_STEPS)
    assert main(command) == 0, capsys.readouterr().err
    out = files.folder / 'out'
    results = pd.read_csv(out / 'results.csv')
    assert (results.status == 'finished').all() and results.accuracy.between(0, 1).all()
    expected = {(model, method) for model in ('one', 'two', 'three')
                for method in ('ShareLock', 'lit', 'asif', 'linear probe of captions')}
    assert set(zip(results.model, results.method)) == expected | {('random', 'ShareLock'), ('images', 'linear probe')}
    assert results[results.model == 'images'].accuracy.item() > 0.9, 'features are sums of vectors of words'
    summary = pd.read_csv(out / 'summary.csv')
    assert summary[summary.kind == 'decoder'].bits_per_byte.nunique() == 3 and (out / 'scatter.png').exists()
    assert len(pd.read_csv(out / 'correlations.csv')) >= 1
    monkeypatch.setattr(TrainingProcess, 'run', None)  # nothing is left to be trained
    assert main(command) == 0
    pd.testing.assert_frame_equal(pd.read_csv(out / 'results.csv'), results)
