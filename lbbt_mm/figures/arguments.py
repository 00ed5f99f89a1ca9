"""The command line that all figures share."""
from pathlib import Path

from lbbt_mm import argument_types

#: How a tool's ``--help`` names what :func:`lbbt_mm.figures.trained.read_trained` takes.
TRAINED = '[LABEL=]RUN or [LABEL=]CONFIG,CHECKPOINT'


def add_output(parser: argument_types.Parser, name: str) -> None:
    """Add ``--out``.

    Args:
        parser: The tool's parser.
        name: What the figure is called; the default folder is named after it.
    """
    parser.add_argument('--out', type=Path, default=Path('work_dirs', 'analysis', name),
                        help=f'folder for {name}.png, .pdf and .csv; default: %(default)s')


def add_samples(parser: argument_types.Parser, most: int) -> None:
    """Add what a tool that runs a model on images needs.

    Args:
        parser: The tool's parser.
        most: Default of ``--max-samples``.
    """
    parser.add_argument('--max-samples', type=argument_types.count, default=most, metavar='N',
                        help='evenly spaced images of the data set; default: %(default)s')
    parser.add_argument('--batch-size', type=argument_types.count, default=64, metavar='N', help='default: %(default)s')
    parser.add_argument('--device', default='cpu', help='default: %(default)s')
    parser.add_argument('--seed', type=argument_types.seed, default=0, help='of what is drawn; default: %(default)s')
    parser.add_argument('--cfg-options', nargs='+', default=[], metavar='KEY=VALUE',
                        help='override settings of every config, as in tools/train.py')
