"""tools/check_data.py opens every file and lists what a run could not use."""
import csv
import json

import pytest

from tests import tiny_detection, tiny_segmentation
from tests.tool_processes import run_tool


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return tiny_detection.write_dataset(tmp_path_factory.mktemp('data') / 'coco', num_train=3, num_val=2)


def config(cfg, tmp_path):
    cfg.dump(tmp_path / 'run.py')
    return tmp_path / 'run.py'


def test_sound_data_are_said_to_be_so(data, tmp_path):
    run = config(tiny_detection.run_config(data), tmp_path)
    returncode, output = run_tool('check_data.py', run, '--loaders', 'train', 'val', 'test')
    assert returncode == 0 and 'Nothing was found that a run could not use.' in output, output


def test_each_problem_is_a_row_and_one_that_stops_a_run_is_an_exit_status(tmp_path):
    data = tiny_detection.write_dataset(tmp_path / 'coco', num_train=3, num_val=2)
    path = data / 'annotations' / 'instances_train2017.json'
    content = json.loads(path.read_text())
    content['annotations'][0]['bbox'] = [0.1, 0.1, 0.2, 0.2]
    path.write_text(json.dumps(content))
    run = config(tiny_detection.run_config(data), tmp_path)
    returncode, output = run_tool('check_data.py', run, '--out', tmp_path / 'report.csv')
    assert returncode == 0, output
    assert 'goes on  train_dataloader.dataset.ann_file' in output and 'coordinates from 0 to 1' in output
    (data / 'val2017' / content['images'][0]['file_name']).write_bytes(b'')
    returncode, output = run_tool('check_data.py', run, '--out', tmp_path / 'new' / 'other.csv')
    assert returncode == 1, output
    rows = list(csv.DictReader((tmp_path / 'new' / 'other.csv').read_text().splitlines()))
    assert [row['stops a run'] for row in rows] == ['False', 'True'] and 'images are empty' in rows[1]['problem']
    returncode, output = run_tool('check_data.py', run, '--out', tmp_path / 'new' / 'other.csv')
    assert returncode == 2 and 'is there already' in output


def test_masks_and_overrides(tmp_path):
    root = tiny_segmentation.write_dataset(tmp_path / 'ade', num_train=3, num_val=2)
    run = config(tiny_segmentation.run_config('nowhere'), tmp_path)
    returncode, output = run_tool('check_data.py', run)
    assert returncode == 1 and 'is not a folder' in output
    options = [f'{name}_dataloader.dataset.data_root={root}' for name in ('train', 'val', 'test')]
    returncode, output = run_tool('check_data.py', run, '--most', 2, '--cfg-options', *options)
    assert returncode == 0 and 'train_dataloader.dataset: 3 masks hold no value outside the 4 classes' in output, output


def test_a_config_without_data_writes_no_table(tmp_path):
    (tmp_path / 'run.py').write_text('')
    returncode, output = run_tool('check_data.py', tmp_path / 'run.py', '--out', tmp_path / 'report.csv')
    assert returncode == 2 and 'has no data set under train_dataloader, val_dataloader' in output
    assert not (tmp_path / 'report.csv').exists()


@pytest.mark.parametrize('arguments, message', [
    (('--most', '0'), 'expected a whole number, 1 or more'), (('--loaders', 'x'), 'invalid choice')])
def test_wrong_arguments(arguments, message, tmp_path):
    returncode, output = run_tool('check_data.py', tmp_path / 'run.py', *arguments)
    assert returncode == 2 and message in output
