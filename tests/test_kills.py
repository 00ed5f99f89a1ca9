"""A training that is killed while it writes, wherever that is, goes on to the files of one that was not."""
import shutil
from pathlib import Path
from typing import Dict, List, Optional

import pytest
import torch
from mmengine.config import Config

from lbbt_mm.files.run_records import read_records
from lbbt_mm.files.safe_checkpoints import load_checkpoint_safely
from tests import tiny_detection, tiny_segmentation
from tests.image_folders import write_image_folder
from tests.tiny_checkpoints import CONFIGS
from tests.tool_processes import REPO, run_tool

KILLED = '../tests/killed_training.py'


def detection(root: Path) -> Config:
    data = tiny_detection.write_dataset(root / 'data', 8, 2)
    cfg = tiny_detection.run_config(data, language=dict(arm='random'))
    cfg.train_cfg.update(max_epochs=2, val_interval=1)
    return cfg


def segmentation(root: Path) -> Config:
    data = tiny_segmentation.write_dataset(root / 'data', 8, 2)
    cfg = tiny_segmentation.run_config(data, language=dict(arm='random'))
    cfg.train_cfg.update(max_iters=4, val_interval=2)
    cfg.default_hooks.checkpoint.interval = 2
    return cfg


def classification(root: Path) -> Config:
    for split in ('train', 'test'):
        write_image_folder(root / 'data' / split, dict(cat=8, dog=8), size=8)
    cfg = Config.fromfile(REPO / 'configs' / 'small' / 'bridge_gpt2_imagefolder.py')
    cfg.model.backbone.update(img_size=8, patch_size=4, language=dict(config=CONFIGS['gpt2'], arm='random', blocks='0:2'))
    cfg.model.head.num_classes = cfg.data_preprocessor.num_classes = 2
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.update(num_workers=0, persistent_workers=False, batch_size=8)
        loader.dataset.num_samples = 16
        loader.dataset.dataset.data_root = str(root / 'data')
        loader.dataset.dataset.pipeline = [
            dict(step, scale=(8, 8)) if step.type == 'Resize' else step for step in loader.dataset.dataset.pipeline]
    cfg.train_dataloader.dataset.dataset.pipeline[0].update(num_classes=2, data_root=str(root / 'data'))
    cfg.pop('test_dataloader'), cfg.pop('test_evaluator'), cfg.pop('test_cfg')
    cfg.train_cfg.update(max_epochs=2, val_interval=1)
    cfg.val_cfg.update(num_train_samples=16, fp16=False)
    cfg.param_scheduler = None
    return cfg


TASKS = dict(classification=classification, detection=detection, segmentation=segmentation)


def prepare(task: str, root: Path, keep: int) -> Path:
    """Write data and config of a training of two saved steps, each followed by a validation with a new best."""
    cfg = TASKS[task](root)
    cfg.custom_imports = dict(imports=['tests.progress_metric'])
    evaluators = cfg.val_evaluator if isinstance(cfg.val_evaluator, list) else [cfg.val_evaluator]
    cfg.val_evaluator = [*evaluators, dict(type='mmengine.ProgressMetric')]
    best = 'test/progress' if task == 'classification' else 'progress'
    cfg.default_hooks.checkpoint.update(max_keep_ckpts=keep, save_best=best, rule='greater')
    cfg.dump(root / 'run.py')
    return root / 'run.py'


def events_of(config: Path, work_dir: Path, last: int, *arguments) -> List[str]:
    """Train until the event ``last``, or to the end; returns what happened until then."""
    events = work_dir.with_suffix('.events')
    returncode, output = run_tool(KILLED, last, events, config, '--work-dir', work_dir, *arguments)
    assert returncode == (9 if last else 0), output
    return events.read_text().split('\n')


def left_behind(work_dir: Path) -> Dict[str, Dict[str, torch.Tensor]]:
    assert not list(work_dir.glob('*.part'))
    return {path.name: load_checkpoint_safely(path)['state_dict'] for path in work_dir.glob('*.pth')}


def assert_same(work_dir: Path, whole: Path, where: str) -> None:
    ours, theirs = left_behind(work_dir), left_behind(whole)
    assert ours.keys() == theirs.keys(), where
    for name, state in theirs.items():
        assert [key for key in state if not torch.equal(state[key], ours[name][key])] == [], (where, name)
    last = [Path((folder / 'last_checkpoint').read_text()).name for folder in (work_dir, whole)]
    assert last[0] == last[1], where
    records = [[(record['step'], record.get('progress', record.get('test/progress')))
                for record in read_records(folder)['val']] for folder in (work_dir, whole)]
    assert records[0] == records[1], where


def resume(config: Path, work_dir: Path, where: str) -> None:
    returncode, output = run_tool('train.py', config, '--work-dir', work_dir, '--resume')
    assert returncode == 0, f'{where}\n{output}'


def kill_everywhere(config: Path, root: Path, start: Optional[Path] = None) -> None:
    """Kill at each event of a training, or of one that goes on from the folder ``start``; resume, and compare."""
    arguments = ['--resume'] if start else []

    def begin(name: str) -> Path:
        folder = root / name
        shutil.rmtree(folder, ignore_errors=True)
        return shutil.copytree(start, folder) if start else folder

    events = events_of(config, begin('rest'), 0, *arguments)
    for number, what in enumerate(events, 1):
        work_dir = begin('killed')
        assert events_of(config, work_dir, number, *arguments)[-1] == what
        resume(config, work_dir, what)
        assert_same(work_dir, root / 'whole', what)


@pytest.mark.slow
@pytest.mark.parametrize('keep', [1, 2])
def test_classification_killed_at_every_step_of_writing(tmp_path, keep):
    config = prepare('classification', tmp_path, keep)
    events_of(config, tmp_path / 'whole', 0)
    kill_everywhere(config, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize('task', ['detection', 'segmentation'])
def test_the_other_tasks_killed_at_every_step_of_their_second_save(tmp_path, task):
    """The first save is that of the classifier; here one is replaced."""
    config = prepare(task, tmp_path, 1)
    events = events_of(config, tmp_path / 'whole', 0)
    begin = ('half of epoch_2.pth', 'half of iter_4.pth')
    second = next(number for number, what in enumerate(events, 1) if what in begin)
    events_of(config, tmp_path / 'start', second)
    kill_everywhere(config, tmp_path, tmp_path / 'start')


@pytest.mark.slow
def test_killed_between_the_record_of_the_best_score_and_its_checkpoint(tmp_path):
    """The most that one kill can lose; the slow tests have all others."""
    config = prepare('classification', tmp_path, 1)
    events = events_of(config, tmp_path / 'whole', 0)
    assert {what.split(' ')[0] for what in events} == {'half', 'before', 'after'}
    assert any('removal' in what for what in events)
    number = 1 + max(number for number, what in enumerate(events) if what == 'after the record of a validation')
    events_of(config, tmp_path / 'killed', number)
    assert not list((tmp_path / 'killed').glob('best_*_epoch_2.pth'))
    resume(config, tmp_path / 'killed', events[number - 1])
    assert_same(tmp_path / 'killed', tmp_path / 'whole', events[number - 1])
