"""What is trained and in which order, what is done already, what is refused, removed or left, and what is printed."""
import json
import os
import re
import signal
import threading
import time

import pytest

from lbbt_mm.experiments import experiment
from lbbt_mm.experiments.results_folder import RESULTS
from tests.experiment_folder import results, summary
from tests.fake_training import behave, starts

LR = 'optim_wrapper.optimizer.lr'


class TestRunning:

    def test_what_is_done_is_not_done_again(self, compare, folder):
        compare(seeds='0')
        assert compare(seeds='0 1')[0] == 0
        assert sorted(starts(folder)) == [f'{arm}-seed{seed}-lr0.01' for arm in ('language', 'random') for seed in (0, 1)]
        compare('--fresh', seeds='0')
        assert len(starts(folder)) == 6

    def test_a_failure_ends_it_with_the_log(self, compare, folder):
        behave(folder, **{'random-seed0-lr0.01': 'fail'})
        status, output = compare()
        assert status == 1 and 'FileNotFoundError: no such images' in output and 'random-seed0-lr0.01/train.log' in output
        assert starts(folder) == ['language-seed0-lr0.01', 'random-seed0-lr0.01']
        behave(folder)
        assert compare()[0] == 0 and set(results(folder)['status']) == {'finished'}

    def test_other_running_jobs_end_first(self, compare, folder):
        behave(folder, **{'language-seed0-lr0.01': 'fail'})
        assert compare('--jobs', 2)[0] == 1
        assert results(folder).set_index(['arm', 'seed'])['status'][('random', 0)] == 'finished'
        assert len(starts(folder)) < 6, 'the rest is not begun'

    def test_or_it_keeps_going(self, compare, folder):
        behave(folder, **{'random-seed0-lr0.01': 'fail'})
        status, output = compare('--keep-going')
        assert status == 1 and 'failed 1/3' in output and len(starts(folder)) == 6
        assert summary(folder).loc['random', 'failed'] == 1 and summary(folder).loc['language', 'pairs'] == 2

    def test_a_sweep_without_the_run_that_failed(self, compare, folder):
        behave(folder, **{'random-seed0-lr0.01': 'fail'})
        assert compare('--lrs', 1e-2, 1e-1, seeds='0')[0] == 1 and starts(folder) == ['random-seed0-lr0.01']
        status, output = compare('--lrs', 1e-2, 1e-1, '--keep-going', seeds='0')
        assert status == 1 and 'Warning: The sweep is without random-seed0-lr0.01, which failed.' in output
        assert set(summary(folder)['lr']) == {0.1}
        _, output = compare('--lrs', 1e-2, 1e-1, '--report-only', seeds='0')
        assert 'No setting is chosen yet' in output

    def test_jobs_share_the_cores_and_take_gpus_in_turn(self, compare, folder, monkeypatch):
        monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
        monkeypatch.setattr(os, 'sched_getaffinity', lambda pid: set(range(8)))
        assert compare('--gpus', '3,5', seeds='0 1')[0] == 0
        found = [json.loads(path.read_text()) for path in (folder / 'out' / 'runs').glob('*/environment.json')]
        assert {env['CUDA_VISIBLE_DEVICES'] for env in found} == {'3', '5'}
        assert {env['OMP_NUM_THREADS'] for env in found} == {'4'}

    def test_several_gpus_a_training_are_its_ranks(self, compare, folder):
        assert compare('--gpus', '0,1,2,3', '--gpus-per-training', 2, seeds='0')[0] == 0
        found = [json.loads(path.read_text()) for path in (folder / 'out' / 'runs').rglob('environment.json')]
        assert len(found) == 2 and {env['WORLD_SIZE'] for env in found} == {'2'}
        assert {env['CUDA_VISIBLE_DEVICES'] for env in found} == {'0,1', '2,3'}
        assert compare('--dry-run', '--gpus-per-training', 2, seeds='0')[1].count('--nproc_per_node=2') == 2
        status, output = compare(seeds='0')
        assert status == 2 and 'processes is 2 there, 1 asked' in output

    def test_ctrl_c_leaves_it_resumable(self, compare, folder):
        behave(folder, **{'random-seed0-lr0.01': 'hang'})
        hangs = folder / 'out' / 'runs' / 'random-seed0-lr0.01' / 'hangs'

        def interrupt():
            while not hangs.exists():
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGINT)

        threading.Thread(target=interrupt, daemon=True).start()
        status, output = compare(seeds='0')
        assert status == 130 and 'The same command goes on from the last checkpoints, or from the start' in output
        behave(folder)
        assert compare(seeds='0')[0] == 0
        assert starts(folder) == ['language-seed0-lr0.01', 'random-seed0-lr0.01', 'random-seed0-lr0.01']
        assert (folder / 'out/runs/random-seed0-lr0.01/attempt2').is_dir(), 'it went on from epoch 2'

    def test_shares_are_disjoint_and_wait_for_the_sweep(self, compare, folder):
        arguments = ('--lrs', 1e-2, 1e-1)
        status, output = compare(*arguments, '--shard', '0/2')
        assert status == 0 and starts(folder) == ['random-seed0-lr0.01']
        assert 'No setting yet for language, random: the sweep lacks random-seed0-lr0.1, which other' in output
        compare(*arguments, '--shard', '1/2')
        compare(*arguments, '--shard', '0/2')
        assert len(starts(folder)) == len(set(starts(folder))) == 7
        assert compare(*arguments, '--report-only')[0] == 0 and set(results(folder)['status']) == {'finished'}

    def test_a_run_stays_in_its_share_whichever_arms_have_a_rate(self, compare, folder):
        """After shares 0 and 1 the language arm alone has ended its sweep."""
        arguments = ('--lrs', 1e-2, 1e-1, '--lr-rule', 'per-arm', '--shard')

        def planned(share):
            lines = compare(*arguments, f'{share}/3', '--dry-run')[1].split('# Comparison')[1].splitlines()
            return [tuple(re.findall(r'language.(?:arm|seed)=(\w+)', line)) for line in lines if 'language.' in line]

        before = [planned(share) for share in range(3)]
        assert before[1] == [('random', '0'), ('language', '2')] and len({run for runs in before for run in runs}) == 6
        compare(*arguments, '0/3')
        compare(*arguments, '1/3')
        assert starts(folder) == ['language-seed0-lr0.01', 'random-seed0-lr0.1', 'language-seed0-lr0.1',
                                  'language-seed2-lr0.1']
        assert [planned(share) for share in range(3)] == before
        compare(*arguments, '2/3')
        assert starts(folder)[4:] == ['random-seed0-lr0.01', 'language-seed1-lr0.1', 'random-seed2-lr0.01']


