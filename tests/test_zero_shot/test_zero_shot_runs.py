"""Zero-shot accuracy of a ShareLock on images: by tools/test.py, on one rank and on two, and in the validations of a run."""
import re

import pytest
from mmengine.config import Config

from lbbt_mm.files.run_records import read_records
from lbbt_mm.zero_shot.inferencer import ZeroShotInferencer
from tests.tiny_checkpoints import build_model
from tests.tiny_tokenizer import write_tokenizer
from tests.tiny_zero_shot import FOLDERS, write_zero_shot
from tests.tool_processes import run_ranks, run_tool


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return write_zero_shot(tmp_path_factory.mktemp('runs'))


def by_inferencer(folder, checkpoint):
    """Accuracy in percent."""
    paths = sorted((folder / 'photos').rglob('*.png'))
    found = [result['pred_label'] for result in ZeroShotInferencer(f'{folder}/zero_shot.py,{checkpoint}')(
        list(map(str, paths)))]
    labels = [sorted(FOLDERS).index(path.parent.name) for path in paths]
    return pytest.approx(100 * sum(map(int.__eq__, found, labels)) / len(labels), abs=1e-3)


def accuracy(output):
    return float(re.findall(r'accuracy/top1: ([0-9.]+)', output)[-1])


def test_it_is_the_share_of_images_that_are_nearest_to_their_classs_prototype(folder, tmp_path):
    given = folder / 'zero_shot.py', folder / 'sharelock.pth'
    returncode, output = run_tool('test.py', *given, '--work-dir', tmp_path / 'work')
    assert returncode == 0, output
    assert accuracy(output) == by_inferencer(folder, given[1]) and 0 < accuracy(output) < 100
    returncode, ranks = run_ranks('test.py', 2, *given, '--work-dir', tmp_path / 'ranks', '--cfg-options',
                                  f'model.zero_shot.cache={tmp_path / "cache"}')
    assert returncode == 0, ranks
    assert accuracy(ranks) == accuracy(output)
    assert sorted(path.name.split('-')[0] for path in (tmp_path / 'cache').iterdir()) == ['prompts', 'prototypes']


def test_validations_of_a_training_can_classify_images(folder, tmp_path):
    """The accuracy is that of the projection of the moment."""
    cfg = Config.fromfile(folder / 'zero_shot.py')
    cfg.val_dataloader, cfg.val_evaluator = cfg.test_dataloader, dict(type='Accuracy', topk=(1, ))
    cfg.default_hooks.checkpoint.update(save_best='accuracy/top1', rule='greater')
    cfg.custom_hooks = [dict(type='lbbt_mm.SeedingHook')]
    cfg.dump(tmp_path / 'run.py')
    returncode, output = run_tool('train.py', tmp_path / 'run.py', '--work-dir', tmp_path / 'work')
    assert returncode == 0, output
    found = {record['step']: record['accuracy/top1'] for record in read_records(tmp_path / 'work')['val']}
    assert len(found) == 4 and len(set(found.values())) > 1
    for step, value in found.items():
        assert value == by_inferencer(folder, tmp_path / 'work' / f'iter_{step}.pth')


def test_a_training_on_stores_need_not_name_the_frozen_models(folder, tmp_path):
    returncode, output = run_tool('train.py', folder / 'sharelock.py', '--work-dir', tmp_path / 'work')
    assert returncode == 0, output
    given = folder / 'zero_shot.py', tmp_path / 'work' / 'iter_3.pth', '--work-dir', tmp_path / 'test'
    returncode, output = run_tool('test.py', *given)
    assert returncode == 0 and accuracy(output) == by_inferencer(folder, given[1]), output
    build_model('llama', seed=1).save_pretrained(tmp_path / 'other')
    write_tokenizer(tmp_path / 'other')
    returncode, output = run_tool('test.py', *given, '--cfg-options', f'model.text.location={tmp_path / "other"}')
    assert returncode != 0 and 'model.text: the revision of its features is' in output.strip().splitlines()[-1], output


def test_a_training_that_names_them_is_tested_with_them(folder, tmp_path):
    options = '--cfg-options', 'model.text.pooling=last'
    returncode, output = run_tool('train.py', folder / 'zero_shot.py', '--work-dir', tmp_path / 'work', *options)
    assert returncode == 0, output
    returncode, output = run_tool('test.py', folder / 'zero_shot.py', tmp_path / 'work' / 'iter_3.pth', '--work-dir',
                                  tmp_path / 'test')
    assert returncode != 0 and 'model.text.pooling' in output.strip().splitlines()[-1], output


@pytest.mark.parametrize('options, message', [
    (['model.zero_shot.classes=[cat,dog]'], 'an image has the label 2, and zero_shot.classes has 2 names'),
    (['model.zero_shot.templates=photo'], "'photo' has no place for the name of a class"),
    (['model.zero_shot.classes=none.txt'], 'none.txt: no such file; expected a name of a class on each line'),
    (['model.vision.checkpoint=none.pth'], 'none.pth: no such checkpoint file'),
])
def test_what_does_not_fit_is_one_line(folder, tmp_path, options, message):
    returncode, output = run_tool('test.py', folder / 'zero_shot.py', folder / 'sharelock.pth', '--work-dir', tmp_path,
                                  '--cfg-options', *options)
    assert returncode != 0 and message in output.strip().splitlines()[-1], output
