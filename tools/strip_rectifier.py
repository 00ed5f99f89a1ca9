"""Take the rectifier out of a checkpoint of auxiliary training: the plain ViT is left, for a config of mmpretrain's own.

  tools/strip_rectifier.py work_dirs/rectifier_deit_imagefolder/epoch_15.pth --out deit.pth --config deit.py

A rectifier that inference needs (path='inserted') is refused.
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
    parser.add_argument('checkpoint', help='checkpoint of a lbbt_mm.RectifiedClassifier that tools/train.py wrote')
    parser.add_argument('--out', type=Path, required=True, metavar='FILE.pth', help='the plain checkpoint, a new file')
    parser.add_argument('--config', type=Path, metavar='FILE.py',
                        help='write the plain config too, with what a test needs, to a new file')
    return parser.parse_args()


def main() -> int:
    """Strip; returns the exit status."""
    args = parse_args()  # before what takes seconds to import
    for option in ('out', 'config'):
        refuse_overwriting_file(f'--{option}', getattr(args, option))
    if args.config and args.config.resolve() == args.out.resolve():
        raise ValueError(f'--config {args.config}: is the path of --out too, and the config would replace the checkpoint. '
                         'Give two names.')
    quiet_imports()
    import torch

    from lbbt_mm.files.checkpoint_files import load_checkpoint_safely
    from lbbt_mm.files.stripping import strip
    from lbbt_mm.files.whole_files import whole_file, write_whole
    found = strip(load_checkpoint_safely(args.checkpoint, mmap=True), args.checkpoint)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(args.out) as file:
        torch.save(found.checkpoint, file)
    if args.config:
        args.config.parent.mkdir(parents=True, exist_ok=True)
        write_whole(args.config, found.config.pretty_text)
    left = found.checkpoint['state_dict']
    print(f'{args.out}: {len(left)} tensors of the plain model; {len(found.taken_out)} of the auxiliary path left out.')
    return 0


if __name__ == '__main__':
    sys.exit(run_tool(main))
