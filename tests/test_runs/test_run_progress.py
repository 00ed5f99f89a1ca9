"""LogFollower: reads on where it stopped, and understands epochs and iterations."""
import pytest

from lbbt_mm.runs.run_progress import LogFollower, TrainingProgress

EPOCH = '2024/01/01 00:00:00 - mmengine - INFO - Epoch(train)  [{}][ {}/20]  lr: 1.0e-03  eta: 0:00:01  loss: {}  acc: 1\n'
ITER = '2024/01/01 00:00:00 - mmengine - INFO - Iter(train) [  {}/400]  lr: 1.0e-03  loss: {}  decode.loss_ce: 9.9\n'
BY_EPOCH = dict(train_cfg=dict(by_epoch=True, max_epochs=3))


@pytest.fixture
def log(tmp_path):
    path = tmp_path / 'train.log'
    path.touch()
    return path


def append(path, text) -> None:
    with open(path, 'ab') as file:
        file.write(text if isinstance(text, bytes) else text.encode())


def test_epochs_are_counted_in_iterations(log):
    follower = LogFollower(log, 0, BY_EPOCH)
    append(log, EPOCH.format(2, 10, 0.5))
    assert follower.news() == TrainingProgress(step=30, total=60, loss='0.5')


def test_iterations_bring_their_own_total(log):
    append(log, ITER.format(50, 0.25))
    assert LogFollower(log, 0, dict(train_cfg=dict(max_iters=400))).news() == TrainingProgress(50, 400, '0.25')


@pytest.mark.parametrize('config', [dict(), dict(train_cfg=None), dict(train_cfg=dict())])
def test_a_config_that_does_not_say_how_long_gives_no_total(log, config):
    append(log, EPOCH.format(1, 10, 0.5))
    assert LogFollower(log, 0, config).news() == TrainingProgress(10, None, '0.5')


def test_of_several_lines_the_last_counts_and_each_is_read_once(log):
    follower = LogFollower(log, 0, BY_EPOCH)
    append(log, EPOCH.format(1, 10, 0.5) + EPOCH.format(1, 20, 0.4) + 'Saving checkpoint at 1 epochs\n')
    assert follower.news().step == 20
    assert follower.news() is None
    append(log, 'Epoch(val) [1][2/2]  loss: 9\n')
    assert follower.news() is None


def test_a_line_that_comes_in_two_pieces(log):
    follower, line = LogFollower(log, 0, BY_EPOCH), EPOCH.format(1, 10, 'é').encode()
    cut = line.index('é'.encode()) + 1  # within the letter
    append(log, line[:cut])
    assert follower.news() is None
    append(log, line[cut:])
    assert follower.news() == TrainingProgress(10, 60, 'é')


def test_what_was_there_before_is_passed_over(log):
    append(log, EPOCH.format(3, 20, 0.1))
    follower = LogFollower(log, log.stat().st_size, BY_EPOCH)
    assert follower.news() is None
    append(log, EPOCH.format(1, 10, 0.5))
    assert follower.news().step == 10


def test_a_line_without_a_loss(log):
    append(log, 'Iter(train) [ 7/9]  lr: 1\n')
    assert LogFollower(log, 0, {}).news() == TrainingProgress(7, 9, '-')
