"""Trained models for figures: what a command line names, the start and the end of a run, and images that stay the same."""
import argparse
from pathlib import Path

import pytest
import torch

from lbbt_mm.figures.trained import OpenedRun, Trained, labels_of, preprocess, read_trained
from lbbt_mm.files.checkpoint_fit import CheckpointMisfit
from tests.test_figures.trained_bridge import train_bridge


@pytest.fixture(scope='module')
def unmoved(tmp_path_factory) -> Path:
    """A run whose learning rate moves nothing, so that its end is its start."""
    return train_bridge(tmp_path_factory.mktemp('unmoved'), 'optim_wrapper.optimizer.lr=1e-30', 'train_cfg.max_epochs=1',
                        'train_cfg.val_interval=1')


@pytest.mark.parametrize('text, found', [
    ('runs/language', Trained('language', Path('runs/language'))),
    ('a=runs/x=1', Trained('a', Path('runs/x=1'))),
    ('runs/x=1', Trained('x=1', Path('runs/x=1'))),
    ('a=c.py,epoch_1.pth', Trained('a', Path('c.py'), Path('epoch_1.pth'))),
    ('c.py,epoch_1.pth', Trained('epoch_1', Path('c.py'), Path('epoch_1.pth')))])
def test_what_a_command_line_names(text, found):
    assert read_trained(text) == found


@pytest.mark.parametrize('text', ['', 'c.py', 'runs/x,epoch_1.pth'])
def test_a_config_without_a_checkpoint_and_a_folder_with_one_are_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match='expected the folder of a run, or CONFIG.py,CHECKPOINT.pth'):
        read_trained(text)


def test_the_start_is_the_run_s_own(unmoved):
    run = OpenedRun(read_trained(str(unmoved)))
    start, end = run.at_start().state_dict(), run.at_end().state_dict()
    assert start.keys() == end.keys()
    for name, tensor in start.items():
        torch.testing.assert_close(tensor, end[name], rtol=0, atol=1e-25, msg=name)
    other = OpenedRun(read_trained(str(unmoved)), ['randomness.seed=4']).at_start().state_dict()
    assert not torch.equal(other['backbone.patch_embed.projection.weight'],
                           end['backbone.patch_embed.projection.weight']), 'it depends on the seed'


def test_a_run_without_a_seed_has_no_known_start(unmoved):
    run = OpenedRun(read_trained(str(unmoved)), ['randomness.seed=None'])
    with pytest.raises(ValueError, match='has no randomness.seed, so its start was drawn anew and is not known'):
        run.at_start()


def test_images_are_the_same_each_time_and_labels_those_of_training(unmoved):
    run = OpenedRun(read_trained(str(unmoved)))
    first, again = ([(images, labels_of(samples)) for images, samples in run.images('train', 8, 3)] for _ in range(2))
    assert [len(labels) for _, labels in first] == [3, 3, 2]
    for (images, labels), (images_again, labels_again) in zip(first, again):
        assert all(map(torch.equal, images, images_again)) and torch.equal(labels, labels_again)
    images, samples = next(run.images('test', 100, 100))
    assert len(samples) == 4, 'a data set with fewer is taken whole'
    prepared = preprocess(run.at_end(), images, samples)
    assert len(prepared['inputs']) == 4 and prepared['inputs'].dtype == torch.float32, 'stacked and normalised'


def test_what_cannot_be_opened(unmoved, tmp_path):
    with pytest.raises(FileNotFoundError, match='holds no run; expected a config that tools/train.py wrote there'):
        OpenedRun(Trained('a', tmp_path))
    run = OpenedRun(read_trained(str(unmoved)), ['model.head.num_classes=3'])
    with pytest.raises(CheckpointMisfit, match=r'does not fit the model .*head.fc.weight.*Give the config that it was'):
        run.at_end()
    with pytest.raises(ValueError, match='its config has no other_dataloader. Give another split'):
        next(run.images('other', 1, 1))
