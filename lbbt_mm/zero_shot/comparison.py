"""The comparison of language models from its command line to its tables: features, trainings, scores."""
import argparse
import math
import sys
from functools import partial
from pathlib import Path
from typing import Dict, List, NamedTuple, Sequence

from mmengine.config import Config
from rich.console import Console

from lbbt_mm.analysis.relative_representations import NON_ZERO
from lbbt_mm.checks import check_datasets
from lbbt_mm.datasets.captions import open_captions
from lbbt_mm.experiments.exit_status import exit_status
from lbbt_mm.experiments.results_folder import refuse_other_results
from lbbt_mm.experiments.run_folders import check_folders, take_folders
from lbbt_mm.figures.parts import Parts
from lbbt_mm.files.feature_index import other_features
from lbbt_mm.files.feature_store import FeatureStore
from lbbt_mm.runs.folder_names import FolderName
from lbbt_mm.runs.training_pool import Chain, TrainingPool, command_line
from lbbt_mm.runs.training_run import ENDED, TrainingRun
from .compared_scores import asif_accuracies, neighbourhood, probe_images, probe_texts, zero_shot_accuracy
from .compared_trainings import LIT, SHARELOCK, Method, Protocol, trained_model
from .comparison_tables import Model, Score, report
from .tasks import Task, all_prompts, read_task
from .text_sides import LanguageModel, PlannedSide, Texts, TextSide, random_side


class Planned(NamedTuple):
    """A training of the comparison, and what its model is tested with."""
    model: str
    method: Method
    seed: int
    side: PlannedSide
    run: TrainingRun


class Data(NamedTuple):
    """What all models are compared on."""
    images: FeatureStore
    test_images: FeatureStore
    tasks: List[Task]
    texts: Texts


def compare(args: argparse.Namespace) -> int:
    """Do what the command line asks for; returns the exit status.

    Args:
        args: The command line.
    """
    return exit_status(partial(_compare, args, Console(width=None if sys.stdout.isatty() else 140)))


def _compare(args: argparse.Namespace, console: Console) -> List[str]:
    """Look at everything, then make features, train, and report; what went wrong."""
    data = read_data(args)
    protocol = Protocol(args, data.images)
    for method in _methods(args):
        protocol.check_method(method)
    refuse_other_results(args.out, args.tool)  # before models are opened
    parts = Parts(args.out / 'models.parts.json', 1, writes=not args.dry_run and (not args.report_only or args.out.is_dir()))
    models = {found.label: LanguageModel(found.label, found.location, args, parts) for found in args.language}
    planned_sides = {label: model.side(args.out / 'stores' / label, data.texts) for label, model in models.items()}
    planned = plan(args, protocol, data, planned_sides)
    runs = [one.run for one in planned]
    if args.dry_run:
        print_commands(runs, args)
        return []
    check_folders(args.out, args.tool, runs, args.fresh)
    if args.report_only and all(run.status == 'missing' for run in runs):
        return [f'{args.out / "runs"} has no runs of this comparison. Leave --report-only out, or give its folder.']
    for model in models.values() if args.text else ():
        model.loss(args.text)  # refuses a text that does not do before hours of work; it is kept for the report
    if not args.report_only:
        take_folders(args.out, args.tool, runs, args.fresh, console)
    made = {side: side.make() for side in dict.fromkeys(one.side for one in planned)}
    failures = [] if args.report_only else train(runs, args, console)
    sides = {label: made[side] for label, side in planned_sides.items()}
    scores = [score for one in planned for score in score_training(one, made[one.side], data)]
    _say_of_asif(args, data)
    for label, side in sides.items():
        scores += untrained_scores(label, side, protocol, data, args)
    scores += probes(sides, data) if 'linear_probe' in args.baselines else []
    report(args, data.tasks, scores, [facts(model, sides[label], protocol, args) for label, model in models.items()])
    return failures


def read_data(args: argparse.Namespace) -> Data:
    """Open stores, captions and tasks, before any work is done.

    Raises:
        FileNotFoundError: If something is not there.
        ValueError: If they do not fit together.
    """
    images, test_images = (FeatureStore.open(folder, kind='image') for folder in (args.images, args.test_images))
    known, seen = (dict(store.index.of_model, width=store.index.width) for store in (images, test_images))
    other = other_features(known, seen, list(known))
    if other:
        raise ValueError(f'{test_images.folder}: has {other} {seen[other]!r:.80}, and {images.folder} has '
                         f'{known[other]!r:.80}; expected features by one vision model. Make one of them again.')
    captions = open_captions(args.captions)
    if captions.keys != images.keys:
        raise ValueError(f'{args.captions}: names {len(captions.keys)} images, and {images.folder} has {len(images.keys)}; '
                         'expected the same ones in the same order. Make the features from these captions '
                         '(tools/precompute_features.py images --captions).')
    tasks = [read_task(files, args.templates, test_images) for files in args.task]
    probe = open_captions(args.probe_captions).pairs if args.probe_captions else []
    prompts = [(prompt, prompt) for prompt in all_prompts(tasks)]
    return Data(images, test_images, tasks, Texts(captions.pairs, prompts, probe))


