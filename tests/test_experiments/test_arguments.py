"""The command lines that experiments have in common: shares and GPUs."""
import pytest

from lbbt_mm.experiments import arguments, compare_arms, lbbt


def test_a_slurm_array_is_shares():
    array = {f'SLURM_ARRAY_TASK_{name}': value for name, value in dict(ID='5', COUNT='3', MIN='1', STEP='2').items()}
    assert arguments.read_shard(None, array) == (2, 3)
    assert arguments.read_shard(None, {**array, 'SLURM_ARRAY_TASK_MAX': '6'}) == (2, 3)  # --array=1-6:2
    assert arguments.read_shard('1/4', array) == (1, 4) and arguments.read_shard(None, {}) == (0, 1)
    for text in ('4/4', '-1/2', 'a', '1'):
        with pytest.raises(ValueError, match='expected I/N with I from 0 to N - 1'):
            arguments.read_shard(text, {})


@pytest.mark.parametrize('task', [dict(ID=0, COUNT=3, MIN=0, MAX=5), dict(ID=5, COUNT=3, MIN=0, MAX=5),
                                  dict(ID=3, COUNT=1, MIN=3, MAX=3)])
def test_a_slurm_array_that_does_not_tell_the_share_is_refused(task):
    with pytest.raises(ValueError, match=f'task {task["ID"]} of a slurm array of .* Give --shard I/N'):
        arguments.read_shard(None, {f'SLURM_ARRAY_TASK_{name}': str(value) for name, value in task.items()})


@pytest.mark.parametrize('number', ['0', '1'])
def test_a_slurm_array_of_one_task_does_all_runs(number):
    task = dict.fromkeys(('ID', 'MIN', 'MAX'), number)
    assert arguments.read_shard(None, {f'SLURM_ARRAY_TASK_{name}': value
                                          for name, value in dict(task, COUNT='1').items()}) == (0, 1)


@pytest.mark.parametrize('given, groups, jobs', (
    (('--gpus', '0,1,2,3'), ['0', '1', '2', '3'], 4),
    (('--gpus', '0,1,2,3', '--gpus-per-training', 2), ['0,1', '2,3'], 2),
    (('--gpus', '0,1', '--gpus-per-training', 2, '--jobs', 1), ['0,1'], 1),
    (('--gpus-per-training', 2), [], 1)))
def test_gpus_are_those_of_the_tool_and_each_training_gets_some(given, groups, jobs):
    args = compare_arms.parse_args(['a.py', *map(str, given)])
    assert (args.gpu_groups, args.jobs) == (groups, jobs)


@pytest.mark.parametrize('tool', [lbbt, compare_arms])
@pytest.mark.parametrize('given', [['--fresh'], ['--dry-run'], ['--fresh', '--dry-run']])
def test_a_report_neither_removes_runs_nor_prints_commands(tool, given, capsys):
    assert tool.parse_args(['a.py', *given]).fresh == ('--fresh' in given)
    with pytest.raises(SystemExit) as caught:
        tool.parse_args(['a.py', '--report-only', *given])
    said = capsys.readouterr().err
    assert caught.value.code == 2 and said.count('\n') == 1
    assert f'--report-only {" ".join(given)}: a report removes no runs and prints no commands. Leave one out' in said


def test_in_both_tools(capsys):
    assert lbbt.parse_args(['a.py', '--gpus', '0,1']).gpu_groups == ['0,1'], 'one training at a time'
    for tool in (lbbt, compare_arms):
        with pytest.raises(SystemExit):
            tool.parse_args(['a.py', '--gpus', '0,1,2', '--gpus-per-training', '2'])
        assert '--gpus 0,1,2 --gpus-per-training 2: expected a multiple of 2 GPUs' in capsys.readouterr().err
