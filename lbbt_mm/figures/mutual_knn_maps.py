"""Mutual nearest neighbours of language and vision models: measured and tabled."""
import argparse
import sys
from functools import partial
from typing import Any, Dict, List, Sequence, Tuple

import torch
from torch import Tensor

from lbbt_mm.analysis.mutual_knn import (LayerPairs, Neighbours, average, check_samples, clamp_level, nearest_neighbours,
                                         prepare)
from lbbt_mm.analysis.permutation import Calibrated, calibrate
from lbbt_mm.language.text_files import TextFiles, find_text_model
from .block_features import read_block_features
from .captions import CaptionedImages, captioned_images
from .features import part_name
from .mutual_knn_panels import draw
from .mutual_knn_tables import LEVEL, Compared, best_pairs, models_table, pairs_table, recommendation, sizes_table
from .numbers import print_numbers, write_numbers
from .parts import Parts, digest, stamp
from .progress import track
from .trained import OpenedRun, open_runs

_SETTINGS = ('neighbours', 'clamp', 'quantile', 'normalise', 'duplicates')

#: Of a model: ``parameters``, ``layers`` and what else there is to say.
Part = Dict[str, Any]


def run(args: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    compared = compare(args)
    write_numbers(pairs_table(compared), args.out, 'mutual_knn')
    models = models_table(compared)
    write_numbers(models, args.out, 'mutual_knn_models')
    draw(compared, LEVEL).save(args.out, 'mutual_knn')
    about = (f'The best pairs of blocks, counted from 0; chance gives {compared[0].chance:.4f} on average.\np: share of '
             f'permutations whose best pair is as high; calibrated: 0 at what {LEVEL:.0%} of them reach, 1 for equal '
             'neighbours')
    print_numbers(best_pairs(compared), about, ['language', 'vision'])
    sizes = sizes_table(models)
    print_numbers(sizes, 'The best score over all pairs of blocks; in brackets calibrated, and p',
                  list(sizes.columns.drop('parameters')))
    for row in models.itertuples():
        print(recommendation(row))


def compare(args: argparse.Namespace) -> List[Compared]:
    """Every language model against every run.

    Args:
        args: The command line.

    Raises:
        FileNotFoundError: If images or captions are not there.
        ValueError: If there are fewer samples than neighbours need, or models cannot be compared.
    """
    files = {language.label: find_text_model(language.location) for language in args.language}
    runs = open_runs(args)
    images = [captioned_images(run, args) for run in runs]
    check_images(runs, images, args)
    say_what_samples_are(images[0], args)
    parts = Parts(args.out / 'mutual_knn.parts.json', {name: getattr(args, name) for name in _SETTINGS})
    pairing = digest([images[0].captions, images[0].of_image])
    seen = [args.split, args.captions and stamp(args.captions), args.tokens, args.max_samples, pairing]
    vision = [parts.get(part_name(run, *seen, start=False), partial(_see, run, shown, args))
              for run, shown in zip(runs, images)]
    texts = {label: parts.get(digest([list(map(stamp, found.paths)), args.last_block, pairing]),
                              partial(_read, label, found, images[0], args)) for label, found in files.items()}
    compared: List[Compared] = []
    for label, text in texts.items():
        for number, run in enumerate(runs):
            near = text['layers'][0]
            one = Compared(label, run.label, sum(earlier.label == run.label for earlier in runs[:number]),
                           (text['parameters'], vision[number]['parameters']), *_calibrate(text, vision[number], args),
                           near['twins'] / len(near['groups']))
            compared.append(one)
    _say_of_texts(texts, args)
    return compared


def check_images(runs: Sequence[OpenedRun], images: Sequence[CaptionedImages], args: argparse.Namespace) -> None:
    """Refuse too few samples, and runs that do not see the same captions.

    Raises:
        ValueError: If a comparison would say nothing.
    """
    for run, shown in zip(runs, images):
        averaged = args.duplicates == 'average'
        what = f'different captions of {len(shown.of_image)} images' if averaged else 'images with captions'
        try:
            check_samples(len(shown.captions) if averaged else len(shown.of_image), args.neighbours, what)
        except ValueError as error:
            raise ValueError(f'{run.name}: {str(error).rstrip(".")} (--neighbours).') from None
        if (shown.captions, shown.of_image) != (images[0].captions, images[0].of_image):
            raise ValueError(f'{run.name}: its images have other captions than those of {runs[0].name}; expected the same '
                             'for all models of a table. Give runs on one data set, or --captions with images.')
        if len(shown.captions) == 1:
            raise ValueError(f'{run.name}: all images have the caption {shown.captions[0]!r:.80}; expected captions that '
                             'differ. Give others.')


def say_what_samples_are(shown: CaptionedImages, args: argparse.Namespace) -> None:
    """Print how many images and captions there are, and what becomes of images with the same caption."""
    images, captions = len(shown.of_image), len(shown.captions)
    said = f'{images:,} images with captions such as {", ".join(map(repr, shown.captions[:3]))}'
    if captions < images:
        said += (f'; {captions:,} are different, and ' + (
            'images with the same one are averaged: a sample each caption' if args.duplicates == 'average' else
            'samples with the same one share the places of neighbours'))
    print(f'{said}.')


def _see(run: OpenedRun, shown: CaptionedImages, args: argparse.Namespace) -> Part:
    """Neighbours of the images in each block of a run's model."""
    model = run.at_end(args.device)
    batches = track(shown.batches(args.batch_size), f'images of {run.label}', -(-len(shown.of_image) // args.batch_size))
    features = read_block_features(model, batches, args.tokens, run.name)
    if features.shape[1] != len(shown.of_image):
        raise ValueError(f'{run.name}: {features.shape[1]} images could be loaded, and there are {len(shown.of_image)} '
                         'captions; expected one each. Correct the images that cannot be loaded.')
    if args.duplicates == 'average':
        features = torch.stack([average(layer, torch.tensor(shown.of_image)) for layer in features])
    return dict(parameters=sum(parameter.numel() for parameter in model.backbone.parameters()),
                layers=_neighbours(features, args, run.name))


def _read(label: str, files: TextFiles, shown: CaptionedImages, args: argparse.Namespace) -> Part:
    """Neighbours of the captions in each block of a language model."""
    from lbbt_mm.language.text_model import TextModel
    model = TextModel(files, args.device)
    tokens = model.encode(shown.captions)
    features = model.read(tokens, args.batch_size, args.last_block, partial(track, what=f'captions for {label}'))
    if args.duplicates == 'share':
        features = features[:, torch.tensor(shown.of_image)]
    return dict(parameters=model.num_parameters, first=model.first_token(tokens),
                layers=_neighbours(features, args, label))


def _neighbours(features: Tensor, args: argparse.Namespace, label: str) -> List[Dict[str, Any]]:
    """Neighbours in each block of a model, in numbers and lists."""
    level = clamp_level(list(features), args.quantile, args.clamp)
    found = []
    for index, layer in enumerate(track(features, f'neighbours in {label}')):
        try:
            near = nearest_neighbours(prepare(layer, level, args.normalise == 'unit'), args.neighbours)
        except ValueError as error:
            raise ValueError(f'{label}, block {index}: {error}') from None
        found.append(near.plain())
    return found


def _calibrate(text: Part, vision: Part, args: argparse.Namespace) -> Tuple[float, Calibrated]:
    pairs = LayerPairs(*(list(map(Neighbours.from_plain, part['layers'])) for part in (text, vision)))
    return pairs.chance, calibrate(pairs.scores, pairs.samples, args.permutations, args.seed,
                                   partial(track, what='permutations'))


def _say_of_texts(texts: Dict[str, Part], args: argparse.Namespace) -> None:
    """Say what counts among a caption's tokens, and where a score says nothing of the language model."""
    for label, text in texts.items():
        first = f'the token {text["first"]!r} in front of them counts' if text['first'] else 'no special token is in front'
        print(f'{label}: means over the tokens of captions; {first}.')
        twins, samples = text['layers'][0]['twins'], len(text['layers'][0]['groups'])
        if twins:
            print(f'{label}: {twins:,} of {samples:,} samples have {args.neighbours} or more others with the very same '
                  'caption, which are their neighbours in any language model. Scores say how images cluster by caption, not '
                  'what a language model knows; --duplicates average compares captions.', file=sys.stderr)
