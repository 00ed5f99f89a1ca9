"""Trained runs that several tests look at: each is made once a session, by tools/train.py in a process of its own."""
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.tiny_detection import augmentation, run_config, write_dataset
from tests.tool_processes import run_tool


class Run(NamedTuple):
    """A finished training run.

    Attributes:
        config: The config file that was given to tools/train.py.
        language: Folder of its language model, which is gone by now.
        work_dir: Its work directory.
        output: What it printed.
    """
    config: Path
    language: Path
    work_dir: Path
    output: str

    @property
    def dumped(self) -> Path:
        """The config in the work directory, which does not need the language model."""
        return self.work_dir / self.config.name

    def checkpoint(self, epoch: int) -> Path:
        return self.work_dir / f'epoch_{epoch}.pth'


@pytest.fixture(scope='session')
def data(tmp_path_factory) -> Path:
    """A data set of 12 + 5 images."""
    return write_dataset(tmp_path_factory.mktemp('data') / 'rectangles')


@pytest.fixture(scope='session')
def random_config(data):
    """Makes a config of six epochs that draws random numbers wherever it can: augmentation, dropout, drop path."""

    def make(language: Path, **overrides):
        return run_config(
            data, language=dict(checkpoint=str(language), config=None), model__proj_drop=0.1, model__attn_drop=0.1,
            model__drop_path_rate=0.1, train_cfg__max_epochs=6,
            train_dataloader=dict(num_workers=1, persistent_workers=True, dataset=dict(pipeline=augmentation())),
            **overrides)

    return make


@pytest.fixture(scope='session')
def trained(tmp_path_factory, folders, random_config) -> Run:
    """Six epochs on blocks of a Llama-like model whose config was read from its checkpoint."""
    return _train(tmp_path_factory.mktemp('trained'), folders['llama'], random_config)


@pytest.fixture(scope='session')
def learned(tmp_path_factory, folders, data) -> Run:
    """Fifty epochs with every flag of tools/train.py, tested on the training images, which it has learnt by then."""

    def config(language: Path):
        cfg = run_config(data, train_cfg__max_epochs=50, train_cfg__val_interval=50,
                         default_hooks__checkpoint__interval=50, optim_wrapper__optimizer__lr=4e-3,
                         optim_wrapper__clip_grad__max_norm=0.5)
        for loader in (cfg.val_dataloader, cfg.test_dataloader):
            loader.dataset.update(ann_file='annotations/instances_train2017.json', data_prefix=dict(img='train2017/'))
        for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
            evaluator.ann_file = f'{data}/annotations/instances_train2017.json'
        return cfg

    folder = tmp_path_factory.mktemp('learned')
    return _train(folder, folders['gpt2'], config, '--amp', '--auto-scale-lr', '--cfg-options',
                  f"model.language.checkpoint={folder / 'language'}", 'model.language.config=None')


def _train(folder: Path, language: Path, config, *arguments) -> Run:
    shutil.copytree(language, folder / 'language')
    config(folder / 'language').dump(folder / 'run.py')
    returncode, output = run_tool('train.py', folder / 'run.py', '--work-dir', folder / 'work', *arguments)
    assert returncode == 0, output
    shutil.rmtree(folder / 'language')
    return Run(folder / 'run.py', folder / 'language', folder / 'work', output)
