"""Outliers among the weights of checkpoints, and the tails of their distributions: by layer, by kind of tensor, in all.

Figs. 2, 10, 11 and 14 of LBBT (section 3, appendices B and D). A checkpoint of any size is read tensor by tensor:

  tools/analysis/outliers.py MODEL
  tools/analysis/outliers.py language=LM_FOLDER vision=VIT.pth --rule absolute --threshold 1.0
  tools/analysis/outliers.py RUN_FOLDER... --before --rule robust
  tools/analysis/outliers.py detector.pth --only 'backbone.*'

MODEL is a folder in Hugging Face format, a hub id, a .safetensors, .gguf or .pth file, or the folder of a run. The paper
names no rule; `absolute` is its public code's: |w| above a threshold, whatever the scale of a model. The rules that do not
depend on scale stand beside it in every table: `std`, more than so many standard deviations of its tensor from its mean, and
`robust`, a modified z-score 0.6745 |w - median| / MAD above the threshold (at 6, 8.9 MAD from the median). Kurtosis and
Hill's index say how heavy the tails are without a threshold.

Written to --out: outliers.png and .pdf, outliers.csv (a row for each tensor), outliers_groups.csv (by layer, by kind, in
all), outliers_curves.csv (what is drawn as curves). What the last command did is kept there, and not done again.
"""
import argparse
import math
import os
from functools import lru_cache
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

from lbbt_mm import argument_types
from .arguments import add_output, check_label, run_figure, split_label

NAME = 'outliers'
#: Tensors at once: while some are computed with, others are read.
JOBS = min(8, 2 * (os.cpu_count() or 1))
_DEFAULTS = dict(absolute=1., std=6., robust=6.)


