"""tools/dist_train.sh and dist_test.sh: two gloo ranks are one process with the same total batch.

The conditions, which are those of docs and design: SGD, no dropout, images of equal size, no augmentation, no batch norm
(group norm here), and ``bbox_head.sync_cls_avg_factor=True`` (mmdet's default normalises the classification loss by each
rank's own boxes). Under Adam losses and gradients are compared: the gradient of a key's bias is zero but for rounding,
and Adam turns rounding into steps.
"""
import json
import pickle
import socket
from functools import partial

import pytest
import torch

from lbbt_mm.files.safe_checkpoints import load_checkpoint_safely
from tests.closeness import assert_close, rounding, size_of
from tests.tiny_detection import REPO, run_config
from tests.tool_processes import finish, free_port, metric, run_ranks, run_tool, start

SGD = dict(type='SGD', lr=0.02, momentum=0.9, weight_decay=1e-4)
ADAMW = dict(type='AdamW', lr=1e-3, weight_decay=1e-4)
DEPTH = 4  # blocks in a row


@pytest.fixture(scope='module')
def write_config(data, folders, tmp_path_factory):
    """Writes a config for a number of ranks whose batches make four images together."""

    def write(optimizer: dict, ranks: int):
        cfg = run_config(
            data, language=dict(checkpoint=str(folders['gpt2'])), model__bbox_head__sync_cls_avg_factor=True,
            optim_wrapper__clip_grad__max_norm=1., train_dataloader__batch_size=4 // ranks,
            custom_imports=dict(imports=['tests.recording_hook']))
        cfg.optim_wrapper.optimizer = optimizer
        cfg.custom_hooks.append(dict(type='RecordingHook'))
        path = tmp_path_factory.mktemp(f"{optimizer['type']}{ranks}") / 'run.py'
        cfg.dump(path)
        return path

    return write


def train_both(one, two, train_ranks):
    """Train in one process and in two ranks; returns their work directories."""
    work_dirs = one.parent / 'work', two.parent / 'work'
    for returncode, output in (run_tool('train.py', one, '--work-dir', work_dirs[0]),
                               train_ranks(two, '--work-dir', work_dirs[1])):
        assert returncode == 0, output
    return work_dirs


@pytest.fixture(scope='module')
def sgd(write_config):
    """Work directories of three epochs: one process with batches of four, and two ranks of two as torchrun starts them."""
    return train_both(write_config(SGD, 1), write_config(SGD, 2), partial(run_ranks, 'train.py', 2))


@pytest.fixture(scope='module')
def script(write_config):
    """The same, with ranks that dist_train.sh starts."""

    def train_ranks(config, *options):
        return finish(start('bash', REPO / 'tools' / 'dist_train.sh', config, 2, *options, PORT=free_port(),
                            PYTHONPATH=REPO))  # the config imports a hook of the tests

    return train_both(write_config(SGD, 1), write_config(SGD, 2), train_ranks)


@pytest.fixture(scope='module')
def adamw(write_config):
    """The same under AdamW."""
    return train_both(write_config(ADAMW, 1), write_config(ADAMW, 2), partial(run_ranks, 'train.py', 2))


def recorded(work_dir):
    return json.loads((work_dir / 'steps.json').read_text())


@pytest.mark.parametrize('runs', ['sgd', *(pytest.param(name, marks=pytest.mark.slow) for name in ('script', 'adamw'))])
def test_every_step_sees_the_same_images(runs, request):
    one, two = map(recorded, request.getfixturevalue(runs))
    assert len(one) == len(two) == 9 and all(len(images) == 4 for images, _ in one)
    assert [images for images, _ in one] == [images for images, _ in two]


@pytest.mark.parametrize('runs', ['sgd', *(pytest.param(name, marks=pytest.mark.slow) for name in ('script', 'adamw'))])
def test_every_step_has_the_same_loss(runs, request):
    one, two = map(recorded, request.getfixturevalue(runs))
    for (_, ours), (_, theirs) in zip(one, two):
        assert ours == pytest.approx(theirs, rel=rounding(DEPTH))


def test_sgd_ends_with_the_same_weights(sgd):
    one, two = (load_checkpoint_safely(work_dir / 'epoch_3.pth')['state_dict'] for work_dir in sgd)
    first = load_checkpoint_safely(sgd[0] / 'epoch_1.pth')['state_dict']
    assert one.keys() == two.keys() and not any(name.startswith('module.') for name in two)
    for name, ours in one.items():
        assert_close(ours, two[name], depth=DEPTH, size=size_of(*one.values()), msg=name)
    moved = max(float((ours - first[name]).abs().max()) for name, ours in one.items())
    assert moved > 5e-2, 'training moved the weights thousands of times farther than that'


