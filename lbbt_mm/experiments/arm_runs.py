"""The trainings of a matched experiment: sweep, choice, comparison, report."""
import argparse
import shlex
import sys
from pathlib import Path
from typing import Dict, List, Sequence

from mmengine.config import Config
from rich.console import Console

from lbbt_mm.checks import check_datasets
from lbbt_mm.checks.datasets import ALL_LOADERS
from lbbt_mm.checks.values import check_language_checkpoints
from lbbt_mm.runs.fresh_start import clear_runs
from lbbt_mm.runs.training_pool import TrainingPool, job_environment
from lbbt_mm.runs.training_run import TrainingFailed, TrainingRun
from .plan import ArmExperiment, ArmRun, Setting
from .report import RESULTS, report, write_results
from .results_folder import claim_results, refuse_other_results

#: Where the runs are in the experiment's folder.
RUNS = ('runs/*', )


def make_experiment(args: argparse.Namespace) -> ArmExperiment:
    """The experiment that the command line describes."""
    return ArmExperiment(
        args.config, args.out, args.arms, args.seeds, args.lrs, args.lr_rule, args.baseline_arm, args.probe,
        args.cfg_options, args.probe_cfg_options, args.metric, args.select_metric, args.lower_is_better, args.keep_going,
        args.stds)


def check_before(trainings: Sequence[TrainingRun]) -> None:
    """Look at the data sets and the language models of trainings that have nothing done yet, each of them once.

    Args:
        trainings: The trainings.

    Raises:
        FileNotFoundError: If files are absent.
        ValueError: If one could not start, or would be another than was meant.
    """
    seen = set()
    for training in trainings:
        if training.status == 'missing':
            cfg = Config(training.request['config'])
            key = repr([cfg.get(name) for name in (*ALL_LOADERS, 'model', 'val_evaluator')])
            if key not in seen:
                seen.add(key)
                check_language_checkpoints(cfg)
                check_datasets(cfg)


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
            check_before(trainings)
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
