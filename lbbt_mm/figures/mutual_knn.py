"""Which block of a language model sees samples as which block of a vision model does (mutual nearest neighbours).

Every block of language models that read captions against every block of vision models that see the images: heat map, best
pairs, and the block and place that they recommend ("Frozen Language Models are Gradient Coherence Rectifiers in Vision
Transformers", Eq. 4, Figs. 4 and 5). The best of many pairs is high by chance too: beside every score stands p, from
permutations in each of which the best pair is taken again. Several models make the comparison of sizes (Table 1).

  tools/analysis/mutual_knn.py RUN --language FOLDER
  tools/analysis/mutual_knn.py tiny=RUN small=RUN --language 135M=MODEL.gguf 1B=FOLDER --captions captions.txt
  tools/analysis/mutual_knn.py CONFIG.py,CHECKPOINT.pth --language FOLDER --captions pairs.csv

Captions are a text file with a line for each image of the split, a .csv or .jsonl file with image and caption, or, without
--captions, the names of the classes. Images with the same caption are averaged into one sample. Written to --out:
mutual_knn.png, .pdf, .csv (all pairs of blocks) and mutual_knn_models.csv. What is done is kept there, and not done again.
"""
import argparse
from typing import Optional, Sequence

from lbbt_mm import argument_types
from .arguments import TRAINED, add_output, add_samples, language, run_figure

TEMPLATE, QUANTILE = 'a photo of a {}', 0.95


def template(text: str) -> str:
    """What stands around the name of a class, with ``{}`` in its place.

    Args:
        text: What the user gave.

    Raises:
        argparse.ArgumentTypeError: If it has no place for the name.
    """
    from lbbt_mm.datasets.prompt_templates import read_templates  # not for --help
    try:
        return read_templates([text])[0]
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def parse_args(arguments: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argument_types.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('runs', nargs='+', metavar='RUN', help=TRAINED)
    parser.add_argument('--language', nargs='+', action='extend', required=True, type=language, metavar='[LABEL=]MODEL',
                        help='folder in Hugging Face format (safetensors, with its tokenizer), GGUF file, or hub id')
    parser.add_argument('--captions', type=argument_types.existing_file, metavar='FILE',
                        help='a line for each image of the split; or .csv or .jsonl with image and caption; default: names '
                        'of the classes')
    parser.add_argument('--template', type=template, metavar='TEXT',
                        help=f'around the name of a class; default: {TEMPLATE}')
    parser.add_argument('--class-names', type=argument_types.existing_file, metavar='FILE',
                        help="a line for each class, in the labels' order; default: the data set's")
    parser.add_argument('--duplicates', choices=('average', 'share'), default='average',
                        help='of images with one caption: one sample, or a sample each whose neighbours share places; '
                        'default: average')
    parser.add_argument('--neighbours', type=argument_types.count, default=10, metavar='K', help='default: %(default)s')
    parser.add_argument('--clamp', choices=('samples', 'tensor', 'none'), default='samples',
                        help="features at a quantile of magnitudes: the mean of each sample's, or of all together; default: "
                        'samples')
    parser.add_argument('--quantile', type=argument_types.number(above=0, most=1), metavar='Q',
                        help=f'of --clamp samples and tensor; default: {QUANTILE}')
    parser.add_argument('--normalise', choices=('unit', 'none'), default='unit',
                        help='features to length 1, or as they are; default: unit')
    parser.add_argument('--tokens', choices=('auto', 'class', 'mean'), default='auto',
                        help='of an image: the class token, the mean of the patches, or the first where it is there; '
                        'default: auto')
    parser.add_argument('--last-block', choices=('output', 'normed'), default='output',
                        help="of a language model: the last block's output, or that behind the final norm, as in the public "
                        'code; default: output')
    parser.add_argument('--permutations', type=argument_types.permutations, default=1000, metavar='N',
                        help='19 or more; default: %(default)s')
    parser.add_argument('--split', choices=('train', 'val', 'test'), default='test', help='default: test')
    add_samples(parser, 1000)
    add_output(parser, 'mutual_knn')
    args = parser.parse_args(arguments)
    argument_types.refuse_repeated(parser, '--language', [found.label for found in args.language], 'LABEL=MODEL')
    if args.captions and args.class_names:
        parser.error('--captions and --class-names: expected one of them')
    if args.captions and args.template:
        parser.error(f'--template {args.template!r}: is for names of classes, in place of which --captions stands. Leave '
                     'one of them out')
    if args.clamp == 'none' and args.quantile:
        parser.error(f'--quantile {args.quantile}: nothing reads it with --clamp none. Leave one of them out')
    args.template, args.quantile = args.template or TEMPLATE, args.quantile or QUANTILE
    return args


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Command line; returns the exit status."""
    return run_figure(lambda: parse_args(arguments), 'mutual_knn_maps')


if __name__ == '__main__':
    import sys
    sys.exit(main())
