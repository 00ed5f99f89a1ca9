"""Compare language models: whose features are tied to images best, by one protocol? Is it the one that predicts text best?

For each language model: features of the captions, ShareLock trained on them and on one store of image features for several
seeds, and zero-shot accuracy on images of other classes; beside it bits per byte of a text that no model was trained on, and
calibrated mutual nearest neighbours of caption and image features, which need no training. With three models or more, how
these go together: Pearson and Spearman ("Better Language Models Exhibit Higher Visual Alignment", arXiv 2410.07173).

  tools/compare_text_encoders.py configs/small/sharelock_emoji.py --language A=FOLDER B=MODEL.gguf
      --captions data/emoji/train.csv --images features/train_images --test-images features/test_images
      --task names=data/emoji/test_labels.txt,data/emoji/test_names_en.txt --text held_out.txt --baselines random lit asif

CONFIG is a ShareLock config: its recipe, projection and loss are those of every training, which differ in the text features,
their width and the seed. The store of images is made by tools/precompute_features.py images.

Baselines (--baselines), on the same stores:
  random        as trained, on a random vector for each distinct text: what is reached without a language model
  words         likewise, on the sum of a random vector for each word: what words in common give
  lit           as trained, with one linear map of text features (as LiT has) in place of the MLP
  asif          no training: relative representations (arXiv 2210.01738), all pairs being anchors
  linear_probe  not zero-shot: cross-validated logistic regression of the test images' labels, on image features and, with
                --probe-captions, on the features of these images' captions: what either side holds where labels are given

What is done is kept in --out and not done again: give the same command. Written there: results.csv (one row for each run and
task), summary.csv, correlations.csv, scatter.png and .pdf; stores/, runs/.
"""
import argparse
from pathlib import Path
from typing import NamedTuple, Optional, Sequence

from lbbt_mm import argument_types
from lbbt_mm.argument_types import existing_file
from lbbt_mm.experiments.arguments import add_job_options, add_run_options, finish
from lbbt_mm.figures.arguments import check_label, device, language, output_folder, refuse_absent_package, split_label
from lbbt_mm.files.config_paths import refuse_absent_config
from lbbt_mm.launch.user_errors import run_tool

BASELINES = ('random', 'words', 'lit', 'asif', 'linear_probe')
#: Tokens of a window of the text that bits per byte are measured on.
CONTEXT = 512


class TaskFiles(NamedTuple):
    """A zero-shot task of a command line.

    Attributes:
        name: What tables call it.
        labels: File with the key of an image and its label on each line.
        classes: Where the names of the classes are, as :func:`lbbt_mm.datasets.class_names.read_class_names` takes it.
        templates: Likewise of templates; None for those of ``--templates``.
    """
    name: str
    labels: Path
    classes: str
    templates: Optional[str] = None


def task(text: str) -> TaskFiles:
    """Read ``NAME=LABELS,CLASSES[,TEMPLATES]``.

    Args:
        text: What the user gave.

    Raises:
        argparse.ArgumentTypeError: If it is none.
    """
    name, rest = split_label(text)
    parts = rest.split(',', 2)
    if not name or len(parts) < 2 or not all(parts):
        raise argparse.ArgumentTypeError(f'{text}: expected NAME=LABELS,CLASSES or NAME=LABELS,CLASSES,TEMPLATES')
    return TaskFiles(check_label(name, text), existing_file(parts[0]), *parts[1:])


