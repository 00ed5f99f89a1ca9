"""TrainingRun: what it starts, when it goes on, what it refuses and what it says came out."""
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest

from lbbt_mm.files.run_records import final_metrics
from lbbt_mm.launch.checkpoint_owner import claim
from lbbt_mm.runs import training_run
from lbbt_mm.runs.training_run import OtherRunError, TrainingFailed, TrainingRun
from tests import fake_training
from tests.fake_training import behave, starts, write_checkpoint
from tests.tool_processes import REPO, environment

LR = 'optim_wrapper.optimizer.lr=0.1'


def wait_for(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class TestCommand:

    def test_it_is_what_a_user_would_type(self):
        run = TrainingRun('configs/a.py', 'work_dirs/a', ['x.y=1', 'z=b'])
        assert run.command == [sys.executable, '-m', 'lbbt_mm.launch.train', 'configs/a.py', '--work-dir', 'work_dirs/a',
                               '--resume', '--cfg-options', 'x.y=1', 'z=b']
        assert '--cfg-options' not in TrainingRun('a.py', 'a').command

    def test_several_processes_are_started_by_torchrun_on_a_port_of_its_own(self):
        assert TrainingRun('a.py', 'a', processes=2).command[1:10] == [
            '-m', 'torch.distributed.run', '--standalone', '--nproc_per_node=2', '-m', 'lbbt_mm.launch.train', 'a.py',
            '--launcher', 'pytorch']


class TestRunning:

    def test_a_finished_run_is_not_run_again(self, make, folder):
        assert make().status == 'missing'
        assert make().run() == 'finished' and make().status == 'finished'
        assert make().run() == 'finished'
        assert starts(folder) == ['run']
        assert make().checkpoint() == folder / 'run' / 'epoch_4.pth'
        assert final_metrics(make().records()) == {'accuracy/top1': fake_training.accuracy('language', 0, 0.1), 'loss': 1.}

    def test_the_environment_it_is_given_and_the_one_it_inherits(self, make, monkeypatch):
        monkeypatch.setenv('LBBT_TEST', 'inherited')
        make().run(env=dict(OMP_NUM_THREADS='3', CUDA_VISIBLE_DEVICES='1'))
        found = json.loads((make().work_dir / 'environment.json').read_text())
        assert (found['OMP_NUM_THREADS'], found['CUDA_VISIBLE_DEVICES'], found['LBBT_TEST']) == ('3', '1', 'inherited')

    def test_modules_of_the_current_folder_are_not_imported(self, make, folder, monkeypatch):
        """A file called like a module that a training imports would be run in its place."""
        monkeypatch.setattr(training_run, 'TRAIN_TOOL', ('-m', 'lbbt_mm.launch.train'))
        (folder / 'yaml.py').write_text(f'open({str(folder / "trace")!r}, "w")\nraise SystemExit')
        monkeypatch.chdir(folder)
        with pytest.raises(TrainingFailed):  # the config has no data
            make().run()
        assert not (folder / 'trace').exists()

    def test_a_process_that_ends_well_and_leaves_nothing_has_failed(self, make, monkeypatch):
        monkeypatch.setattr(training_run, 'TRAIN_TOOL', ('-c', 'pass'))
        with pytest.raises(TrainingFailed, match='failed with exit status 0, without a record or a checkpoint'):
            make().run()
        assert make().status == 'failed'

    def test_a_failure_shows_the_end_of_the_log_and_is_tried_again(self, make, folder):
        behave(folder, run='fail_once')
        with pytest.raises(TrainingFailed) as caught:
            make().run()
        assert 'FileNotFoundError: no such images' in str(caught.value)
        assert str(folder / 'run' / 'train.log') in str(caught.value)
        assert make().status == 'failed'
        assert make().run() == 'finished' and starts(folder) == ['run', 'run']

    def test_a_failure_quotes_this_attempt_only(self, make, folder):
        """The first attempt diverges in its log; the second one fails of something else."""
        behave(folder, run='fail')
        (folder / 'run').mkdir()
        (folder / 'run' / 'train.log').write_text('AssertionError: loss become infinite or NaN!\n')
        with pytest.raises(TrainingFailed) as caught:
            make().run()
        assert 'infinite' not in str(caught.value)

    def test_stopped_in_the_middle_it_goes_on_from_the_last_checkpoint(self, make, folder):
        behave(folder, run='hang')
        run, found = make(), []
        thread = threading.Thread(target=lambda: found.append(run.run()))
        thread.start()
        wait_for((folder / 'run' / 'hangs').exists)
        run.stop()
        thread.join(20)
        assert found == ['interrupted'] and make().status == 'interrupted'
        behave(folder)
        assert make().run() == 'finished'
        assert [record['epoch'] for record in make().records()['train']] == [1, 2, 3, 4]
        assert sorted(path.name for path in (folder / 'run').glob('attempt*')) == ['attempt0', 'attempt2']

    def test_two_at_once_in_one_folder_are_refused_even_if_the_first_parent_was_killed(self, make, folder):
        """The training inherits the lock from the process that is killed."""
        behave(folder, run='hang')
        code = (f'from pathlib import Path; from lbbt_mm.runs import training_run as t\n'
                f't.TRAIN_TOOL = ({fake_training.__file__!r}, )\n'
                f't.TrainingRun({str(folder / "bridge.py")!r}, {str(folder / "run")!r}, [{LR!r}]).run()')
        parent = subprocess.Popen([sys.executable, '-c', code], cwd=REPO, env=environment())
        wait_for((folder / 'run' / 'hangs').exists)
        child = int(subprocess.run(['ps', '-o', 'pid=', '--ppid', str(parent.pid)], capture_output=True, text=True).stdout)
        try:
            for kill in (False, True):
                if kill:
                    parent.kill()
                    parent.wait()
                with pytest.raises(TrainingFailed, match='a training is running in this folder'):
                    make().run()
        finally:
            os.kill(child, signal.SIGKILL)

    def test_progress_comes_from_the_log(self, make, folder):
        behave(folder, run='hang')
        run, news = make(), []

        def on_progress(progress):
            news.append(progress)
            run.stop()

        assert run.run(on_progress) == 'interrupted'
        assert news[-1] == (4, 8, '2.0000')  # two epochs of two steps, of four

    def test_no_half_written_file_stays(self, make):
        make().run()
        assert not list(make().work_dir.glob('*.part'))


class TestDivergence:

    @pytest.mark.parametrize('kind', ('nan', 'nan_error'))
    def test_a_loss_that_is_no_number(self, make, folder, kind):
        behave(folder, run=kind)
        assert make().run() == 'diverged' and make().status == 'diverged'
        assert make().run() == 'diverged' and starts(folder) == ['run'], 'it would diverge again'

    def test_a_metric_of_the_last_validation_that_is_no_number(self, make, folder):
        behave(folder, run='nan_metric')
        assert make().run() == 'diverged'


class TestOtherExperiments:

    def test_another_setting_is_refused_and_the_run_is_left_alone(self, make, folder):
        make().run()
        with pytest.raises(OtherRunError) as caught:
            make(options=('optim_wrapper.optimizer.lr=0.2', )).run()
        assert str(caught.value) == (
            f'{folder / "run"} holds another experiment: optim_wrapper.optimizer.lr is 0.1 there, 0.2 asked. Choose another '
            'folder, or start afresh (--fresh), which removes that run.')
        assert make().status == 'finished'

    def test_so_are_a_config_that_was_edited_other_data_and_other_numbers_of_ranks(self, make, folder):
        make(also=dict(data='a')).run()
        for arguments, phrase in ((dict(also=dict(data='b')), "also.data is 'a' there, 'b' asked"),
                                  (dict(also=dict(data='a'), processes=2), 'processes is 1 there, 2 asked')):
            with pytest.raises(OtherRunError, match=phrase):
                make(**arguments).run()
        text = (folder / 'bridge.py').read_text()
        (folder / 'bridge.py').write_text(f'# a comment is nothing new\n{text}')
        make(also=dict(data='a')).check()
        (folder / 'bridge.py').write_text(text.replace('width=8', 'width=16'))
        with pytest.raises(OtherRunError, match='model.backbone.width is 8 there, 16 asked'):
            make(also=dict(data='a')).check()

    def test_afresh(self, make, folder):
        make().run()
        other = make(options=('optim_wrapper.optimizer.lr=0.2', ))
        other.clear()
        assert other.status == 'missing' and other.run() == 'finished'
        assert len(other.records()['train']) == 4

    def test_afresh_with_checkpoints_in_a_folder_of_their_own(self, make, folder):
        """What is left there would be resumed, and the run would end without a step."""
        run = make(options=(f'default_hooks.checkpoint.out_dir={folder}/store', ))
        run.run()
        own = folder / 'store' / 'run'
        own.mkdir(parents=True)
        write_checkpoint(own / 'epoch_4.pth')
        claim(run.work_dir, own)
        (own / 'mine.pth').touch()
        assert make(options=run.options).latest.path == own / 'epoch_4.pth'
        assert [path.name for path in run.clear()] == ['environment.json'], 'and not the run\'s id'
        assert make(options=run.options).latest is None and [path.name for path in own.glob('*.pth')] == ['mine.pth']

    def test_checkpoints_of_another_run_there_are_neither_taken_nor_removed(self, make, folder):
        """Experiments name their runs alike, and mmengine the folder after the run."""
        options = (f'default_hooks.checkpoint.out_dir={folder}/store', )
        first, other, third = (make(f'{name}/run', options) for name in 'abc')
        first.run()
        shutil.copytree(first.work_dir, other.work_dir)
        claim(first.work_dir, folder / 'store' / 'run')
        write_checkpoint(folder / 'store' / 'run' / 'epoch_4.pth')
        (other.work_dir / 'done').unlink()
        for run in (other, third):
            assert run.latest is None
            with pytest.raises(OtherRunError, match='store/run: holds epoch_4.pth of the run of .*/a/run; expected'):
                run.run()
            run.clear()
        assert (folder / 'store' / 'run' / 'epoch_4.pth').exists() and first.run() == 'finished'
        assert starts(folder) == ['run'] and not third.work_dir.exists()
        first.clear()
        assert not list((folder / 'store' / 'run').glob('*.pth')) and not list(first.work_dir.glob('*.pth'))

    def test_a_training_keeps_its_id_until_it_is_started_afresh(self, make, folder):
        assert make().id is None
        behave(folder, run='fail')
        with pytest.raises(TrainingFailed):
            make().run()
        failed = make().id
        behave(folder, run='nan_error')
        make().run()
        known = make().id
        assert known and known != failed, 'the first attempt left nothing to resume'
        (folder / 'run' / 'done').unlink()
        behave(folder)
        assert make().run() == 'finished' and make().id == known
        make().clear()
        make().run()
        assert make().id not in (None, failed, known)

    def test_an_attempt_that_left_nothing_to_resume_is_no_obstacle(self, make, folder):
        behave(folder, run='fail')
        with pytest.raises(TrainingFailed):
            make().run()
        behave(folder)
        assert make(options=('optim_wrapper.optimizer.lr=0.2', )).run() == 'finished'

    def test_afresh_leaves_what_the_run_did_not_write(self, make, folder):
        make().run()
        mine = folder / 'run' / 'notes' / 'mine.txt'
        mine.parent.mkdir()
        mine.write_text('mine')
        probe = TrainingRun(folder / 'probe.py', folder / 'run' / 'probes' / 'probe')
        probe.run()
        assert {path.name for path in make().clear()} == {'environment.json', 'notes', 'probes'}
        assert make().status == probe.status == 'missing' and mine.read_text() == 'mine'
        assert {path.relative_to(folder / 'run').as_posix() for path in (folder / 'run').rglob('*') if path.is_file()} == {
            'lock', 'training.lock', 'environment.json', 'notes/mine.txt', 'probes/probe/lock', 'probes/probe/training.lock',
            'probes/probe/environment.json'}
        assert make().run() == 'finished'

    @pytest.mark.parametrize('text', ('{"url": "http://example.org"}', '[]', 'GET / HTTP/1.1'))
    def test_a_request_of_somebody_else_is_refused(self, make, folder, text):
        (folder / 'run').mkdir()
        for name in ('request.json', 'done', 'notes.txt'):
            (folder / 'run' / name).write_text(text)
        for action in (make().clear, make().check, make().run):
            with pytest.raises(OtherRunError, match='run/request.json was not written by a run of lbbt_mm'):
                action()
        assert {path.name: path.read_text() for path in (folder / 'run').iterdir()} == dict.fromkeys(
            ('request.json', 'done', 'notes.txt'), text)

    @pytest.mark.parametrize('name', ('done', 'failed', 'epoch_4.pth', '20250101_123456/vis_data/scalars.json'))
    def test_a_run_does_not_begin_among_files_that_it_would_overwrite(self, make, folder, name):
        path = folder / 'run' / name
        path.parent.mkdir(parents=True)
        path.write_text('mine')
        with pytest.raises(OtherRunError, match=f'holds a run without request.json .{name}.'):
            make().run()
        assert make().clear() == [] and path.read_text() == 'mine' and not starts(folder)

    def test_nothing_is_removed_while_a_probe_is_trained(self, make, folder):
        make().run()
        behave(folder, probe='hang')
        probe, caught = TrainingRun(folder / 'probe.py', folder / 'run' / 'probes' / 'probe'), []
        thread = threading.Thread(target=lambda: caught.append(probe.run()))
        thread.start()
        wait_for((probe.work_dir / 'hangs').exists)
        try:
            with pytest.raises(TrainingFailed, match='probes/probe: a training is running in this folder'):
                make().clear()
        finally:
            probe.stop()
            thread.join(20)
        assert make().status == 'finished' and caught == ['interrupted']

    def test_nor_while_it_is_trained_by_hand(self, make, folder):
        make().run()
        code = (f'import sys; from lbbt_mm.launch.work_directory import only_training\n'
                f'with only_training({str(folder / "run")!r}): print("here", flush=True); sys.stdin.read()')
        other = subprocess.Popen([sys.executable, '-c', code], cwd=REPO, env=environment(), stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE)
        assert other.stdout.readline() == b'here\n'
        with pytest.raises(ValueError, match='another training is running in this folder'):
            make().clear()
        other.communicate()
        assert make().status == 'finished'

    def test_a_lock_of_that_name_keeps_what_is_in_it(self, make, folder):
        (folder / 'run').mkdir()
        (folder / 'run' / 'lock').write_text('mine')
        make().run()
        make().clear()
        assert (folder / 'run' / 'lock').read_text() == 'mine'

    def test_a_run_that_was_started_by_hand_is_neither_resumed_nor_removed(self, make, folder):
        (folder / 'run').mkdir()
        (folder / 'run' / 'last_checkpoint').write_text('epoch_1.pth')
        make().clear()
        with pytest.raises(OtherRunError, match='holds a run without request.json'):
            make().run()

    def test_a_config_that_is_absent(self, folder):
        with pytest.raises(FileNotFoundError, match='none.py: no such config file. Give the path of a config'):
            TrainingRun(folder / 'none.py', folder / 'run').run()
        assert not (folder / 'run').exists()


class TestDamagedMarks:

    def test_a_marker_whose_checkpoint_is_gone_starts_the_run_over(self, make, folder):
        """A process that is killed while it replaces its only checkpoint leaves one."""
        behave(folder, run='nan_error')
        make().run()
        (folder / 'run' / 'done').unlink()
        (folder / 'run' / 'epoch_1.pth').unlink()
        behave(folder)
        assert make().run() == 'finished'
        assert len(list((folder / 'run').glob('epoch_*.pth'))) == 4

    @pytest.mark.parametrize('content', [b'', b'\xff\xfe', b'fini'])
    def test_a_damaged_mark_of_the_end_is_none(self, make, folder, content):
        make().run()
        (folder / 'run' / 'done').write_bytes(content)
        assert make().status == 'interrupted' and make().has_progress and make().latest.path.name == 'epoch_4.pth'
        assert make().run() == 'finished' and make().status == 'finished'


TOY = '''
import os
import time

import torch
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, METRICS, MODELS
from mmengine.evaluator import BaseMetric


@MODELS.register_module()
class Toy(BaseModel):

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(4, 2)

    def forward(self, inputs, labels, mode):
        logits = self.linear(inputs)
        if mode == 'loss':
            return dict(loss=torch.nn.functional.cross_entropy(logits, labels))
        return [dict(right=bool(right)) for right in logits.argmax(-1) == labels]


@DATASETS.register_module()
class Points(torch.utils.data.Dataset):

    def __len__(self):
        return 16

    def __getitem__(self, index):
        time.sleep(float(os.environ.get('SECONDS_A_SAMPLE', 0)))
        point = torch.randn(4, generator=torch.Generator().manual_seed(index))
        return dict(inputs=point, labels=(point[0] > 0).long())


@METRICS.register_module()
class Right(BaseMetric):

    def process(self, data_batch, data_samples):
        self.results += data_samples

    def compute_metrics(self, results):
        return dict(right=sum(result['right'] for result in results) / len(results))
'''
TOY_CONFIG = '''
custom_imports = dict(imports=['toy'])
model = dict(type='Toy')
loader = dict(batch_size=8, num_workers=0, dataset=dict(type='Points'), sampler=dict(type='DefaultSampler', shuffle=False),
              collate_fn=dict(type='default_collate'))
train_dataloader = val_dataloader = loader
val_evaluator = dict(type='Right')
train_cfg = dict(by_epoch=True, max_epochs=10, val_interval=1)
val_cfg = dict()
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1))
randomness = dict(seed=0)
default_hooks = dict(
    checkpoint=dict(type='CheckpointHook', interval=1, max_keep_ckpts=1), logger=dict(type='LoggerHook', interval=1))
'''


@pytest.mark.slow  # tests/test_tools/test_train.py has one
def test_a_real_training_is_killed_and_resumed(tmp_path):
    """tools/train.py in a process of its own, ended in the middle, is the run that it would have been."""
    (tmp_path / 'toy.py').write_text(TOY)
    (tmp_path / 'config.py').write_text(TOY_CONFIG)
    env = dict(environment(), PYTHONPATH=str(tmp_path))
    run = TrainingRun(tmp_path / 'config.py', tmp_path / 'run')

    def stop_early(progress):
        if progress.step > 2:
            run.stop()

    assert run.run(stop_early, dict(env, SECONDS_A_SAMPLE='0.02')) == 'interrupted', run.log.read_text()
    done = len(run.records()['val'])
    assert 0 < done < 10
    again = TrainingRun(tmp_path / 'config.py', tmp_path / 'run')
    assert again.run(env=env) == 'finished'
    assert 'Auto resumed from the latest checkpoint' in again.log.read_text()
    assert [record['step'] for record in again.records()['train']] == list(range(1, 21))
    assert [record['step'] for record in again.records()['val']] == list(range(1, 11))
    metrics = final_metrics(again.records())
    assert set(metrics) == {'right', 'loss'} and metrics['right'] > 0.8
    assert again.checkpoint().name == 'epoch_10.pth'
    assert len(list((tmp_path / 'run').glob('*/*.log'))) == 2
    assert again.clear() == [], 'all that mmengine writes is known as ours'
    assert {path.name for path in (tmp_path / 'run').iterdir()} == {'lock', 'training.lock'}


def test_another_language_model_in_the_same_place_is_another_run(make, folder):
    lm = folder / 'lm'
    lm.mkdir()
    (lm / 'config.json').write_text('{"n_layer": 2}')
    options = (LR, f'model.backbone.language.checkpoint={lm}')
    assert make(options=options).run() == 'finished'
    make(options=options).check()
    (lm / 'config.json').write_text('{"n_layer": 3}')
    with pytest.raises(OtherRunError, match='holds another experiment: also.model.backbone.language.checkpoint'):
        make(options=options).check()
    (lm / 'config.json').unlink()
    make(options=options).check()  # a run that is there needs its language model no longer
