"""The sections of a report: each is made by a tool of its own, in this process, and put into the page."""
import argparse
import io
import re
import sys
from collections import Counter
from contextlib import redirect_stderr
from importlib import import_module
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Sequence

import pandas as pd

from lbbt_mm.files.whole_files import write_whole
from .arguments import output_folder
from .claimed_folder import REPORT, claimed
from .numbers import printed_tables
from .report_page import Shown, make_page
from .report_runs import ReportedRuns, find_runs

#: Images that losses of many points, or products with the Hessian, are taken over.
_FEW, _FEWER = 32, 16


class Section(NamedTuple):
    """A section that a tool makes.

    Attributes:
        title: Its heading.
        says: What it shows and what it does not.
        arguments: Of the tool, for some runs and the report's own arguments.
    """
    title: str
    says: str
    arguments: Callable[[ReportedRuns, argparse.Namespace], List[str]]


def _sampled(runs: Sequence[str], args: argparse.Namespace, most: int = sys.maxsize) -> List[str]:
    return [*runs, '--max-samples', str(min(args.max_samples, most)), '--device', args.device, *_overrides(args)]


def _overrides(args: argparse.Namespace) -> List[str]:
    return ['--cfg-options', *args.cfg_options] if args.cfg_options else []


def _counted(runs: ReportedRuns, args: argparse.Namespace) -> List[str]:
    """Patterns of the tensors that outliers are counted in; none for all: arms have other tensors beside the backbone's."""
    return args.only or ['backbone.*'] * runs.have_rectifier


TOOLS: Dict[str, Section] = {
    'curves': Section(
        'Training curves',
        'Loss and metrics over training: the mean over the seeds of an arm, with a band of one standard deviation. A curve '
        'shows how fast an arm fits what it is trained on; on random labels it says nothing of what the features are good '
        'for.', lambda runs, args: runs.logged),
    'gsnr': Section(
        'Gradient signal-to-noise ratio',
        'How far the samples of a batch agree on where parameters should go: over training with the floor, which gradients '
        'without any signal have, and by block, less that of the first label. It falls as a training fits its data, and is '
        'no measure of generalisation by itself.', lambda runs, args: runs.with_gsnr),
    'separability': Section(
        'Separability of features',
        'Features in a plane (t-SNE) and as they are, clustered, against the true labels; in brackets what permuted labels '
        'give. Read the numbers: a plane of t-SNE shows clusters whether or not there are any.',
        lambda runs, args: _sampled(runs.whole, args)),
    'activation': Section(
        'Neuron activation',
        'Share of hidden units that images activate, by block, beside the same on images whose pixels are shuffled. A ratio '
        'that is as high without the picture says nothing about the picture.',
        lambda runs, args: _sampled(runs.whole, args)),
    'outliers': Section(
        'Outliers among the weights',
        'Counts of large weights and the tails of their distributions, before and after training, of the first run of each '
        'arm. Counts by an absolute threshold depend on the scale of a model; the other rules do not. That an arm has '
        'outliers does not show that they do anything.',
        lambda runs, args: [*runs.firsts, '--before', *_overrides(args),
                            *(['--only', *_counted(runs, args)] if _counted(runs, args) else [])]),
    'alignment': Section(
        'Covariance alignment',
        'First-layer weights against the covariance of the patches: 1 for the same eigenvectors, 0 for what random '
        'rotations give. Above, networks for which the assumptions of Theorem 4.1 hold; below, the runs, of which no '
        'theorem speaks, since their optimiser and images are others.', lambda runs, args: _sampled(runs.whole, args)),
    'landscape': Section(
        'Loss landscape',
        'The loss on a plane through the start and the end of training and along one random direction, of the first run '
        'of each arm. One plane of so many dimensions shows how the loss falls along the training, not how wide a minimum '
        'is.',
        lambda runs, args: [*_sampled(runs.firsts, args, _FEW), '--points', '9']),
    'hessian': Section(
        'The Hessian of the loss',
        'Curvature at the start and at the end of training, of the first run of each arm: estimates by random vectors, with '
        'their standard errors, over few images. Sharpness depends on how weights are scaled and says little of '
        'generalisation by itself.',
        lambda runs, args: [*_sampled(runs.firsts, args, _FEWER), *'--steps 25 --draws 2 --trace-draws 4 --leading 5 '
                            '--noise-draws 2'.split()]),
}


def run(args: argparse.Namespace) -> int:
    """Make the sections and the page; returns the exit status."""
    runs = find_runs(args.runs)
    if 'results' in (args.sections or ()) and not runs.experiment:
        raise ValueError('--sections results: runs that are named have none; expected the folder of one experiment. Give '
                         'that, or leave results out.')
    out = args.out or output_folder(str(runs.experiment or Path('work_dirs', 'analysis', 'report')))
    # compare_arms.py --report puts the page there too, and has looked whose files these are
    is_its_own = bool(runs.experiment) and out.resolve() == runs.experiment.resolve()
    with claimed(out, REPORT, is_its_own):
        _write_page(runs, args, out)
    return 0


