"""Leave out of image-caption data what names the classes of a zero-shot test: by their names, synonyms and plurals.

  tools/separate_concepts.py train.csv --classes test_names.txt --out train_separate.csv
  tools/separate_concepts.py shards/ --classes clip-benchmark:imagenet1k --kinds --out separate_shards/

Synonyms are those of WordNet's nouns (apt-get install wordnet-base), of all their meanings or of the --senses most frequent
ones, with --kinds also the words for kinds of a class (puppy of dog); or other words, --dictionary. An image of which one
caption names a class is left out with all of its captions, or with --keep-images that caption alone. What is left has the
form that it had: rows (.csv, .jsonl, .json), COCO's captions (.json), or tar shards. A table says how many captions name
each class.
"""
import argparse
from importlib import import_module
from pathlib import Path
from typing import Optional, Sequence

from lbbt_mm import argument_types
from lbbt_mm.launch.user_errors import run_tool


def parse_args(arguments: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argument_types.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('captions', metavar='CAPTIONS', help='.csv, .jsonl, .json, a .tar shard or a folder of them')
    parser.add_argument('--classes', nargs='+', required=True, metavar='NAME',
                        help='names of the test classes, one file of names, or clip-benchmark:DATASET')
    parser.add_argument('--out', type=Path, required=True, metavar='PATH', help='what is left: a new file, or a new folder')
    parser.add_argument('--wordnet', type=Path, metavar='FOLDER', help="WordNet's dictionary; default: that of Debian's "
                        'wordnet-base, unless --dictionary is given')
    parser.add_argument('--dictionary', type=Path, metavar='FILE.json', help='class -> list of other words for it')
    parser.add_argument('--senses', type=argument_types.count, metavar='N', help='meanings of a noun in WordNet that count; '
                        'default: all')
    parser.add_argument('--kinds', action='store_true', help='leave out what names a kind of a class too, as WordNet has it')
    parser.add_argument('--keep-images', action='store_true', help="leave out captions, and keep an image's others")
    parser.add_argument('--report', type=Path, metavar='FILE.csv', help='write the table there, with the words, a new file')
    args = parser.parse_args(arguments)
    unread = '--kinds' if args.kinds else f'--senses {args.senses}' if args.senses else ''
    if unread and args.dictionary and not args.wordnet:
        parser.error(f"{unread}: is of WordNet, which is not read beside --dictionary. Give its folder too (--wordnet), or "
                     'leave this out')
    if args.report and args.report.resolve() == args.out.resolve():
        parser.error(f'--out {args.out} and --report {args.report}: expected two files. Give another name to one of them')
    return args


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Command line; returns the exit status."""

    def run() -> int:
        args = parse_args(arguments)
        from lbbt_mm.launch.quiet_imports import quiet_imports
        quiet_imports()
        return import_module(f'{__package__}.separation').run(args)

    return run_tool(run)