class TestFolder:

    def test_afresh_removes_the_runs_and_nothing_else(self, compare, folder):
        compare('--probe', folder / 'probe.py', seeds='0')
        run = folder / 'out' / 'runs' / 'random-seed0-lr0.01'
        for path in (folder / 'out' / 'mine.txt', run / 'mine.txt', run / 'probes' / 'probe' / 'mine.txt'):
            path.write_text('mine')
        status, output = compare('--probe', folder / 'probe.py', '--fresh', seeds='0')
        assert status == 0 and len(starts(folder)) == 8
        assert f'Left in {run}, since no run of ours wrote it: environment.json, mine.txt, probes\n' in output
        assert (folder / 'out' / 'mine.txt').exists() and len(list(folder.rglob('mine.txt'))) == 3

    def test_afresh_removes_nothing_where_the_folder_of_one_run_is_not_ours(self, compare, folder):
        compare(seeds='0')
        request = folder / 'out' / 'runs' / 'random-seed0-lr0.01' / 'request.json'
        request.write_text('{"url": 1}')
        status, output = compare('--fresh', seeds='0')
        assert status == 2 and f'{request} was not written by a run of lbbt_mm' in output and len(starts(folder)) == 2
        assert (folder / 'out' / 'runs' / 'language-seed0-lr0.01' / 'done').is_file()

    @pytest.mark.parametrize('name', RESULTS)
    def test_results_of_somebody_else_are_refused_before_training(self, compare, folder, name):
        mine = folder / 'out' / name
        mine.parent.mkdir()
        mine.write_text('mine')
        for more in ((), ('--fresh', ), ('--report-only', )):
            status, output = compare(*more, seeds='0')
            assert status == 2 and output == (f'{mine} was not written by a run of ours, and it would be overwritten. '
                                              'Nothing '
                                              'was touched: give another folder, or move that file away.\n')
        assert not starts(folder) and list(mine.parent.iterdir()) == [mine] and mine.read_text() == 'mine'

    def test_our_own_are_replaced_even_if_a_fresh_start_was_killed(self, compare, folder, monkeypatch):
        compare(seeds='0')

        def killed(*arguments):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(experiment, 'train', killed)
            assert compare('--fresh', seeds='0')[0] == 130
        assert not list((folder / 'out').rglob('request.json')) and compare(seeds='0')[0] == 0

    def test_checkpoints_of_several_probes_in_one_folder_are_refused_before_training(self, compare, folder):
        out_dir = f'default_hooks.checkpoint.out_dir={folder / "elsewhere"}'
        status, output = compare('--probe', folder / 'probe.py', '--probe-cfg-options', out_dir)
        assert status == 2 and 'would both write their checkpoints into' in output and not starts(folder)
        assert compare('--cfg-options', out_dir)[0] == 0  # runs have names of their own

    @pytest.mark.parametrize('below', ['', 'below'])
    def test_a_file_in_place_of_the_folder(self, compare, folder, below, monkeypatch):
        (folder / 'out').write_text('mine')
        monkeypatch.setattr(experiment, 'check_before', lambda *given: pytest.fail('work has begun'))
        status, output = compare('--out', folder / 'out' / below, seeds='0')
        assert status == 2 and output.count('\n') == 1 and f'{folder}/out is no folder that can be written to' in output
        assert (folder / 'out').read_text() == 'mine'

    def test_another_experiment_s_folder_is_refused(self, compare, folder):
        compare(seeds='0')
        status, output = compare('--cfg-options', 'model.backbone.width=16', seeds='0')
        assert status == 2 and len(starts(folder)) == 2
        assert 'holds another experiment: model.backbone.width is 8 there, 16 asked.' in output



