"""The command line of a test."""
import errno
import os
from types import SimpleNamespace

import mmengine
import pytest
from mmengine.config import Config
from mmengine.fileio import LocalBackend, register_backend
from mmengine.fileio.io import backend_instances

from lbbt_mm.launch import checkpoints, processes, quiet_imports, testing
from lbbt_mm.launch.test import main, parse_args
from tests.tiny_detection import run_config, write_dataset


def test_its_own_options():
    args = parse_args(['run.py', 'x.pth', '--tta', '--amp', '--out', 'p.pkl', '--show-dir', 'pictures'])
    assert (args.checkpoint, args.tta, args.amp, args.out, args.show_dir) == ('x.pth', True, True, 'p.pkl', 'pictures')


@pytest.mark.parametrize('change, message', [
    (dict(test_cfg=None), 'has no test_cfg; expected model, test_dataloader, test_cfg'),
    (dict(test_cfg='abc'), "test_cfg='abc': expected a dict"), ({}, 'no such checkpoint')])
def test_a_test_that_is_refused(change, message, tmp_path, capsys):
    cfg = run_config(write_dataset(tmp_path / 'data', num_train=2, num_val=1))
    cfg._cfg_dict.update(change)
    cfg.dump(tmp_path / 'run.py')
    assert main([str(tmp_path / 'run.py'), str(tmp_path / 'gone.pth'), '--amp', '--work-dir', str(tmp_path / 'work')]) == 2
    said = capsys.readouterr()
    assert said.out == '' and message in said.err and said.err.count('\n') == 1 and not (tmp_path / 'work').exists()


@pytest.mark.parametrize('option, name, message', [
    ('--out', 'boxes.json', 'boxes.json: expected a name ending in .pkl or .pickle; predictions are written as a pickle.'),
    ('--out', 'there.pkl', 'there.pkl: is there already, and would be overwritten.'),
    ('--show-dir', 'full', 'full: holds files already')])
def test_an_output_that_cannot_be_written_is_refused_before_torch_is_imported(option, name, message, tmp_path, capsys,
                                                                              monkeypatch):
    monkeypatch.setattr(quiet_imports, 'quiet_imports', lambda: pytest.fail('imports'))
    for file in ('run.py', 'there.pkl', 'full/picture.png'):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    assert main([str(tmp_path / 'run.py'), 'x.pth', option, str(tmp_path / name)]) == 2
    said = capsys.readouterr().err
    assert message in said and said.startswith(option) and said.count('\n') == 1


@pytest.fixture
def tested(tmp_path, monkeypatch):
    """A test whose runner writes predictions; gives their file, and how the tool ends."""
    out = tmp_path / 'predictions.pkl'
    runner = SimpleNamespace(test_evaluator=SimpleNamespace(metrics=[]), test=lambda: mmengine.dump([1] * 1000, str(out)))
    monkeypatch.setattr(testing, 'load_test_config', lambda args: Config(dict(work_dir=str(tmp_path / 'work'))))
    monkeypatch.setattr(processes, 'build_runner', lambda cfg: runner)
    for module, name in ((processes, 'start_processes'), (processes, 'stop_processes'), (checkpoints, 'check_fit')):
        monkeypatch.setattr(module, name, lambda *args: None)
    (tmp_path / 'run.py').touch()
    yield out, lambda: main([str(tmp_path / 'run.py'), 'x.pth', '--out', str(out)])
    register_backend('local', LocalBackend, force=True, prefixes='')
    backend_instances.clear()


def test_predictions_are_whole_or_not_there(tested, monkeypatch, capsys):
    out, run = tested

    def full(descriptor):
        raise OSError(errno.ENOSPC, 'No space left on device')

    with monkeypatch.context() as patch:
        patch.setattr(os, 'fsync', full)
        assert run() == 2
    assert 'predictions.pkl could not be written: No space left on device.' in capsys.readouterr().err
    assert not [path.name for path in out.parent.iterdir() if path.name.startswith('predictions')]
    assert run() == 0 and mmengine.load(str(out)) == [1] * 1000
