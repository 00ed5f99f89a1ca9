"""The trainings of Language Bias Bridge Training: the bridge, then its probes, and their table."""
import argparse
import json
import math
import sys
from functools import partial
from pathlib import Path
from typing import Any, Dict, List, Sequence

import pandas as pd
from rich.console import Console
from rich.table import Table

from lbbt_mm.config_keys import find_bridge_init, shared_options
from lbbt_mm.files.run_records import final_metrics, validation_metrics
from lbbt_mm.files.whole_files import write_whole
from lbbt_mm.launch.config_options import option
from lbbt_mm.runs.fresh_start import clear_runs
from lbbt_mm.runs.run_request import override, read_config
from lbbt_mm.runs.training_pool import Chain, TrainingPool
from lbbt_mm.runs.training_run import OtherRunError, TrainingFailed, TrainingRun
from .arm_runs import check_before
from .results_folder import claim_results, refuse_other_results

# The paper's names, Tables 1 to 5
_TITLES = {'train/accuracy/top1': 'Train-acc1', 'test/accuracy/top1': 'Test-acc1', 'accuracy/top1': 'Test-acc1'}

#: The files that are written into the work dir, and where a run of ours is in it
RESULTS, RUNS = ('results.csv', 'results.json'), ('bridge', )


def make_chain(args: argparse.Namespace, console: Console) -> Chain:
    """The bridge and its probes; a probe's config is checked now, its checkpoint is looked up when its turn comes."""
    bridge = TrainingRun(args.config, args.work_dir / 'bridge', args.cfg_options, args.gpus,
                         base=read_config(args.config))
    bridge.check()
    if not args.fresh:
        check_before([bridge])
    steps = [lambda: bridge]
    for probe in args.probe:
        cfg = read_config(probe)
        shared = shared_options(args.cfg_options, cfg)
        if shared:
            console.print(f'{probe.stem} gets these --cfg-options too: {" ".join(shared)}', soft_wrap=True, markup=False,
                          highlight=False)
        options = [*shared, *args.probe_cfg_options]
        key = find_bridge_init(override(cfg, options).get('model'), probe)
        check_bridge(TrainingRun(probe, args.work_dir / probe.stem), bridge)
        steps.append(partial(make_probe, args, probe, bridge, options, key))
    return Chain(args.work_dir.name, steps)


def make_probe(args: argparse.Namespace, probe: Path, bridge: TrainingRun, options: Sequence[str], key: str) -> TrainingRun:
    """A probe of a bridge that is trained, whose checkpoint goes into the initialiser at ``key``."""
    options = [*options, option(f'{key}.checkpoint', bridge.checkpoint(args.checkpoint))]
    run = TrainingRun(probe, args.work_dir / probe.stem, options, args.gpus, also=dict(bridge=bridge.id))
    check_bridge(run, bridge)
    return run


def is_outdated(probe: TrainingRun, bridge: TrainingRun) -> bool:
    """Whether a probe is of a bridge that was in the folder before; the path of its checkpoint is the same."""
    known = probe.recorded.get('also', {}).get('bridge')
    return probe.has_progress and not (bridge.has_progress and known == bridge.id)


def check_bridge(probe: TrainingRun, bridge: TrainingRun) -> None:
    """Refuse a probe of an earlier bridge.

    Raises:
        OtherRunError: If the bridge was trained anew since, or will be.
    """
    if is_outdated(probe, bridge):
        raise OtherRunError(
            f'{probe.work_dir} was trained on an earlier bridge: that of {bridge.work_dir} was trained anew since, or is to '
            'be. Remove the probe\'s folder to train it on the new one, or add --fresh to this command, which removes the '
            'bridge and these probes and trains all anew.')


def collect(args: argparse.Namespace) -> List[Dict[str, Any]]:
    """Config, status and final metrics of each stage, the bridge first, and which of them the last validation gave.

    A probe of an earlier bridge has no metrics.
    """
    stages = {'bridge': args.config, **{probe.stem: probe for probe in args.probe}}
    runs = {stage: TrainingRun(config, args.work_dir / stage) for stage, config in stages.items()}
    outdated = {stage for stage in runs if stage != 'bridge' and is_outdated(runs[stage], runs['bridge'])}
    rows = []
    for stage, run in runs.items():
        records = dict(train=[], val=[]) if stage in outdated else run.records()
        rows.append(dict(stage=stage, config=str(stages[stage]), status='outdated' if stage in outdated else run.status,
                         metrics=final_metrics(records), validated=list(validation_metrics(records))))
    return rows


def report(stages: Sequence[Dict[str, Any]], work_dir: Path, console: Console) -> None:
    """Show what the stages' last validations gave, and write that and the last record of each training log."""
    rows = [dict(stage=stage['stage'], config=stage['config'], status=stage['status'], **stage['metrics'])
            for stage in stages]
    # a diverged run's NaN is no JSON
    whole = [{**stage, 'metrics': {name: value if math.isfinite(value) else None
                                   for name, value in stage['metrics'].items()}} for stage in stages]
    write_whole(work_dir / 'results.csv', pd.DataFrame(rows).to_csv(index=False))
    write_whole(work_dir / 'results.json', json.dumps(whole, indent=1))
    # the training log's last record is one of a few images; beside the accuracies it would look like a result
    titles = {name: _TITLES.get(name, name) for stage in stages for name in stage['validated']}
    columns = sorted(dict.fromkeys(titles.values()), key=('Train-acc1', 'Test-acc1').__contains__, reverse=True)
    table = Table(title='Language Bias Bridge Training')
    for column in ('stage', 'status', *columns):
        table.add_column(column, justify='left' if column in ('stage', 'status') else 'right')
    for stage in stages:
        cells = {titles[name]: f'{stage["metrics"][name]:.4g}' for name in reversed(stage['validated'])}
        table.add_row(stage['stage'], stage['status'], *(cells.get(column, '-') for column in columns))
    console.print(table)
    console.print(f'Written to {work_dir / "results.csv"} and results.json, with the last values of the training logs',
                  soft_wrap=True, highlight=False)


def run(args: argparse.Namespace) -> int:
    """Train what is to be trained, and report; returns the exit status."""
    console = Console(width=None if sys.stdout.isatty() else 140)
    failures: List[str] = []
    try:
        refuse_other_results(args.work_dir, 'lbbt.py', RESULTS, RUNS)
        if args.fresh:
            for config in (args.config, *args.probe):
                read_config(config)  # nothing is removed for a command that cannot run
            claim_results(args.work_dir, 'lbbt.py', RESULTS, RUNS)
            clear_runs([TrainingRun(args.config, args.work_dir / stage)
                        for stage in ('bridge', *(probe.stem for probe in args.probe))], console)
        chain = make_chain(args, console)
        claim_results(args.work_dir, 'lbbt.py', RESULTS, RUNS)
        failures = TrainingPool(console=console).run([chain])
        stages = collect(args)
        report(stages, args.work_dir, console)
        if args.probe and stages[0]['status'] == 'diverged':
            failures.append('The bridge diverged, so no probe was trained. Lower the learning rate (--cfg-options '
                            'optim_wrapper.optimizer.lr=...) and start again with --fresh.')
    except KeyboardInterrupt:
        console.print('Interrupted. The same command goes on from the last checkpoint, or from the start where there is '
                      'none.', soft_wrap=True)
        return 130
    except TrainingFailed as error:
        failures.append(str(error))
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0