class TestDryRun:

    def test_a_dry_run_prints_the_commands_and_trains_nothing(self, compare, folder):
        status, output = compare('--lrs', 1e-2, 1e-1, '--probe', folder / 'probe.py', '--dry-run', seeds='0')
        assert status == 0 and not starts(folder) and not (folder / 'out').exists()
        commands = [line for line in output.splitlines() if 'bridge.py' in line]
        assert len(commands) == 4 and all('--resume --cfg-options' in line for line in commands)
        assert commands[0].endswith(f'randomness.seed=0 {LR}=0.01')
        assert f"'{LR}=<best of the sweep>'" in commands[2] and '<last checkpoint of' in output
        assert "runs/language-seed0-lr<best of the sweep>' --resume" in commands[2], 'as the folder will be called'
        assert [command.startswith('# one of the sweep: ') for command in commands] == [False, False, False, True]
        assert output.splitlines()[-1] == '# trainings: 5, done: 0'
        compare('--lrs', 1e-2, 1e-1, '--probe', folder / 'probe.py', seeds='0')
        output = compare('--lrs', 1e-2, 1e-1, '--probe', folder / 'probe.py', '--dry-run', seeds='0')[1]
        assert output.splitlines()[-1] == '# trainings: 5, done: 5' and '<best' not in output

    def test_a_dry_run_counts_each_training_once(self, compare, folder):
        arguments = ('--lrs', 1e-2, 1e-1, '--probe', folder / 'probe.py', '--metric', 'probe/accuracy/top1')

        def counts(*more):
            return [tuple(map(int, re.findall(r'\d+', compare(*arguments, *more, '--dry-run', '--shard', share)[1]
                                              .splitlines()[-1]))) for share in ('0/1', '0/2', '1/2')]

        before = counts()
        assert before[0] == (2 * (2 + 5), 0), 'a sweep of two rates, five more runs, each with its probe'
        assert before[1][0] + before[2][0] == before[0][0]
        compare(*arguments)
        assert counts() == [(number, number) for number, _ in before]
        assert compare(*arguments, '--dry-run', '--fresh')[1].splitlines()[-1].endswith('done: 0')

    def test_a_dry_run_plans_no_probe_of_a_run_that_diverged(self, compare, folder):
        behave(folder, **{'language-seed0-lr0.01': 'nan'})
        arguments = ('--probe', folder / 'probe.py')
        assert compare(*arguments, '--dry-run', seeds='0')[1].splitlines()[-1] == '# trainings: 4, done: 0'
        compare(*arguments, seeds='0')
        output = compare(*arguments, '--dry-run', seeds='0')[1]
        assert output.splitlines()[-1] == '# trainings: 3, done: 3'
