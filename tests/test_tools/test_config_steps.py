"""tools/benchmarks/config_steps.py: steps of configs as they are, what they hold, and a report of both."""
import json

import pytest
from mmengine.config import Config

from tests.image_folders import write_image_folder
from tests.tiny_checkpoints import CONFIGS
from tests.tiny_detection import REPO
from tests.tool_processes import finish, start

SMALL = REPO / 'configs' / 'small'


@pytest.fixture
def configs(tmp_path):
    """The small bridge and its first:1 form with two tiny blocks."""
    write_image_folder(tmp_path / 'data' / 'train', {f'class{index}': 4 for index in range(10)}, size=8)
    paths = []
    for name, trainable in (('whole', 'all'), ('first1', 'first:1')):
        cfg = Config.fromfile(SMALL / 'bridge_gpt2_imagefolder.py')
        cfg.default_hooks.partial_freeze.trainable = trainable
        cfg.model.backbone.language = dict(config=CONFIGS['gpt2'], arm='random', blocks=None)
        dataset = cfg.train_dataloader.dataset.dataset
        dataset.data_root = dataset.pipeline[0].data_root = str(tmp_path / 'data')
        cfg.dump(tmp_path / f'{name}.py')
        paths.append(tmp_path / f'{name}.py')
    return paths


@pytest.mark.slow
def test_steps_are_timed_and_memory_is_that_of_what_trains(configs, tmp_path):
    returncode, output = finish(start('python', REPO / 'tools' / 'benchmarks' / 'config_steps.py', *configs, '--repeats', 2,
                                      '--threads', 1, '--clock', 'cpu', '--out', tmp_path / 'out'))
    assert returncode == 0, output
    report = json.loads((tmp_path / 'out' / 'config_steps.json').read_text())
    whole, partial = (report['bytes'][path.stem] for path in configs)
    # four blocks of 12,704 parameters, of which one trains in the second
    assert whole['trained'] - partial['trained'] == 3 * 12704
    for held in (whole, partial):
        assert held['gradients'] == 4 * held['trained']
        assert held['optimizer'] == pytest.approx(8 * held['trained'], rel=0.01)
    assert 0 < partial['kept'] < whole['kept']
    assert all(len(seconds) == 2 and min(seconds) > 0 for seconds in report['seconds'].values())
    table = (tmp_path / 'out' / 'config_steps.md').read_text()
    assert 'first1' in table and 'optimizer MiB' in table


def test_a_config_that_is_not_there_is_refused(tmp_path):
    returncode, output = finish(start('python', REPO / 'tools' / 'benchmarks' / 'config_steps.py', tmp_path / 'none.py'))
    assert returncode == 2 and 'none.py: no such config file' in output
