"""Classify images as any classes, named in words, with a ShareLock and the two frozen models that it was trained on.

  tools/zero_shot.py RUN cat.jpg photos/ --classes cat dog 'polar bear' --vision CONFIG.py,CHECKPOINT.pth --text FOLDER
  tools/zero_shot.py CONFIG.py,CHECKPOINT.pth photos/ --classes names_zh.txt --templates clip-benchmark:imagenet1k:cn

RUN is the folder of a training of lbbt_mm.ShareLock. --vision and --text are not needed where its config names both models
(model.vision, model.text). Classes are written out, or in a file with one on each line, or those of the package
clip-benchmark (clip-benchmark:DATASET:LANGUAGE); so are templates, which have {} where the name goes.
"""
import argparse
import os
from importlib import import_module
from typing import List, Optional, Sequence

from lbbt_mm import argument_types
from lbbt_mm.figures.arguments import FOR_INFERENCE, device, refuse_absent_run
from lbbt_mm.files.overwriting import refuse_overwriting_file
from lbbt_mm.launch.user_errors import run_tool


def parse_args(arguments: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argument_types.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('run', help=FOR_INFERENCE)
    parser.add_argument('images', nargs='+', metavar='IMAGE', help='files, or folders of them')
    parser.add_argument('--classes', nargs='+', metavar='NAME', help="names, one file of names, or clip-benchmark:DATASET; "
                        "default: those of the run's config")
    parser.add_argument('--templates', nargs='+', metavar='TEXT', help='templates, one file of them, or '
                        "clip-benchmark:DATASET; default: those of the run's config")
    parser.add_argument('--vision', metavar='CONFIG.py,CHECKPOINT.pth', help='vision model, or the folder of its run, of '
                        'which the checkpoint is chosen likewise; default: model.vision')
    parser.add_argument('--text', metavar='MODEL', help='language model: folder in Hugging Face format, GGUF file, or hub '
                        'id; default: model.text')
    parser.add_argument('--cache', metavar='FOLDER', help='keep features and prototypes of the classes there')
    parser.add_argument('--topk', type=argument_types.count, default=3, metavar='N', help='classes shown; default: 3')
    parser.add_argument('--out', metavar='FILE.csv', help='write the classes of all images there, a new file')
    parser.add_argument('--batch-size', type=argument_types.count, default=32, metavar='N', help='default: %(default)s')
    parser.add_argument('--device', type=device, default='cpu', help='default: %(default)s')
    parser.add_argument('--cfg-options', nargs='+', default=[], metavar='KEY=VALUE', help="override settings of the run's "
                        'config')
    return parser.parse_args(arguments)


def one_or_list(given: Optional[List[str]]) -> Optional[object]:
    """A single entry that names a file or a source, by itself; several as they are written.

    Args:
        given: What the user gave.
    """
    one = given[0] if given and len(given) == 1 else ''
    is_source = one.startswith('clip-benchmark:') or one.endswith('.txt') or os.path.isfile(os.path.expanduser(one))
    return one if is_source else given


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Command line; returns the exit status."""

    def run() -> int:
        args = parse_args(arguments)
        for text in filter(None, (args.run, args.vision)):
            refuse_absent_run(text)
        refuse_overwriting_file('--out', args.out)
        from lbbt_mm.launch.quiet_imports import quiet_imports
        quiet_imports()
        return import_module(f'{__package__}.classify_images').run(args)

    return run_tool(run)