def _methods(args: argparse.Namespace) -> List[Method]:
    return [SHARELOCK, *([LIT] if 'lit' in args.baselines else [])]


def plan(args: argparse.Namespace, protocol: Protocol, data: Data, sides: Dict[str, PlannedSide]) -> List[Planned]:
    """All trainings: each language model by each method, then the random controls, for each seed.

    Args:
        args: The command line.
        protocol: The config.
        data: What is trained on.
        sides: Language models by label; random features are as wide as those of the first.
    """
    methods = _methods(args)
    found = [(label, method, seed, side) for label, side in sides.items() for method in methods for seed in args.seeds]
    width = next(iter(sides.values())).captions.index.width
    for name, unit in (('random', 'text'), ('words', 'word')):
        if name in args.baselines:
            folders = {seed: args.out / 'stores' / f'{name}-seed{seed}' for seed in args.seeds}
            found += [(name, SHARELOCK, seed, random_side(unit, seed, width, folder, data.texts))
                      for seed, folder in folders.items()]
    return [Planned(label, method, seed, side, protocol.training(side, method, seed, _folder(args.out, label, method, seed)))
            for label, method, seed, side in found]


def _folder(out: Path, label: str, method: Method, seed: int) -> Path:
    return out / 'runs' / str(FolderName(f'{label}-{method.name.lower()}', seed))


def print_commands(runs: Sequence[TrainingRun], args: argparse.Namespace) -> None:
    """The commands of the trainings, as a user would type them, and their number.

    Args:
        runs: The trainings.
        args: The command line.
    """
    done = [run.status in ENDED and not args.fresh for run in runs]
    for run, is_done in zip(runs, done):
        print(f'{"# done: " if is_done else ""}{command_line(run, args.jobs)}')
    print(f'# trainings: {len(runs)}, done: {sum(done)}')


def train(runs: Sequence[TrainingRun], args: argparse.Namespace, console: Console) -> List[str]:
    """Train what is not trained yet; returns what went wrong.

    Args:
        runs: The trainings, whose features are there.
        args: The command line.
        console: Where progress is shown.
    """
    check_datasets(Config(runs[0].request['config']))  # the others differ in the text features alone
    chains = [Chain(run.work_dir.name, [lambda run=run: run]) for run in runs if run.status not in ENDED]
    return TrainingPool(args.jobs, args.gpu_groups, keep_going=True, console=console).run(chains)


def score_training(one: Planned, side: TextSide, data: Data) -> List[Score]:
    """Zero-shot accuracy of a training's model in each task; NaN where it has not come to its end."""
    status = one.run.status
    model = trained_model(one.run) if status == 'finished' else None
    return [Score(one.model, one.method.name, one.seed, task.name, status,
                  math.nan if model is None else zero_shot_accuracy(model, side, data.test_images, task))
            for task in data.tasks]


def untrained_scores(label: str, side: TextSide, protocol: Protocol, data: Data, args: argparse.Namespace) -> List[Score]:
    """What is asked for of a language model that needs no training of ShareLock."""
    scores: List[Score] = []
    if 'asif' in args.baselines:
        found = asif_accuracies(protocol.pairs(side, 'all'), side, data.test_images, data.tasks, args)
        scores += [Score(label, 'asif', None, name, 'finished', value) for name, value in found.items()]
    return scores


def _say_of_asif(args: argparse.Namespace, data: Data) -> None:
    """Say where the published number of similarities keeps all there are."""
    pairs = len(data.texts.captions)
    if 'asif' in args.baselines and pairs <= args.asif_kept == NON_ZERO:
        print(f'asif: each sample keeps its similarities to all {pairs} pairs, fewer than the {NON_ZERO} of 1.6 million as '
              'published. --asif-kept gives another number.')


def probes(sides: Dict[str, TextSide], data: Data) -> List[Score]:
    """Linear probes of each task, of images and of each language model's captions; says which task has none, and why."""
    rows = [(label, 'linear probe of captions', partial(probe_texts, side.probe, data.test_images))
            for label, side in sides.items() if side.probe is not None]
    rows.append(('images', 'linear probe', partial(probe_images, data.test_images)))
    scores, without = [], {}
    for label, method, probe in rows:
        for task in data.tasks:
            try:
                scores.append(Score(label, method, None, task.name, 'finished', probe(task)))
            except ValueError as error:
                without.setdefault(str(error), {})[task.name] = None
    for reason, names in without.items():
        print(f'{", ".join(names)}: no {reason}')
    return scores


def facts(model: LanguageModel, side: TextSide, protocol: Protocol, args: argparse.Namespace) -> Model:
    """What is known of a language model without training: the two things that may predict its accuracy."""
    loss = model.loss(args.text) if args.text else None
    if loss is not None and loss.unknown:
        print(f'{model.label}: {loss.unknown} of {loss.tokens} tokens of {args.text} are unknown to its tokenizer; its bits '
              'per byte are too low.', file=sys.stderr)
    try:
        near = neighbourhood(protocol.pairs(side, 'first'), args)
    except ValueError as error:
        print(f'{model.label}: no mutual nearest neighbours: {error}', file=sys.stderr)
        near = None
    return Model(model.label, model.facts['causal'], model.facts['parameters'], loss, near)
