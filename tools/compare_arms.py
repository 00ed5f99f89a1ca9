"""The matched experiment: train a config from several start weights (arms) and seeds, and compare what comes out.

Works with every config whose model has one `language` dict. Two runs of the same seed differ in one key, language.arm.
Seed s sets language.seed=s and randomness.seed=s; the data, random labels included, are the config's own in every run.
Runs go through tools/train.py. What is done is not done again, and what was interrupted is resumed: give the same command.

  tools/compare_arms.py CONFIG --lrs 1e-4 3e-4 1e-3 --seeds 0 1 2 --metric train/accuracy/top1
  tools/compare_arms.py CONFIG --probe PROBE --metric PROBE_NAME/accuracy/top1 --jobs 4 --gpus 0,1,2,3
  sbatch --array=0-7 ... tools/compare_arms.py CONFIG ...; then the same with --report-only

Learning rate (--lrs): the rule `baseline`, that of the LBBT paper (section 6), trains the baseline arm with each rate and
the first seed and gives the best to all arms; `per-arm` does so for each arm by itself. The choice is made on the metric
that you name: to stay clear of the test set, name one of a held-out split. The arm random_tuned chooses its standard
deviation in the same way (--stds): how far does scale alone get?

Written to --out: results.csv (a row a run), summary.csv and summary.md, curves.png and curves.csv,
runs/ARM-seedS-lrLR[-stdSTD]/.
"""
import argparse
import os
import shlex
import sys
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # works without being installed

import argument_types
from arm_experiment import ArmExperiment, ArmRun, Setting
from arm_report import RESULTS, report, write_results
from rich.console import Console

from lbbt_mm.engine.fresh_start import clear_runs
from lbbt_mm.engine.results_folder import claim_results, refuse_other_results
from lbbt_mm.engine.training_pool import TrainingPool, job_environment
from lbbt_mm.engine.training_run import TrainingFailed
from lbbt_mm.engine.user_errors import run_tool
from lbbt_mm.language.arms import ARMS

#: Where the runs are in the experiment's folder.
RUNS = ('runs/*', )