def _write_page(runs: ReportedRuns, args: argparse.Namespace, out: Path) -> None:
    shown = []
    asked = args.sections or [name for name in ('results', *TOOLS) if name != 'gsnr' or runs.with_gsnr]
    for name in [name for name in ('results', *TOOLS) if name in asked]:
        print(f'Section {name}', file=sys.stderr)
        if name != 'results':
            shown.append(make_section(name, runs, args, out / REPORT / name))
        elif runs.experiment:
            shown.append(results(runs.experiment))
    labels = Counter(text.split('=')[0] for text in runs.logged)
    title = runs.experiment.resolve().name if runs.experiment else ', '.join(labels)
    about = [f'Runs: {", ".join(f"{label} ({count})" for label, count in labels.items()) or "none"}.',
             'Made by tools/analysis/report.py of lbbt_mm; docs/analysis.md defines what is shown. Sections are made with '
             'small settings: for more, run the tool of that name.']
    write_whole(out / 'report.html', make_page(f'Report: {title}', about, shown, runs.left_out, out))
    for section in shown:
        if section.missing:
            print(f'{section.title}: {section.missing}', file=sys.stderr)
    print(f'Report: {out / "report.html"}')


def make_section(name: str, runs: ReportedRuns, args: argparse.Namespace, folder: Path) -> Shown:
    """Have a tool make its figures in a folder, and take them.

    Args:
        name: A key of :data:`TOOLS`, which is the name of the module too.
        runs: The runs.
        args: The report's arguments.
        folder: Where the tool's files go.

    Returns:
        Shown: The section; without figures and with the reason where the tool ended with an error.
    """
    section = TOOLS[name]
    shown = Shown(name, section.title, section.says)
    if not (runs.logged if name == 'curves' else runs.whole):
        return shown._replace(missing='no run that came to its end.' if runs.logged else 'no run with a log.')
    if name == 'gsnr' and not runs.with_gsnr:
        return shown._replace(missing='no run had lbbt_mm.GSNRHook and came to its end.')
    said = _Tee(sys.stderr)
    with printed_tables() as tables, redirect_stderr(said):
        status = _status(name, [*section.arguments(runs, args), '--out', str(folder)])
    if status == 130:
        raise KeyboardInterrupt
    if status:
        reason = [line for line in said.getvalue().splitlines() if line.strip()]
        return shown._replace(missing=reason[-1] if reason else f'the tool ended with status {status}.')
    return shown._replace(figures=sorted(folder.glob('*.png')), tables=tables, numbers=sorted(folder.glob('*.csv')),
                          notes=[*_remarks(name, runs, args), *([] if name == 'curves' else runs.gaps),
                                 *_notes(said.getvalue())])


def _status(name: str, arguments: List[str]) -> int:
    try:
        return import_module(f'lbbt_mm.figures.{name}').main(arguments)
    except ImportError as error:
        print(error, file=sys.stderr)
    except SystemExit as error:  # of a command line that the tool refuses
        return int(error.code or 0)
    return 2


def _remarks(name: str, runs: ReportedRuns, args: argparse.Namespace) -> List[str]:
    """What a section leaves out by the report's own choice."""
    if name == 'outliers' and _counted(runs, args):
        return [f'Counted are the tensors {" ".join(_counted(runs, args))} alone; --only names others.']
    absent = len(runs.whole) - len(runs.with_gsnr)
    return [f'{absent} of {len(runs.whole)} runs had no lbbt_mm.GSNRHook.'] if name == 'gsnr' and absent else []


def _notes(text: str) -> List[str]:
    """What a tool said of what it left out: its sentences, without progress and what libraries warn of."""
    sentences = [line for line in text.splitlines() if re.match(r'\S', line) and line.endswith('.')]
    return list(dict.fromkeys(line for line in sentences if 'Warning' not in line))


class _Tee(io.StringIO):
    """Keeps a text, and writes it to a stream too."""

    def __init__(self, stream: io.TextIOBase) -> None:
        super().__init__()
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(text)
        return super().write(text)

    def flush(self) -> None:
        self._stream.flush()


def results(experiment: Path) -> Shown:
    """What an experiment's summary says: its numbers, and its sentences."""
    says = ('What compare_arms.py measured: mean and standard deviation over the seeds that finished, and differences to '
            'the baseline paired by seed, with their intervals. An interval says whether these seeds tell two arms apart, '
            'for this data set and these settings.')
    summary = pd.read_csv(experiment / 'summary.csv')
    text = experiment / 'summary.md'
    sentences = re.findall(r'^- (.+)$', text.read_text(), re.M) if text.is_file() else []
    tables, numbers, runs = [('Summary', summary)], [experiment / 'summary.csv'], experiment / 'results.csv'
    if runs.is_file():
        tables.append(('All runs', pd.read_csv(runs)))
        numbers.append(runs)
    return Shown('results', 'Results', says, tables=tables, numbers=numbers, sentences=sentences)
