"""The command line that all figures share."""
import argparse
import os
import re
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path
from typing import Callable, NamedTuple, Tuple

from lbbt_mm import argument_types
from lbbt_mm.files.overwriting import refuse_closed_folder
from lbbt_mm.launch.user_errors import run_tool
from lbbt_mm.runs.folder_names import without_seed

_TRAINED = '[LABEL=]RUN or [LABEL=]CONFIG,CHECKPOINT; of the folder of a run '
#: How a tool's ``--help`` names what :func:`lbbt_mm.figures.trained.read_trained` takes: figures show a training's end.
TRAINED = f'{_TRAINED}the latest checkpoint'
#: Likewise where predictions or features are asked for, see :func:`lbbt_mm.figures.trained.open_for_inference`.
FOR_INFERENCE = f'{_TRAINED}the best checkpoint where its config keeps it (save_best), else the last'


def split_label(text: str) -> Tuple[str, str]:
    """Split ``[LABEL=]WHAT``; a path that is there as it stands has no label, whatever is in its name.

    Args:
        text: What the user gave: one path, or CONFIG,CHECKPOINT.

    Returns:
        tuple: The label, empty where there is none, and the rest.
    """
    named = re.fullmatch(r'([^=/]+)=(.+)', text)
    config, checkpoint = split_pair(text)
    if not named or os.path.exists(text) or checkpoint and os.path.exists(config):
        return '', text
    return named.groups()


def split_pair(text: str) -> Tuple[str, str]:
    """Split ``CONFIG,CHECKPOINT`` at the comma that leaves two files, else at the first; none in a path that is there."""
    commas = [] if os.path.exists(text) else [found.start() for found in re.finditer(',', text)]
    pairs = [(text[:place], text[place + 1:]) for place in commas]
    return next((pair for pair in pairs if all(map(os.path.isfile, pair))), pairs[0] if pairs else (text, ''))


def refuse_absent_run(text: str) -> None:
    """Refuse a run that is not there, before the seconds that the mm codebases take to be imported.

    Args:
        text: ``[LABEL=]RUN`` or ``[LABEL=]CONFIG,CHECKPOINT``.

    Raises:
        FileNotFoundError: If a path in it leads nowhere.
    """
    config, checkpoint = split_pair(split_label(text)[1])
    for path in (config, os.path.expanduser(checkpoint)):  # the shell expands what a text begins with
        if path and not os.path.exists(path):
            raise FileNotFoundError(f'{path}: no such file or folder; expected what a run has left. Correct the path.')


def check_label(label: str, text: str) -> str:
    """Refuse a label that matplotlib would hide or read as a formula.

    Args:
        label: What figures would call something.
        text: What the user gave for it.

    Raises:
        argparse.ArgumentTypeError: If it begins with _ or has a $.
    """
    if label.startswith('_') or '$' in label:
        raise argparse.ArgumentTypeError(f'{text}: the label {label!r} begins with _ or has a $; expected one that figures '
                                         'can show. Give another: LABEL=PATH')
    return label


class Language(NamedTuple):
    """A language model of a command line.

    Attributes:
        label: What figures call it.
        location: Folder, GGUF file or hub id.
    """
    label: str
    location: str


def language(text: str) -> Language:
    """Read ``[LABEL=]MODEL``.

    Args:
        text: What the user gave. Without a label it is the model's last name.

    Raises:
        argparse.ArgumentTypeError: If its label cannot be shown.
    """
    label, location = split_label(text)
    if not location:
        raise argparse.ArgumentTypeError('expected a folder, a GGUF file or a hub id')
    return Language(check_label(label or Path(location).name, text), location)


def labelled_folder(text: str) -> Tuple[str, Path]:
    """Read ``[LABEL=]RUN``, the folder of a run whose seed does not tell it apart; another learning rate does.

    Args:
        text: What the user gave. Without a label it is the folder's name, without the seed.

    Raises:
        argparse.ArgumentTypeError: If the label cannot be shown.
    """
    label, where = split_label(text)
    return check_label(label or without_seed(Path(where).resolve().name), text), Path(where)


def output_folder(text: str) -> Path:
    """A folder that is there and can be written to, or that can be made.

    Args:
        text: What the user gave.

    Raises:
        argparse.ArgumentTypeError: If it is neither.
    """
    try:
        refuse_closed_folder(text, text)
    except ValueError as error:  # of which argparse would leave the message out
        raise argparse.ArgumentTypeError(str(error)) from None
    return Path(text)


def device(text: str) -> str:
    """A device that PyTorch can compute on here.

    Args:
        text: What the user gave.

    Raises:
        argparse.ArgumentTypeError: If there is none of that name.
    """
    if text != 'cpu':
        import torch
        try:
            torch.zeros(1, device=text).item()
        except (RuntimeError, AssertionError, NotImplementedError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0].split('. ')[0]
            raise argparse.ArgumentTypeError(f'{text}: not on this machine ({reason:.120}). Leave the option out for cpu, '
                                             'or give another') from None
    return text


def add_output(parser: argument_types.Parser, name: str) -> None:
    """Add ``--out``.

    Args:
        parser: The tool's parser.
        name: What the figure is called; the default folder is named after it.
    """
    parser.add_argument('--out', type=output_folder, default=os.path.join('work_dirs', 'analysis', name),
                        help=f'folder for {name}.png, .pdf and .csv; such files that this tool did not write are not '
                        'replaced; default: %(default)s')
    parser.set_defaults(figure=name)


def add_samples(parser: argument_types.Parser, most: int) -> None:
    """Add what a tool that runs a model on images needs.

    Args:
        parser: The tool's parser.
        most: Default of ``--max-samples``.
    """
    parser.add_argument('--max-samples', type=argument_types.count, default=most, metavar='N',
                        help='evenly spaced images of the data set; default: %(default)s')
    parser.add_argument('--batch-size', type=argument_types.count, default=64, metavar='N', help='default: %(default)s')
    parser.add_argument('--device', type=device, default='cpu', help='default: %(default)s')
    parser.add_argument('--seed', type=argument_types.seed, default=0, help='of what is drawn; default: %(default)s')
    parser.add_argument('--cfg-options', nargs='+', default=[], metavar='KEY=VALUE',
                        help='override settings of every config, as in tools/train.py')


def refuse_absent_package(package: str, distribution: str, what: str = 'this tool') -> None:
    """Refuse to begin without a package that is needed.

    Args:
        package: What is imported.
        distribution: What is installed, with its range of versions.
        what: What needs it.

    Raises:
        ImportError: If it is not installed.
    """
    try:
        import_module(package)
    except ImportError:
        name = re.match(r'[\w-]+', distribution)[0]
        raise ImportError(f"{name} is not installed, which {what} needs. Install it: pip install '{distribution}'") from None


def run_figure(parse: Callable[[], argparse.Namespace], module: str, **packages: str) -> int:
    """Run a figure's tool; what takes seconds to import comes after its command line is read.

    Args:
        parse: Reads the command line.
        module: Name of the module of this room whose ``run`` takes what was read.
        **packages: What the tool cannot be without: import package -> distribution and range.

    Returns:
        int: The exit status.
    """

    def run() -> int:
        args = parse()
        for text in getattr(args, 'runs', ()):
            refuse_absent_run(text)
        for package, distribution in packages.items():
            refuse_absent_package(package, distribution)
        from lbbt_mm.launch.quiet_imports import quiet_imports
        quiet_imports()
        from .claimed_folder import claimed
        with claimed(args.out, args.figure) if hasattr(args, 'figure') else nullcontext():
            return import_module(f'{__package__}.{module}').run(args)

    return run_tool(run)
