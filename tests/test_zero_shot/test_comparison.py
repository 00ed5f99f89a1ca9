"""The comparison of language models as a whole, on pictures in miniature; and what it refuses before any work."""
import shutil
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch

from lbbt_mm.runs.training_process import TrainingProcess
from lbbt_mm.zero_shot import comparison
from lbbt_mm.zero_shot.compare_text_encoders import main, parse_args
from lbbt_mm.zero_shot.comparison import probes, read_data, train
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


def test_test_images_by_the_same_model_under_another_name(files):
    test = read(files).test_images
    features = test.rows(torch.arange(len(test)))
    shutil.rmtree(files.folder / 'test')
    write_store(files.folder / 'test', 'image', test.keys, features, model='renamed')
    assert read(files).test_images.index.model == 'renamed'


@pytest.fixture
def refused(files, capsys):
    """Runs the tool; what it refused with, before any feature was made."""
    (files.folder / 'out' / 'runs').mkdir(parents=True)

    def run(*more):
        status = main(files.arguments([f'tiny={files.language("llama")}'], *more))
        assert status in (1, 2) and not (files.folder / 'out' / 'stores').exists()
        return capsys.readouterr().err
    return run


@pytest.mark.parametrize('fresh', [[], ['--fresh']])
def test_all_folders_are_looked_at_before_one_is_touched(files, refused, fresh):
    first, last = (files.folder / 'out' / 'runs' / f'tiny-sharelock-seed{seed}' for seed in (0, 2))
    for folder, text in ((first, '{"id": "x", "config": {}, "options": []}'), (last, '{"mine": 1}')):
        folder.mkdir()
        (folder / 'request.json').write_text(text)
    assert f'{last}/request.json was not written by a run of lbbt_mm' in refused(*fresh)
    assert (first / 'request.json').exists()


def test_settings_are_looked_at_before_features_are_made(refused):
    said = refused('--cfg-options', 'default_hooks.checkpoint.save_best=accuracy/top1')
    assert 'the validation has no such metric' in said


def test_a_report_of_no_runs(files, refused):
    (files.folder / 'out' / 'runs').rmdir()
    (files.folder / 'out').rmdir()
    assert 'has no runs of this comparison. Leave --report-only out' in refused('--report-only')
    assert not (files.folder / 'out').exists()


@pytest.mark.parametrize('content, says', [(b'\xff\x00', 'words.txt: is no text in UTF-8'),
                                           (b'', 'the text has 0 tokens to be predicted; expected one at least')])
def test_a_text_that_does_not_do_is_refused_before_features_and_trainings(files, refused, content, says):
    (files.folder / 'words.txt').write_bytes(content)
    run = files.folder / 'out' / 'runs' / 'tiny-sharelock-seed0'
    run.mkdir()
    said = refused('--text', files.folder / 'words.txt', '--fresh')
    assert says in said and run.exists()


def test_commands_are_shown_without_reading_the_text(files, capsys, monkeypatch):
    monkeypatch.setattr(comparison.LanguageModel, 'loss', None)
    text = files.folder / 'text.txt'
    assert main(files.arguments([f'tiny={files.language("llama")}'], '--text', text, '--dry-run')) == 0
    assert '# trainings: 3, done: 0' in capsys.readouterr().out


def test_commands_are_shown_without_features(files, capsys):
    command = files.arguments([f'tiny={files.language("llama")}'], '--seeds', 0, 1, '--baselines', 'random', '--dry-run',
                              '--gpus-per-training', 2)
    assert main(command) == 0
    *commands, last = capsys.readouterr().out.splitlines()
    assert [Path(line.split(' --work-dir ')[1].split()[0]).name for line in commands] == [
        'tiny-sharelock-seed0', 'tiny-sharelock-seed1', 'random-sharelock-seed0', 'random-sharelock-seed1']
    assert all('--nproc_per_node=2' in line for line in commands) and last == '# trainings: 4, done: 0'
    assert not (files.folder / 'out').exists()


def test_each_training_gets_gpus_of_its_own(files, monkeypatch):
    pools = []
    monkeypatch.setattr(comparison, 'check_datasets', lambda cfg: None)
    monkeypatch.setattr(comparison, 'TrainingPool', lambda *given, **more: pools.append(given) or SimpleNamespace(run=list))
    args = parse_args(files.arguments(['tiny=x'], '--gpus', '0,1,2,3', '--gpus-per-training', 2))
    train([SimpleNamespace(request=dict(config={}), status='missing', work_dir=Path('a'))], args, None)
    assert pools == [(2, ['0,1', '2,3'])] and args.processes == 2


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
    for more in ([], ['--report-only']):
        assert main([*command, *more]) == 0
        pd.testing.assert_frame_equal(pd.read_csv(out / 'results.csv'), results)