@pytest.mark.slow
def test_adamw_s_first_step_has_the_same_gradients(adamw):
    one, two = (torch.load(work_dir / 'gradients.pth', weights_only=True) for work_dir in adamw)
    assert len(one) > 100 and one.keys() == two.keys()
    for name, ours in one.items():
        assert_close(ours, two[name], depth=DEPTH, size=size_of(*one.values()), msg=name)
    assert max(float(gradient.abs().max()) for gradient in one.values()) > 1e-2


@pytest.mark.parametrize('script', [False, pytest.param(True, marks=pytest.mark.slow)])
def test_two_ranks_give_the_metric_of_one(script, learned, tmp_path):
    """In batches of two the ranks share twelve images; mmengine collects the results of both."""
    tested = learned.dumped, learned.checkpoint(50)
    options = '--work-dir', tmp_path / 'work', '--out', tmp_path / 'boxes.pkl'
    finished = finish(start('bash', REPO / 'tools' / 'dist_test.sh', *tested, 2, *options, PORT=free_port())) if script \
        else run_ranks('test.py', 2, *tested, *options)
    assert finished.returncode == 0, finished.output
    assert metric(finished.output) == metric(learned.output) > 0.4
    assert len(pickle.loads((tmp_path / 'boxes.pkl').read_bytes())) == 12


@pytest.mark.parametrize('script, usage', [('dist_train.sh', 'CONFIG PROCESSES'), ('dist_test.sh', 'CONFIG CHECKPOINT')])
def test_a_script_without_its_arguments_says_how_it_is_used(script, usage):
    returncode, output = finish(start('bash', REPO / 'tools' / script))
    assert returncode == 2
    assert f'Usage: tools/{script} {usage}' in output and 'NNODES, NODE_RANK, MASTER_ADDR and PORT' in output


@pytest.mark.parametrize('tool, own', [('train', ['a b.py']), ('test', ['a b.py', 'c.pth'])])
def test_a_script_starts_as_many_ranks_with_the_arguments_of_the_tool(tool, own, tmp_path):
    """A stand-in for Python prints what it would run; the slow tests run it."""
    python = tmp_path / 'python'
    python.write_text('#!/bin/bash\n[ "$1" = - ] || printf "%s\\n" "$@"\n')
    python.chmod(0o755)
    nodes = dict(NNODES=2, NODE_RANK=1, MASTER_ADDR='10.0.0.1', PORT=29511)
    returncode, output = finish(start('bash', REPO / 'tools' / f'dist_{tool}.sh', *own, 3, '--work-dir', 'd e',
                                      PYTHON=python, **nodes))
    assert returncode == 0 and output.splitlines() == [
        '-m', 'torch.distributed.run', '--nnodes=2', '--node_rank=1', '--nproc_per_node=3', '--master_addr=10.0.0.1',
        '--master_port=29511', str(REPO / 'tools' / f'{tool}.py'), *own, '--launcher', 'pytorch', '--work-dir', 'd e']


@pytest.mark.parametrize('tool, own, node', [('train', [], 0), ('train', [], 1), ('test', ['c.pth'], 0)])
def test_a_config_that_is_not_there_is_said_before_the_start(tool, own, node):
    returncode, output = finish(start('bash', REPO / 'tools' / f'dist_{tool}.sh', 'none.py', *own, 2, NODE_RANK=node,
                                      PORT=free_port()))
    assert returncode == 2 and output == ('none.py: no such config file. Give the path of a config, absolute or relative to '
                                          'the current folder.\n')


def test_a_port_that_is_taken_is_said_before_the_start(tmp_path):
    (tmp_path / 'config.py').touch()
    with socket.create_server(('', 0)) as taken:
        port = taken.getsockname()[1]
        returncode, output = finish(start('bash', REPO / 'tools' / 'dist_train.sh', tmp_path / 'config.py', 2, PORT=port))
    assert returncode == 2 and f'port {port} cannot be used' in output and 'Set PORT to a free one' in output


@pytest.mark.parametrize('processes', ['0', 'two', '-1'])
def test_a_number_of_processes_that_is_none(processes):
    returncode, output = finish(start('bash', REPO / 'tools' / 'dist_train.sh', 'config.py', processes))
    assert returncode == 2 and f'PROCESSES={processes}; expected a whole number, 1 or more' in output