def parse_args(arguments: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argument_types.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', type=Path, help='path of the config')
    parser.add_argument('--out', type=Path, help='folder of the experiment; default: work_dirs/NAME_OF_CONFIG-arms')
    what = parser.add_argument_group('what is compared')
    what.add_argument('--arms', nargs='+', choices=ARMS, default=['language', 'random', 'shuffled', 'moment_matched'],
                      metavar='ARM', help=f'some of {", ".join(ARMS)}; default: language random '
                      'shuffled moment_matched')
    what.add_argument('--seeds', nargs='+', type=argument_types.seed, default=[0, 1, 2], metavar='SEED',
                      help='default: 0 1 2')
    what.add_argument('--baseline-arm', default='random', metavar='ARM', help='what the others are compared with; '
                      'default: random')
    what.add_argument('--probe', nargs='+', type=Path, action='extend', default=[], metavar='PROBE_CONFIG',
                      help='then train these from the last checkpoint of each run (init_cfg of type lbbt_mm.BridgeInit). '
                      'They get those --cfg-options too that begin with model.backbone., and others of model., '
                      'data_preprocessor. or a '
                      'data_root if their config has that very key. Their metrics are called NAME_OF_PROBE_CONFIG/METRIC')
    what.add_argument('--metric', nargs='+', action='extend', default=[], metavar='METRIC',
                      help='what goes into tables and curves; default: all metrics of the last validation')
    what.add_argument('--cfg-options', nargs='+', action='extend', default=[], metavar='KEY=VALUE',
                      help='override settings of the config, in every run')
    what.add_argument('--probe-cfg-options', nargs='+', action='extend', default=[], metavar='KEY=VALUE',
                      help='override settings of the probes\' configs')
    rate = parser.add_argument_group('learning rate')
    rate.add_argument('--lrs', nargs='+', type=argument_types.positive, default=[], metavar='LR',
                      help='values of optim_wrapper.optimizer.lr to choose from; default: the config\'s for all')
    rate.add_argument('--stds', nargs='+', type=argument_types.positive, default=[], metavar='STD',
                      help='standard deviations for the arm random_tuned to choose from: its blocks are drawn with each, at '
                      'each of its learning rates (with the first seed), and the best is compared')
    rate.add_argument('--lr-rule', choices=('baseline', 'per-arm'), default='baseline', help='default: baseline')
    rate.add_argument('--select-metric', metavar='METRIC', help='what chooses the rate; default: the first --metric, '
                      'else the first of the validation')
    rate.add_argument('--lower-is-better', action='store_true', default=None,
                      help='choose its lowest value; default: only where its name has "loss" in it')
    how = parser.add_argument_group('how it runs')
    how.add_argument('--jobs', type=argument_types.count, metavar='N',
                     help='trainings at once; default: one a GPU of --gpus, else 1')
    how.add_argument('--gpus', type=argument_types.gpus, default=[], metavar='0,1',
                     help='GPUs to use; each training gets one')
    how.add_argument('--shard', metavar='I/N', help='do share I (from 0) of the runs; default: by SLURM_ARRAY_TASK_ID, of '
                     'arrays like --array=0-7 (give it for a task that is submitted again alone)')
    how.add_argument('--keep-going', action='store_true', help='go on after a training that failed')
    how.add_argument('--fresh', action='store_true', help='remove the runs that are there, and start again')
    how.add_argument('--report-only', action='store_true', help='no training: tables and curves of what is there')
    how.add_argument('--dry-run', action='store_true', help='no training: print the commands')
    args = parser.parse_args(arguments)
    for name in ('arms', 'seeds', 'lrs', 'stds', 'probe', 'metric'):
        setattr(args, name, list(dict.fromkeys(getattr(args, name))))
    if args.baseline_arm not in args.arms:
        parser.error(f'--baseline-arm {args.baseline_arm} is not among --arms {" ".join(args.arms)}: add it there, or name '
                     'one that is')
    args.jobs = args.jobs or max(1, len(args.gpus))
    try:
        args.shard = read_shard(args.shard, os.environ)
    except ValueError as error:
        parser.error(str(error))
    if args.fresh and args.shard != (0, 1):
        parser.error('--fresh and shares of the runs: each would remove the runs of the others. Remove the runs first')
    args.out = (args.out or Path('work_dirs') / f'{args.config.stem}-arms').resolve()
    return args


def read_shard(text: Optional[str], env: Dict[str, str]) -> Tuple[int, int]:
    """The share of the runs that this process does, from ``--shard`` or from slurm.

    Returns:
        tuple: Its index from 0, and the number of shares.

    Raises:
        ValueError: If the text is not a share, or the slurm array does not tell which it is.
    """
    if text is None and 'SLURM_ARRAY_TASK_ID' in env:
        return _slurm_share({name.split('_')[-1]: int(value) for name, value in env.items()
                             if name.startswith('SLURM_ARRAY_TASK_')})
    try:
        index, count = map(int, (text or '0/1').split('/'))
    except ValueError:
        index, count = -1, 0
    if not 0 <= index < count:
        raise ValueError(f'--shard {text}: expected I/N with I from 0 to N - 1, for example 0/4')
    return index, count


def _slurm_share(task: Dict[str, int]) -> Tuple[int, int]:
    count, step = task.get('COUNT', 1), max(1, task.get('STEP', 1))
    first = task.get('MIN', 0)
    last = task.get('MAX', first + (count - 1) * step)
    # a list such as --array=0,3,5, or one task of a larger array that was submitted again
    if count != (last - first) // step + 1 or count == 1 and task['ID'] > 1:
        raise ValueError(f'task {task["ID"]} of a slurm array of {count} from {first} to {last} does not say which share of '
                         'the runs it has: expected an array like --array=0-7. Give --shard I/N; a task that is submitted '
                         'again needs the share it had')
    return (task['ID'] - first) // step, count


def make_experiment(args: argparse.Namespace) -> ArmExperiment:
    """The experiment that the command line describes."""
    return ArmExperiment(
        args.config, args.out, args.arms, args.seeds, args.lrs, args.lr_rule, args.baseline_arm, args.probe,
        args.cfg_options, args.probe_cfg_options, args.metric, args.select_metric, args.lower_is_better, args.keep_going,
        args.stds)


def train(experiment: ArmExperiment, args: argparse.Namespace, console: Console) -> List[str]:
    """Run the sweep, choose the learning rates, run the comparison.

    Returns:
        list[str]: What went wrong.
    """
    pool = TrainingPool(args.jobs, args.gpus, args.keep_going, console)
    index, count = args.shard
    failures: List[str] = []
    sweep: List[ArmRun] = []
    while set(experiment.sweep()) - set(sweep):  # a standard deviation may be swept at a rate that is chosen first
        added = [run for run in experiment.sweep() if run not in sweep]
        sweep += added
        failures += pool.run([experiment.chain(run, experiment.sweep_probes()) for run in added[index::count]])
        if failures and not args.keep_going:
            return failures
        write_results(experiment, sweep)  # should no setting be left to choose, they are what there is
    settings = experiment.choose_settings()
    waiting = [arm for arm in experiment.arms if arm not in settings]
    if waiting:
        missing = [run.name for run in sweep if not experiment.is_over(run, experiment.sweep_probes())]
        console.print(f'No setting yet for {", ".join(waiting)}: the sweep lacks {", ".join(missing)}, which other '
                      'shares do. When they have ended, run this command again for the rest.', soft_wrap=True)
    rest = experiment.comparison(settings, args.shard)
    return failures + pool.run([experiment.chain(run, experiment.probes) for run in rest])


def print_commands(experiment: ArmExperiment, args: argparse.Namespace, console: Console) -> None:
    """The commands of the share, as a user would type them, and their number; what is not known yet is written in <>."""
    index, count = args.shard
    settings = {**dict.fromkeys(experiment.arms, Setting(None)), **experiment.choose_settings()}
    env = ' '.join(f'{name}={value}' for name, value in job_environment(args.jobs).items())
    sweep, sweep_probes = experiment.sweep(), experiment.sweep_probes()
    swept = {(run.arm, run.seed, *setting, config) for run in sweep
             for setting in (Setting(run.lr, run.init_std), Setting(None))
             for config in (experiment.config, *sweep_probes)}
    planned: Dict[Path, bool] = {}
    for title, runs, probes in (('Sweep', sweep[index::count], sweep_probes),
                                ('Comparison', experiment.comparison(settings, args.shard), experiment.probes)):
        if runs:
            console.print(f'# {title}', highlight=False)
        for run in runs:
            lost = experiment.training(run).status == 'diverged' and not args.fresh  # it gets no probes
            for training in experiment.trainings(run, [] if lost else probes):
                repeats = title == 'Comparison' and (run.arm, run.seed, run.lr, run.init_std, training.config) in swept
                done = training.status in ('finished', 'diverged') and not args.fresh
                if not repeats:
                    planned[training.work_dir] = done
                note = '# done: ' if done else '# one of the sweep: ' if repeats else ''
                print(f'{note}{env} {shlex.join(training.command)}')
    print(f'# trainings: {len(planned)}, done: {sum(planned.values())}')


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Command line; returns the exit status."""
    return run_tool(lambda: run(parse_args(arguments)))


def run(args: argparse.Namespace) -> int:
    """Train what is to be trained, and report; returns the exit status."""
    # tables need their width, in the log of a batch job too
    console = Console(width=None if sys.stdout.isatty() else 140)
    try:
        experiment = make_experiment(args)
        if args.dry_run:
            print_commands(experiment, args, console)
            return 0
        failures: List[str] = []
        if args.report_only:
            refuse_other_results(args.out, 'compare_arms.py', RESULTS, RUNS)
        else:
            trainings = [experiment.training(run) for run in experiment.all_runs()]
            refuse_other_results(args.out, 'compare_arms.py', RESULTS, RUNS)
            for training in [] if args.fresh else trainings:
                training.check()
            claim_results(args.out, 'compare_arms.py', RESULTS, RUNS)
            if args.fresh:
                clear_runs(trainings, console)
            for training in trainings:
                training.check()
            failures = train(experiment, args, console)
        if any(experiment.training(run).status != 'missing' for run in experiment.all_runs()):
            report(experiment, experiment.choose_settings(), console)
        elif args.report_only:
            failures = [f'{args.out / "runs"} has no runs of this experiment. Leave --report-only out, or correct --out.']
    except KeyboardInterrupt:
        console.print('Interrupted. The same command goes on from the last checkpoints, or from the start where there is '
                      'none.', soft_wrap=True)
        return 130
    except TrainingFailed as error:
        failures = [str(error)]
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


if __name__ == '__main__':
    sys.exit(main())
