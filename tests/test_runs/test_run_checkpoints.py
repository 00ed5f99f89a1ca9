"""Which checkpoint of a run its probes start from."""
import pytest

from lbbt_mm.runs.run_checkpoints import chosen_checkpoint, refuse_no_best
from tests.fake_training import write_checkpoint


def test_the_best_checkpoint(make, folder):
    make().run()
    with pytest.raises(FileNotFoundError, match=r'has no best_\*.pth. Set default_hooks.checkpoint.save_best'):
        make().checkpoint('best')
    write_checkpoint(folder / 'run' / 'best_acc_epoch_3.pth')
    (folder / 'run' / 'best_acc_epoch_4.pth').write_bytes(b'PK half')
    assert make().checkpoint('best').name == 'best_acc_epoch_3.pth'
    write_checkpoint(folder / 'run' / 'best_loss_epoch_1.pth')
    with pytest.raises(ValueError, match='best checkpoints of several metrics: best_acc, best_loss. Give'):
        make().checkpoint('best')


def test_a_config_keeps_the_best_by_one_metric_or_is_refused():
    def config(save_best):
        return dict(default_hooks=dict(checkpoint=dict(save_best=save_best)))

    for one in ('acc', 'auto', ['acc']):
        refuse_no_best('a.py', config(one))
    refuse_no_best('a.py', dict(custom_hooks=[dict(type='CheckpointHook', save_best='acc')]))
    others = dict(custom_hooks=[dict(type='EMAHook')])
    for none in ({}, others, dict(default_hooks=None), *map(config, (None, '', [], ['acc', 'loss']))):
        with pytest.raises(ValueError, match='^--checkpoint best: a.py has default_hooks.checkpoint.save_best=.*; expected'):
            refuse_no_best('a.py', none)


def test_a_run_is_judged_by_its_best_where_its_config_keeps_it(make, folder):
    make().run()
    write_checkpoint(folder / 'run' / 'best_acc_epoch_3.pth')
    for save_best, name in (('acc', 'best_acc_epoch_3.pth'), (None, 'epoch_4.pth')):
        config = dict(default_hooks=dict(checkpoint=dict(save_best=save_best)))
        assert chosen_checkpoint(folder / 'run', config).name == name
    assert chosen_checkpoint(folder / 'run', {}).name == 'epoch_4.pth'


def test_a_folder_that_was_moved_still_knows_its_checkpoint(make, folder):
    make().run()
    (folder / 'run').rename(folder / 'moved')
    assert make('moved').checkpoint() == folder / 'moved' / 'epoch_4.pth'


def test_a_damaged_marker_means_the_one_of_the_highest_number(make, folder):
    make().run()
    (folder / 'run' / 'last_checkpoint').write_bytes(b'\0\0')
    assert make().checkpoint() == folder / 'run' / 'epoch_4.pth'
    (folder / 'run' / 'epoch_4.pth').write_bytes(b'PK half')
    with pytest.raises(FileNotFoundError, match='no last checkpoint .epoch_4.pth is absent or incomplete.'):
        make().checkpoint()
    assert make().checkpoint(must_exist=False) == folder / 'run' / 'epoch_4.pth'
