"""An experiment from its command line to its report: plan, run, collect, choose, report."""
import argparse
import sys
from dataclasses import fields
from functools import partial
from typing import List, Sequence

from mmengine.config import Config
from rich.console import Console

from lbbt_mm.checks import check_datasets
from lbbt_mm.checks.values import check_language_checkpoints
from lbbt_mm.config_keys import shared_options
from lbbt_mm.runs.training_pool import TrainingPool, command_line
from lbbt_mm.runs.training_run import ENDED
from .choose import Choice
from .collect import collect
from .exit_status import exit_status
from .plan import Plan, Run
from .report import report, write_results
from .results_folder import refuse_other_results
from .run_folders import PLAIN_TEXT, check_folders, take_folders
from .stages import Stage
from .trainings import check_probes, make_chain, make_training
from .trial_builds import check_builds


def run_experiment(args: argparse.Namespace) -> int:
    """Train what is to be trained, and report.

    Args:
        args: What a tool's options read, among them the fields of :class:`~lbbt_mm.experiments.plan.Plan`.

    Returns:
        int: The exit status.
    """
    # tables need their width, in the log of a batch job too
    return exit_status(partial(_run_experiment, args, Console(width=None if sys.stdout.isatty() else 140)))


def _run_experiment(args: argparse.Namespace, console: Console) -> List[str]:
    """Plan, run, collect, choose and report; what went wrong."""
    plan = Plan(**{field.name: getattr(args, field.name) for field in fields(Plan) if hasattr(args, field.name)})
    if not args.report_only:  # what is trained already can be shown
        plan.refuse_equal()
        plan.refuse_no_best()
    if args.dry_run:
        print_commands(plan, args, console)
        return []
    failures: List[str] = []
    if args.report_only:
        refuse_other_results(plan.out, args.tool)
    else:
        prepare(plan, args, console)
        failures = train(plan, args, console)
    collected = collect(plan)
    if any(outcome.status != 'missing' for outcome in collected.values()):
        report(plan, collected, console)
        failures += write_page(plan) if args.report else []
    elif args.report_only:
        failures = [f'{plan.out / "runs"} has no runs of this experiment. Leave --report-only out, or give its folder.']
    if not plan.is_matched and plan.probes and 'diverged' in {outcome.status for outcome in collected.values()}:
        failures.append('The bridge diverged, so no probe was trained. Lower the learning rate (--cfg-options '
                        'optim_wrapper.optimizer.lr=...) and start again with --fresh.')
    return failures


def prepare(plan: Plan, args: argparse.Namespace, console: Console) -> None:
    """Look at what training needs before anything is made or removed, then take the folder.

    Raises:
        OtherRunError: If a folder holds another run.
        FileNotFoundError: If files are absent.
        ValueError: If a training could not start, or would be another than was meant.
    """
    runs = plan.all_runs()
    trainings = [make_training(plan, run) for run in runs]
    check_folders(plan.out, args.tool, trainings, args.fresh,
                  [make_training(plan, run, stage) for run in runs for stage in plan.stages[1:]])
    for run in runs:
        check_probes(plan, run, args.fresh)
    check_before(plan, [run for run, training in zip(runs, trainings) if args.fresh or training.status == 'missing'])
    take_folders(plan.out, args.tool, trainings, args.fresh, console)
    for stage in [] if plan.is_matched else plan.stages[1:]:
        shared = shared_options(plan.options, stage.base)
        if shared:
            console.print(f'{stage.name} gets these --cfg-options too: {" ".join(shared)}', **PLAIN_TEXT)


def check_before(plan: Plan, runs: Sequence[Run]) -> None:
    """Look at the language models, at what is built and, once, at the data sets of runs that have nothing done yet."""
    configs = {(run.source, run.arm): Config(make_training(plan, run).request['config']) for run in reversed(runs)}
    for cfg in configs.values():
        check_language_checkpoints(cfg)
    check_builds(plan, runs)
    first = {source.cell: cfg for (source, _), cfg in configs.items()}  # in a cell they differ in where they start alone
    for cfg in first.values():
        check_datasets(cfg)


def train(plan: Plan, args: argparse.Namespace, console: Console) -> List[str]:
    """Run the sweep, choose the settings, run the comparison.

    Returns:
        list[str]: What went wrong.
    """
    pool = TrainingPool(args.jobs, args.gpu_groups, args.keep_going, console)
    index, count = args.shard
    failures: List[str] = []
    swept: List[Run] = []

    def train_runs(runs: Sequence[Run], probes: Sequence[Stage]) -> List[str]:
        return pool.run([make_chain(plan, run, probes) for run in runs])

    while True:  # a standard deviation may be swept at a rate that is chosen first
        collected = collect(plan)
        write_results(plan, collected, swept)  # if no setting can be chosen, these are the results
        choice = Choice(plan, collected)
        added = [run for run in choice.sweep if run not in swept]
        if not added:
            break
        swept += added
        failures += train_runs(added[index::count], plan.deciding_stages)
        if failures and not args.keep_going:
            return failures
    waiting = [source.label(arm) for source, arm in plan.starts if source.label(arm) not in choice.settings]
    if waiting:
        missing = [str(run) for run in swept if not choice.is_over(run)]
        console.print(f'No setting yet for {", ".join(waiting)}: the sweep lacks {", ".join(missing)}, which other '
                      'shares do. When they have ended, run this command again for the rest.', soft_wrap=True)
    return failures + train_runs(plan.comparison(choice.settings, args.shard), plan.stages[1:])


def write_page(plan: Plan) -> List[str]:
    """Write ``report.html``, which gives a reason for each figure that it lacks; returns why there is no page, if so."""
    if not (plan.out / 'summary.csv').is_file():
        return ['No report.html: no setting is chosen yet, so no runs are compared.']
    from lbbt_mm.figures.report import main
    status = main([str(plan.out)])
    return [f'{plan.out / "report.html"} was not written, see above.'] if status else []


def print_commands(plan: Plan, args: argparse.Namespace, console: Console) -> None:
    """The commands of the share, as a user would type them, and their number; what is not known yet is written in <>."""
    index, count = args.shard
    choice = Choice(plan, collect(plan))
    unknown = {source.label(arm): Run(source, arm, 0, None) for source, arm in plan.starts}
    swept = {(run._replace(**known), stage) for run in choice.sweep for known in ({}, dict(lr=None, init_std=None))
             for stage in (plan.stages[0], *plan.deciding_stages)}
    planned = {}
    comparison = plan.comparison({**unknown, **choice.settings}, args.shard)
    for title, runs, probes in (('Sweep', choice.sweep[index::count], plan.deciding_stages),
                                ('Comparison', comparison, plan.stages[1:])):
        if runs:
            console.print(f'# {title}', highlight=False)
        for run in runs:
            lost = make_training(plan, run).status == 'diverged' and not args.fresh  # it gets no probes
            for stage in [plan.stages[0], *([] if lost else probes)]:
                training = make_training(plan, run, stage)
                repeats = title == 'Comparison' and (run, stage) in swept
                done = training.status in ENDED and not args.fresh
                if not repeats:
                    planned[training.work_dir] = done
                note = '# done: ' if done else '# one of the sweep: ' if repeats else ''
                print(f'{note}{command_line(training, args.jobs)}')
    print(f'# trainings: {len(planned)}, done: {sum(planned.values())}')
