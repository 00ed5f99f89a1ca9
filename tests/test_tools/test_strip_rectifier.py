"""tools/strip_rectifier.py: from auxiliary training to a checkpoint of the host library's own model."""
import pytest
import torch
from mmengine.config import Config

from tests.image_folders import write_image_folder
from tests.tiny_rectified import run_config
from tests.tool_processes import run_tool, run_tool_apart


@pytest.fixture(scope='module')
def trained(folders, tmp_path_factory):
    """Folder of a config and of its run of one epoch."""
    folder = tmp_path_factory.mktemp('strip')
    for seed, split in enumerate(('train', 'test')):
        write_image_folder(folder / 'images' / split, dict(a=4, b=4, c=4), size=16, seed=seed)
    cfg = run_config(folder / 'images', folders['gpt2'])
    cfg.train_cfg.max_epochs = 1
    cfg.dump(folder / 'run.py')
    returncode, output = run_tool('train.py', folder / 'run.py', '--work-dir', folder / 'work')
    assert returncode == 0, output
    returncode, output = run_tool('strip_rectifier.py', folder / 'work' / 'epoch_1.pth', '--out', folder / 'plain.pth',
                                  '--config', folder / 'plain.py')
    assert returncode == 0 and 'tensors of the plain model' in output, output
    return folder


def accuracy(output):
    return [part.split('accuracy/top1: ')[1].split()[0] for part in output.splitlines() if 'accuracy/top1: ' in part][-1]


def test_the_plain_config_tests_it_with_the_accuracy_of_the_whole(trained, tmp_path):
    scores = []
    for config, checkpoint in (('run.py', 'work/epoch_1.pth'), ('plain.py', 'plain.pth')):
        returncode, output = run_tool('test.py', trained / config, trained / checkpoint, '--work-dir', tmp_path / config)
        assert returncode == 0, output
        scores.append(accuracy(output))
    assert scores[0] == scores[1]
    saved = torch.load(trained / 'plain.pth', weights_only=True)
    assert set(saved) == {'state_dict', 'meta'} and not any('rectifier' in name for name in saved['state_dict'])
    assert Config.fromfile(trained / 'plain.py').model.type == 'ImageClassifier'


def test_a_config_that_expects_the_block_refuses_the_stripped_checkpoint(trained, tmp_path):
    status, _, error = run_tool_apart('test.py', trained / 'run.py', trained / 'plain.pth', '--work-dir', tmp_path)
    assert status == 2, error
    assert 'its rectifier was taken out by tools/strip_rectifier.py, and this config has one' in error.splitlines()[-1]


@pytest.mark.parametrize(('arguments', 'message'), [
    (('work/epoch_1.pth', '--out', 'plain.pth'), '--out'),
    (('work/epoch_1.pth', '--out', 'new.pth', '--config', 'plain.py'), '--config'),
    (('work/epoch_1.pth', '--out', 'new.pth', '--config', 'work/../new.pth'), 'is the path of --out too'),
    (('absent.pth', '--out', 'new.pth'), 'no such checkpoint file'),
    (('plain.pth', '--out', 'new.pth'), 'It is a plain one already')])
def test_what_does_not_fit_is_one_line_and_writes_nothing(trained, arguments, message):
    given = [argument if argument.startswith('--') else trained / argument for argument in arguments]
    status, _, error = run_tool_apart('strip_rectifier.py', *given)
    assert status == 2 and len(error.strip().splitlines()) == 1 and message in error, error
    assert not (trained / 'new.pth').exists()
