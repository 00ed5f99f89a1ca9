"""The command line of a test."""
import pytest

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
