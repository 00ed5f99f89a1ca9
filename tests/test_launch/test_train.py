"""The command line of a training."""
from lbbt_mm.checks import image_folders
from lbbt_mm.launch.train import main, parse_args
from tests import tiny_rectified
from tests.image_folders import write_splits
from tests.tiny_detection import run_config, write_dataset


def test_resume_with_and_without_a_checkpoint():
    assert parse_args(['run.py']).resume is None
    assert parse_args(['run.py', '--resume']).resume == 'auto'
    assert parse_args(['run.py', '--resume', 'x.pth']).resume == 'x.pth'
    assert parse_args(['run.py', '--allow-change', 'a', 'b', '--allow-change', 'c']).allow_change == ['a', 'b', 'c']


def test_a_training_that_is_refused(tmp_path, capsys):
    data = write_dataset(tmp_path / 'data', num_train=2, num_val=1)
    run_config(data, train_cfg__max_epochs=0).dump(tmp_path / 'run.py')
    assert main([str(tmp_path / 'run.py'), '--work-dir', str(tmp_path / 'work')]) == 2
    said = capsys.readouterr()
    assert said.out == '' and said.err.startswith('train_cfg.max_epochs=0: expected a whole number, 1 or more')
    assert said.err.count('\n') == 1 and not (tmp_path / 'work').exists()


def test_the_hook_leaves_labels_to_the_gate(folders, tmp_path, monkeypatch):
    """Other projects' tools have none, and then the hook checks them."""
    looked, check = [], image_folders.check_labels
    monkeypatch.setattr(image_folders, 'check_labels', lambda *args: (looked.append(1), check(*args)))
    tiny_rectified.run_config(write_splits(tmp_path), folders['gpt2']).dump(tmp_path / 'run.py')
    assert main([str(tmp_path / 'run.py'), '--work-dir', str(tmp_path / 'work')]) == 0
    assert len(looked) == 1
