"""Make features of images or texts by a frozen model, once, for training and testing on top of them.

  tools/precompute_features.py images CONFIG.py,CHECKPOINT.pth --captions pairs.csv --out features/images
  tools/precompute_features.py texts FOLDER_OR_GGUF_OR_HUB_ID --captions pairs.csv --out features/texts
  tools/precompute_features.py images CONFIG.py --split test --out features/test_images

Captions are .csv or .jsonl with image and caption, .json in COCO's format, or webdataset's .tar shards (a folder of them).
Where it is stopped, the same command goes on; several processes share the work with --shard-of, or started by torchrun.
Read with lbbt_mm.files.feature_store.FeatureStore.
"""
import argparse
import os
import re
from importlib import import_module
from pathlib import Path
from typing import NamedTuple, Optional, Sequence

from lbbt_mm import argument_types
from lbbt_mm.figures.arguments import FOR_INFERENCE, device, output_folder, refuse_absent_run
from lbbt_mm.launch.user_errors import run_tool


class Share(NamedTuple):
    """Which of several processes this one is; shard ``n`` is done by number ``n % of``.

    Attributes:
        number: Which one, from 0.
        of: How many there are.
    """
    number: int
    of: int


def share(text: str) -> Share:
    """Read ``K/N``.

    Args:
        text: What the user gave.

    Raises:
        argparse.ArgumentTypeError: If it is no such pair, or K is not below N.
    """
    found = re.fullmatch(r'(\d+)/(\d+)', text, re.ASCII)
    number, of = map(int, found.groups()) if found else (0, 0)
    if number >= of:
        raise argparse.ArgumentTypeError(f'{text}: expected K/N, K from 0 to N - 1, for example 0/4')
    return Share(number, of)


def _add_shared(parser: argparse.ArgumentParser) -> None:
    """Add what images and texts have in common."""
    parser.add_argument('--out', type=output_folder, required=True, metavar='FOLDER',
                        help='folder of the features, of their own; what is done there is kept')
    parser.add_argument('--dtype', choices=('float32', 'bfloat16'), default='float32',
                        help='of the computation, and of the features as stored; default: %(default)s')
    parser.add_argument('--device', type=device, default='cpu', help='default: %(default)s')
    parser.add_argument('--shard-rows', type=argument_types.count, default=8192, metavar='N',
                        help='features in a file; what is stopped loses one at most; default: %(default)s')
    parser.add_argument('--shard-of', type=share, metavar='K/N',
                        help='do the K-th of N shares; default: all of it, or the share of a process of torchrun')


def parse_args(arguments: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argument_types.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(dest='kind', required=True, metavar='images|texts')
    images = kinds.add_parser('images', help='features of images')
    images.add_argument('model', help=f'a config whose init_cfg names its weights; or {FOR_INFERENCE}')
    source = images.add_mutually_exclusive_group(required=True)
    source.add_argument('--captions', metavar='FILE', help='the images of a caption file, or folder of .tar shards')
    source.add_argument('--split', choices=('train', 'val', 'test'), help="the images of the config's own data set")
    images.add_argument('--images', metavar='FOLDER', help="what the file's paths are relative to; default: its own folder")
    images.add_argument('--pooling', choices=('auto', 'class', 'mean', 'both'), default='auto',
                        help='class token, mean of the patches, or both joined; default: auto, the class token where there '
                        'is one')
    images.add_argument('--batch-size', type=argument_types.count, default=64, metavar='N', help='default: %(default)s')
    images.add_argument('--workers', type=argument_types.whole_number(0, 64), default=min(4, os.cpu_count() or 1),
                        metavar='N', help='processes that load images; default: 4, or one a core if there are fewer')
    images.add_argument('--cfg-options', nargs='+', default=[], metavar='KEY=VALUE', help='override settings of the config')
    texts = kinds.add_parser('texts', help='features of captions')
    texts.add_argument('model', help='folder in Hugging Face format (safetensors, with its tokenizer), GGUF file, or hub id')
    texts.add_argument('--captions', required=True, metavar='FILE', help='caption file, or folder of .tar shards')
    texts.add_argument('--layer', type=int, default=-1, metavar='N',
                       help='-1: what the whole model gives, behind its final norm; else the output of block N; default: -1')
    texts.add_argument('--pooling', choices=('auto', 'last', 'mean', 'first'), default='auto',
                       help='last token (decoders), first token (encoders) or mean; default: auto, the last token of a '
                       'decoder, the mean of an encoder')
    texts.add_argument('--revision', metavar='NAME', help='of a model on the hub: branch, tag or commit')
    texts.add_argument('--batch-tokens', type=argument_types.count, default=4096, metavar='N',
                       help='tokens at once; default: %(default)s')
    for kind in (images, texts):
        _add_shared(kind)
    args = parser.parse_args(arguments)
    if args.kind == 'images' and args.images and not args.captions:
        images.error('--images: expected with --captions')
    if args.kind == 'texts' and args.revision and os.path.exists(os.path.expanduser(args.model)):
        texts.error(f'--revision {args.revision}: {args.model} is on this machine and has no revisions; expected a hub id. '
                    'Leave it out, or give one')
    args.out, args.shard_of = Path(args.out), args.shard_of or _share_of_environment()
    if args.device == 'cuda' and 'LOCAL_RANK' in os.environ:
        args.device = f'cuda:{os.environ["LOCAL_RANK"]}'
    return args


def _share_of_environment() -> Share:
    """The share that torchrun gives a process."""
    found = f'{os.environ.get("RANK", 0)}/{os.environ.get("WORLD_SIZE", 1)}'
    try:
        return share(found)
    except argparse.ArgumentTypeError:
        raise ValueError(f'RANK/WORLD_SIZE of the environment is {found}; expected numbers as torchrun sets them. Unset '
                         'them, or give --shard-of.') from None


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Command line; returns the exit status."""

    def run() -> int:
        args = parse_args(arguments)
        if args.kind == 'images':
            refuse_absent_run(args.model)
        from lbbt_mm.launch.quiet_imports import quiet_imports
        quiet_imports()
        return import_module(f'{__package__}.precompute_{args.kind}').run(args)

    return run_tool(run)


if __name__ == '__main__':
    import sys
    sys.exit(main())