def parse_args(arguments: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argument_types.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('models', nargs='+', type=_labelled, metavar='[LABEL=]MODEL')
    add_output(parser, NAME)
    parser.add_argument('--rule', choices=_DEFAULTS, default='absolute', help='what is drawn by layer; default: %(default)s')
    parser.add_argument('--threshold', type=argument_types.positive, metavar='X',
                        help='of this rule; default: 1.0 for absolute, 6 for std, a modified z-score of 6 for robust')
    parser.add_argument('--tail', type=argument_types.number(above=0, below=1), default=0.01, metavar='SHARE',
                        help="largest weights of a tensor that Hill's index is estimated from; default: %(default)s")
    parser.add_argument('--only', nargs='+', default=[], metavar='PATTERN',
                        help="tensors of these names alone, for example 'backbone.*' '*.attn.*'")
    parser.add_argument('--before', action='store_true', help='of each run also the model as its training began')
    parser.add_argument('--cfg-options', nargs='+', default=[], metavar='KEY=VALUE',
                        help='of --before: override settings of every config, as in tools/train.py')
    parser.add_argument('--jobs', type=argument_types.count, default=JOBS, metavar='N',
                        help='tensors at once; default: %(default)s')
    args = parser.parse_args(arguments)
    if args.cfg_options and not args.before:
        parser.error('--cfg-options is about models as their training began. Give --before, or leave it out')
    argument_types.refuse_repeated(parser, 'MODEL', [label for label, _ in args.models], 'LABEL=MODEL')
    return args


def _labelled(text: str) -> Tuple[str, str]:
    label, where = split_label(text)
    path = Path(where)
    is_file = path.suffix in ('.pth', '.pt', '.bin', '.safetensors', '.gguf')
    return check_label(label or (path.stem if is_file else path.resolve().name), text), where


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Command line; returns the exit status."""
    return run_figure(lambda: parse_args(arguments), NAME)


def run(args: argparse.Namespace) -> None:
    """Open all checkpoints, then read them, then write and draw.

    Args:
        args: As :func:`parse_args` gives them.

    Raises:
        ValueError: If a checkpoint is none, has no tensor that was asked for, or holds NaN; or if the layers of several
            cannot be set side by side.
    """
    import torch

    from lbbt_mm.analysis.weight_statistics import Rules
    from .outlier_tables import Tables
    from .parts import Parts
    rules = Rules(**{**_DEFAULTS, **({args.rule: args.threshold} if args.threshold else {})}, tail=args.tail)
    parts = Parts(args.out / f'{NAME}.parts.json', dict(rules=rules, version=2))
    starts: Dict[str, Any] = {}
    models = _only(dict(_open_all(args, parts, starts)), args.only)
    places = _places(models)
    for key, names in starts.items():
        parts.get(key, lambda names=names: names)
    torch.set_num_threads(1)  # tensors are spread over threads
    rows = [row for label, weights in models.items()
            for row in _measure(label, weights, places[label], rules, parts, args.jobs)]
    tables = Tables(rows, {label: weights.left_out for label, weights in models.items()}, rules, args.rule)
    tables.write(args.out, NAME)
    from .outlier_figure import draw
    draw(tables, args.out, NAME)
    parts.drop_others()
    tables.show()


def _open_all(args: argparse.Namespace, parts: Any, starts: Dict[str, Any]) -> Iterator[Tuple[str, Any]]:
    from .outlier_tables import START
    from .weights import open_weights
    runs = [label for label, where in args.models if (Path(where) / 'last_checkpoint').is_file()]
    if args.before and not runs:
        raise ValueError('--before: none of the models is the folder of a run, which has a last_checkpoint. Give one, or '
                         'leave the option out.')
    for label, where in args.models:
        weights = open_weights(where)
        if args.before and label in runs:
            from .trained import OpenedRun, Trained
            yield f'{label}{START}', _start(OpenedRun(Trained(label, Path(where)), args.cfg_options), where, parts, starts)
        yield label, weights


def _start(opened: Any, where: str, parts: Any, starts: Dict[str, Any]) -> Any:
    """The weights of a run's start; it is not built where their names are known, until one is read.

    Args:
        opened: The run.
        where: Its folder.
        parts: What is done.
        starts: Takes the names of a start that was built, by the part that they are kept as.
    """
    from .parts import digest
    from .weights import named_weights, weights_of
    question = [opened.question_of_start, 'start']
    key = digest([question, 'names'])
    build = lru_cache(maxsize=None)(lambda: weights_of(opened.at_start().state_dict(), f'{where}, its start', question))
    if key in parts:
        return named_weights(build, f'{where}, its start', question, **parts.get(key, dict))
    starts[key] = dict(shapes={one.name: one.shape for one in build().tensors}, left_out=build().left_out)
    return build()


def _only(models: Dict[str, Any], patterns: Sequence[str]) -> Dict[str, Any]:
    """The weights whose names fit a pattern, of each model; each pattern has to be of use in one."""
    from fnmatch import fnmatchcase
    if not patterns:
        return models
    fits = {label: [[fnmatchcase(one.name, pattern) for pattern in patterns] for one in weights.tensors]
            for label, weights in models.items()}
    chosen = {label: [one for one, fit in zip(weights.tensors, fits[label]) if any(fit)]
              for label, weights in models.items()}
    vain = [pattern for index, pattern in enumerate(patterns)
            if not any(fit[index] for of_model in fits.values() for fit in of_model)]
    empty = next((label for label in models if vain or not chosen[label]), None)
    if empty is not None:
        weights = models[empty]
        raise ValueError(f'{weights.location}: no tensor is named like --only {" ".join(vain or patterns)}; found for '
                         f'example {weights.tensors[0].name} and {weights.tensors[-1].name}. Correct the pattern.')
    return {label: weights._replace(tensors=chosen[label]) for label, weights in models.items()}


def _places(models: Dict[str, Any]) -> Dict[str, Any]:
    from lbbt_mm.analysis.tensor_kinds import find_places, unmatched
    places = {label: find_places([one.name for one in weights.tensors]) for label, weights in models.items()}
    reason = unmatched({label: found.values() for label, found in places.items()})
    if reason:
        raise ValueError(f"{reason}; expected one stack of numbered layers in each model, or the same stacks in all. Choose "
                         "one with --only 'NAME.*', or give the models one by one.")
    return places


def _measure(label: str, weights: Any, places: Any, rules: Any, parts: Any, jobs: int) -> Iterator[Dict[str, Any]]:
    """Describe a model's tensors, in parts that are kept."""
    from .parts import digest
    from .progress import track
    batches = _batches(weights.tensors)
    for batch in track(batches, f'{label} (parts)') if len(batches) > 1 else batches:
        found = parts.get(digest([weights.question, [one.name for one in batch]]),
                          lambda batch=batch: describe_all(batch, rules, jobs, weights.location, label))
        for one, numbers in zip(batch, found):
            yield dict(model=label, tensor=one.name, **places[one.name]._asdict(), shape='x'.join(map(str, one.shape)),
                       **numbers)


def _batches(tensors: Sequence[Any], most: int = 2**30) -> List[List[Any]]:
    """Tensors in a row, each batch of about so many numbers."""
    batches, room = [], 0
    for one in tensors:
        if room <= 0:
            batches.append([])
            room = most
        batches[-1].append(one)
        room -= math.prod(one.shape)
    return batches


def describe_all(tensors: Sequence[Any], rules: Any, jobs: int, location: str, label: str) -> List[Dict[str, Any]]:
    """Describe tensors on several threads, the largest first, so that none is left at the end with a long one.

    Args:
        tensors: Of :class:`lbbt_mm.figures.weights.Weight`.
        rules: See :func:`lbbt_mm.analysis.weight_statistics.describe`.
        jobs: Threads, which should be all: torch's own are of no use here.
        location: The checkpoint, for messages.
        label: What it is called while this goes on.

    Returns:
        list[dict]: What is found of each.

    Raises:
        ValueError: If one holds NaN or infinity.
    """
    from concurrent.futures import ThreadPoolExecutor

    from lbbt_mm.analysis.weight_statistics import describe
    from .progress import track

    def describe_one(one: Any) -> Dict[str, Any]:
        """What is found of one; an error says whose it is."""
        try:
            return describe(one.pieces, rules)
        except ValueError as error:
            if type(error) is not ValueError:  # of the file, which says where
                raise
            raise ValueError(f'{location}: tensor {one.name!r} {error}. The file is damaged, or its training diverged; use '
                             'another checkpoint.') from None

    order = sorted(range(len(tensors)), key=lambda index: -math.prod(tensors[index].shape))
    with ThreadPoolExecutor(jobs) as pool:
        found = list(track(pool.map(describe_one, [tensors[index] for index in order]), label, len(order)))
    return [numbers for _, numbers in sorted(zip(order, found), key=lambda pair: pair[0])]