def parse_args(arguments: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argument_types.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.set_defaults(tool='compare_text_encoders.py')
    parser.add_argument('config', type=Path, help='a ShareLock config')
    _add_data(parser.add_argument_group('data'))
    _add_models(parser.add_argument_group('language models'))
    _add_comparison(parser.add_argument_group('comparison'))
    trainings = parser.add_argument_group('trainings')
    add_run_options(trainings)
    add_job_options(trainings)
    args = parser.parse_args(arguments)
    finish(args, parser)
    argument_types.refuse_repeated(parser, '--language', [found.label for found in args.language], 'LABEL=MODEL')
    argument_types.refuse_repeated(parser, '--task', [found.name for found in args.task], 'NAME=LABELS,CLASSES')
    wrong = next((found.label for found in args.language if found.label in BASELINES), None)
    if wrong:
        parser.error(f'--language {wrong}=...: a baseline is called so. Give another name')
    if args.probe_captions and 'linear_probe' not in args.baselines:
        parser.error(f'--probe-captions {args.probe_captions}: nothing reads them but linear_probe, which is not among '
                     '--baselines. Add it there, or leave them out')
    if args.context and not args.text:
        parser.error(f'--context {args.context}: of --text, which is not given. Give a text, or leave this out')
    args.context = args.context or CONTEXT
    return args


def _add_data(data) -> None:
    data.add_argument('--captions', required=True, metavar='FILE',
                      help='captions of the training images: .csv, .jsonl, .json, or .tar shards')
    data.add_argument('--images', required=True, metavar='STORE', help='features of these images')
    data.add_argument('--test-images', required=True, metavar='STORE', help='features of the test images, by the same model')
    data.add_argument('--task', nargs='+', action='extend', type=task, required=True,
                      metavar='NAME=LABELS,CLASSES[,TEMPLATES]',
                      help='a file with image and label on each line, as CustomDataset of mmpretrain reads it; a file with '
                      'the name of a class on each line, or clip-benchmark:DATASET[:LANGUAGE]; templates of its own. Images '
                      'without a label do not count')
    data.add_argument('--templates', default='A photo of a {}', metavar='SOURCE',
                      help='around the names: a template, a file of them, or clip-benchmark:DATASET; default: %(default)s')
    data.add_argument('--probe-captions', metavar='FILE', help='captions of test images, for linear_probe alone')
    data.add_argument('--text', type=existing_file, metavar='FILE',
                      help='for bits per byte: a text that no model was trained on; default: none')


def _add_models(models) -> None:
    models.add_argument('--language', nargs='+', action='extend', required=True, type=language, metavar='[LABEL=]MODEL',
                        help='folder in Hugging Face format (safetensors, with its tokenizer), GGUF file, or hub id')
    models.add_argument('--layer', type=int, default=-1, metavar='N',
                        help='-1: behind the final norm; else the output of block N; default: -1')
    models.add_argument('--pooling', choices=('auto', 'last', 'mean', 'first'), default='auto',
                        help='of tokens; default: auto, the last of a decoder, the mean of an encoder')
    models.add_argument('--dtype', choices=('float32', 'bfloat16'), default='float32', help='default: %(default)s')
    models.add_argument('--device', type=device, default='cpu', help='of the language models; default: %(default)s')
    models.add_argument('--batch-tokens', type=argument_types.count, default=4096, metavar='N',
                        help='tokens at once; default: %(default)s')
    models.add_argument('--context', type=argument_types.whole_number(2), metavar='N',
                        help=f'tokens of a window of --text, 2 or more; windows overlap by half; default: {CONTEXT}')


def _add_comparison(what) -> None:
    what.add_argument('--baselines', nargs='+', choices=BASELINES, default=[], metavar='NAME',
                      help=f'some of {", ".join(BASELINES)}; default: none')
    what.add_argument('--seeds', nargs='+', type=argument_types.seed, default=[0, 1, 2], metavar='SEED',
                      help='default: 0 1 2')
    what.add_argument('--asif-kept', type=argument_types.count, default=800, metavar='K',
                      help='similarities that ASIF keeps of a sample, as published; default: %(default)s')
    what.add_argument('--asif-power', type=argument_types.positive, default=8., metavar='P',
                      help='what it raises them to, as published; default: %(default)s')
    what.add_argument('--neighbours', type=argument_types.count, default=10, metavar='K',
                      help='of mutual nearest neighbours; default: %(default)s')
    what.add_argument('--permutations', type=argument_types.permutations, default=1000, metavar='N',
                      help='19 or more; default: %(default)s')
    what.add_argument('--max-samples', type=argument_types.count, default=1000, metavar='N',
                      help='evenly spaced images for mutual nearest neighbours; default: %(default)s')
    what.add_argument('--out', type=output_folder, default='work_dirs/compare_text_encoders',
                      help='folder of the comparison; default: %(default)s')


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Command line; returns the exit status."""

    def run() -> int:
        args = parse_args(arguments)
        refuse_absent_config(args.config)
        if 'linear_probe' in args.baselines:
            refuse_absent_package('sklearn', 'scikit-learn>=1.3', 'linear_probe of --baselines')
        from lbbt_mm.launch.quiet_imports import quiet_imports
        quiet_imports()
        from .comparison import compare
        return compare(args)

    return run_tool(run)


if __name__ == '__main__':
    import sys
    sys.exit(main())
