"""Trained models for figures: what a command line names, the start and the end of a run, and images that stay the same."""
import argparse
from pathlib import Path

import pytest
import torch

from lbbt_mm.figures.features import labels_of
from lbbt_mm.figures.preprocessing import preprocess
from lbbt_mm.figures.trained import OpenedRun, Trained, open_runs, read_trained
from lbbt_mm.files.checkpoint_files import load_checkpoint_safely
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


def test_a_path_that_is_there_is_taken_as_it_stands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ('lr=0.001-seed0', 'a,b'):
        (tmp_path / name).mkdir()
        assert read_trained(name) == Trained(name, Path(name))
        assert read_trained(f'x={name}') == Trained('x', Path(name))
    for name in ('a=b,c.py', 'a=b,c.pth'):
        (tmp_path / name).touch()
    assert read_trained('a=b,c.py,a=b,c.pth') == Trained('a=b,c', Path('a=b,c.py'), Path('a=b,c.pth'))
    assert read_trained('x=a=b,c.py,a=b,c.pth') == Trained('x', Path('a=b,c.py'), Path('a=b,c.pth'))


@pytest.mark.parametrize('text', ['_x=run', '$x^$=run', 'runs/_x', 'c.py,$.pth'])
def test_labels_that_matplotlib_cannot_show_are_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match=r'begins with _ or has a \$.*LABEL='):
        read_trained(text)


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


def test_a_start_from_a_checkpoint(unmoved, tmp_path):
    whole = str(OpenedRun(read_trained(str(unmoved))).checkpoint)
    text, name = str(unmoved), 'backbone.patch_embed.projection.weight'
    state = {key: tensor + 1 for key, tensor in load_checkpoint_safely(whole)['state_dict'].items()}
    torch.save(dict(state_dict={f'module.{key}': tensor for key, tensor in state.items()}), tmp_path / 'from.pth')
    options = [f'load_from={tmp_path}/from.pth', 'randomness.seed=4']
    torch.testing.assert_close(OpenedRun(read_trained(text), options).at_start().state_dict(), state)
    fresh = OpenedRun(read_trained(text), options[1:]).at_start().state_dict()
    left = OpenedRun(read_trained(text), [*options, "leave_out=['head']"]).at_start().state_dict()
    for key, tensor in left.items():
        assert torch.equal(tensor, (fresh if key.startswith('head.') else state)[key]), key
    torch.save(dict(state_dict={name: state[name]}), tmp_path / 'from.pth')
    with pytest.raises(CheckpointMisfit, match=r"began from load_from=.*does not fit: it lacks .*leave_out=\['PART'\]"):
        OpenedRun(read_trained(text), options).at_start()


def test_a_start_without_what_the_command_line_left_out(unmoved, tmp_path):
    """The head fits, so that nothing but the run's own note tells that it began anew."""
    state = {key: tensor + 1 for key, tensor in OpenedRun(read_trained(str(unmoved))).at_end().state_dict().items()}
    torch.save(dict(state_dict=state), tmp_path / 'from.pth')
    run = OpenedRun(read_trained(str(train_bridge(
        unmoved.parent, f'load_from={tmp_path}/from.pth', 'optim_wrapper.optimizer.lr=1e-30', 'train_cfg.max_epochs=1',
        'train_cfg.val_interval=1', '--leave-out', 'head'))))
    start = run.at_start().state_dict()
    torch.testing.assert_close(start, run.at_end().state_dict(), rtol=0, atol=1e-25)
    for key, tensor in start.items():
        assert torch.equal(tensor, state[key]) != key.startswith('head.'), key


def test_a_resumed_run_began_as_its_folder_says(unmoved, tmp_path):
    whole = OpenedRun(read_trained(str(unmoved)))
    resumed = [f'load_from={tmp_path}/other.pth', 'resume=True']  # not there: it is not read
    start = OpenedRun(read_trained(str(unmoved)), resumed).at_start().state_dict()
    torch.testing.assert_close(start, whole.at_start().state_dict(), rtol=0, atol=0)
    whole.cfg.dump(tmp_path / 'run.py')
    moved = read_trained(f'{tmp_path}/run.py,{whole.checkpoint}')
    with pytest.raises(ValueError, match='resumes another run .* so its start is not known. Show its end alone'):
        OpenedRun(moved, resumed).at_start()


def test_a_state_dict_under_another_key(unmoved, tmp_path):
    run = OpenedRun(read_trained(str(unmoved)))
    state = run.at_end().state_dict()
    run.checkpoint = tmp_path / 'timm.pth'
    torch.save(dict(model=state, epoch=3), run.checkpoint)
    torch.testing.assert_close(run.at_end().state_dict(), state)


def test_a_run_that_is_named_twice_and_one_without_the_split(unmoved, tmp_path, monkeypatch):
    def opened(*runs, split='train', options=()):
        return open_runs(argparse.Namespace(runs=runs, split=split, cfg_options=list(options)))

    checkpoint = OpenedRun(read_trained(str(unmoved))).checkpoint
    assert len(opened(unmoved.as_posix())) == 1
    monkeypatch.chdir(unmoved.parent)
    for again in (f'other={unmoved.name}', f'{next(unmoved.glob("*.py"))},{checkpoint}'):
        with pytest.raises(ValueError, match=f'{again}: this run is named twice'):
            opened(str(unmoved), again)
    with pytest.raises(ValueError, match='has no other_dataloader. Give another split'):
        opened(str(unmoved), split='other')


def test_a_config_without_a_model_is_refused_first(tmp_path):
    (tmp_path / 'data.py').write_text('train_dataloader = dict(batch_size=2)\n')
    with pytest.raises(ValueError, match='data.py: has no model; expected the config of a run'):
        OpenedRun(Trained('a', tmp_path / 'data.py', tmp_path / 'none.pth'))


def test_another_model_is_said_before_a_seed_that_is_not_there(unmoved):
    run = OpenedRun(read_trained(str(unmoved)), ['model.head.num_classes=3', 'randomness.seed=None'])
    with pytest.raises(CheckpointMisfit, match='does not fit the model'):
        run.at_start()


def test_a_data_set_that_is_not_there(unmoved, tmp_path):
    run = OpenedRun(read_trained(str(unmoved)), [f'test_dataloader.dataset.data_root={tmp_path}/none'])
    with pytest.raises(FileNotFoundError, match=r'is not there: test_dataloader.dataset.data_root=\S+/none .*'
                       r'--cfg-options test_dataloader.dataset.data_root=PATH, or LBBT_DATA_ROOT'):
        next(run.images('test', 1, 1))


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
