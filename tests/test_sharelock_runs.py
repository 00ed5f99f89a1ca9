"""ShareLock in whole runs: trained, stopped early, resumed, on two ranks, tested."""
import re
import shutil

import pytest
import torch

from lbbt_mm.files.checkpoint_files import load_checkpoint_safely
from lbbt_mm.files.run_records import read_records
from tests.closeness import assert_close
from tests.feature_stores import spoil
from tests.tiny_sharelock import run_config
from tests.tool_processes import run_ranks, run_tool, run_tool_apart


def train(folder, cfg, *arguments, ranks=1):
    cfg.dump(folder / 'run.py')
    arguments = folder / 'run.py', *arguments, '--work-dir', folder / 'work'
    returncode, output = run_tool('train.py', *arguments) if ranks == 1 else run_ranks('train.py', ranks, *arguments)
    assert returncode == 0, output
    return folder / 'work'


def weights(work, iteration=12):
    return load_checkpoint_safely(work / f'iter_{iteration}.pth')['state_dict']


def losses(work):
    return [record['loss'] for record in read_records(work)['train']]


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp('run')
    return train(folder, run_config(folder / 'data'))


def test_training_lowers_the_loss_and_validates(trained):
    records = read_records(trained)
    assert losses(trained)[-1] < losses(trained)[0] - 1
    assert [record['step'] for record in records['val']] == [3, 6, 9, 12]
    best = min(records['val'], key=lambda record: record['pair/loss'])
    assert (trained / f"best_pair_loss_iter_{best['step']}.pth").is_file()


def test_a_checkpoint_has_what_trains_and_no_frozen_model(trained):
    found = load_checkpoint_safely(trained / 'iter_12.pth')
    assert {name.split('.')[0] for name in found['state_dict']} == {'text_projection', 'pair_loss'}
    trains = [name for name in found['state_dict'] if name.endswith(('weight', 'bias'))]
    assert len(found['optimizer']['state']) == len(trains)


def test_a_resumed_run_is_the_same_run(trained, tmp_path):
    """Captions, order and dropout go on where it was stopped, with any number of workers."""
    whole, expected = weights(trained), losses(trained)
    shutil.copytree(trained.parent, tmp_path, dirs_exist_ok=True)
    for iteration in (6, 9, 12):
        (tmp_path / 'work' / f'iter_{iteration}.pth').unlink()
    (tmp_path / 'work' / 'last_checkpoint').write_text(str(tmp_path / 'work' / 'iter_3.pth'))
    returncode, output = run_tool('train.py', tmp_path / 'run.py', '--work-dir', tmp_path / 'work', '--resume',
                                  '--cfg-options', 'train_dataloader.num_workers=1')
    assert returncode == 0, output
    for name, tensor in weights(tmp_path / 'work').items():
        assert torch.equal(tensor, whole[name]), name
    assert losses(tmp_path / 'work') == expected and 'Advance dataloader 3 steps' in output


def test_features_that_changed_on_the_disk_are_one_line_whoever_reads_them(tmp_path):
    cfg = run_config(tmp_path / 'data', train_dataloader__num_workers=1)
    for row in range(40):
        spoil(tmp_path / 'data' / 'images', float('nan'), row)
    cfg.dump(tmp_path / 'run.py')
    returncode, _, errors = run_tool_apart('train.py', tmp_path / 'run.py', '--work-dir', tmp_path / 'work')
    assert returncode == 2 and re.search(r'^\S+images: the features of row \d+ .* are not finite numbers; expected those',
                                         errors, re.M) and 'Traceback' not in errors, errors


def test_two_ranks_are_one(tmp_path):
    """Without dropout, which ranks draw apart from each other."""
    runs = []
    for ranks in (1, 2):
        folder = tmp_path / str(ranks)
        folder.mkdir()
        options = dict(model__text_projection__dropout=0, optim_wrapper__optimizer__type='SGD',
                       optim_wrapper__optimizer__lr=0.05)
        runs.append(train(folder, run_config(folder / 'data', batch_size=8 // ranks, **options), ranks=ranks))
    for ours, theirs in zip(*map(losses, runs)):
        assert ours == pytest.approx(theirs, rel=1e-4)
    for name, tensor in weights(runs[0], 3).items():
        assert_close(weights(runs[1], 3)[name], tensor, depth=20, msg=name)
    ours, theirs = ([record['pair/loss'] for record in read_records(work)['val']] for work in runs)
    assert ours == pytest.approx(theirs, rel=1e-3)


def test_a_test_prints_the_loss_and_both_recalls(trained):
    returncode, output = run_tool('test.py', trained.parent / 'run.py', trained / 'iter_12.pth', '--work-dir',
                                  trained.parent / 'test')
    assert returncode == 0, output
    for name in ('loss', *(f'{way}_R@{k}' for way in ('image_to_text', 'text_to_image') for k in (1, 5, 10))):
        assert re.search(rf'pair/{name}: \d', output), output


def test_a_loss_that_falls_no_more_stops_the_run(tmp_path):
    """With the public code's batches, and the other loss."""
    loss = dict(type='lbbt_mm.SigmoidPairLoss', scale=20., _delete_=True)
    work = train(tmp_path, run_config(tmp_path / 'data', model__batch='accumulate', model__accumulate_size=4,
                                      model__loss=loss, custom_hooks__1=dict(patience=2, min_delta=100.)))
    assert len(losses(work)) == 9 and losses(work)[-1] < losses(work)[0]
    assert 'the monitored metric did not improve in the last 2 records' in next(work.glob('*/*.log')).read_text()


def test_a_store_of_another_model_stops_the_run_before_it_starts(tmp_path):
    cfg = run_config(tmp_path / 'data', model__text_projection__in_channels=12)
    cfg.dump(tmp_path / 'run.py')
    returncode, output = run_tool('train.py', tmp_path / 'run.py', '--work-dir', tmp_path / 'work')
    assert returncode == 2 and 'are 10 wide. Set it to 10' in output.splitlines()[-1], output
    assert not (tmp_path / 'work').exists()
