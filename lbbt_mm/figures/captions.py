"""Images of a run, each with a caption: from a file, or the names of their classes."""
import argparse
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any, Callable, Iterator, List, NamedTuple, Sequence, Tuple

from torch import Tensor

from lbbt_mm.config_keys import walk
from lbbt_mm.datasets.captions.rows import ENDINGS, read_pairs
from lbbt_mm.datasets.class_names import read_class_names, read_lines
from lbbt_mm.datasets.prompt_templates import class_prompts
from .trained import OpenedRun


class CaptionedImages(NamedTuple):
    """Images, each with a caption.

    Attributes:
        captions: The different captions, as they come first.
        of_image: Which of them each of the N images has, ``(N, )``.
        batches: Gives batches of images and data samples, as :meth:`OpenedRun.images` does, for a batch size.
    """
    captions: List[str]
    of_image: List[int]
    batches: Callable[[int], Iterator[Tuple[Any, List[Any]]]]


def captioned_images(run: OpenedRun, args: argparse.Namespace) -> CaptionedImages:
    """Read the captions of a run's images; no image is opened.

    Args:
        run: The run, whose pipeline loads the images.
        args: ``captions``, ``template``, ``class_names``, ``split`` and ``max_samples``.

    Raises:
        FileNotFoundError: If captions or images are not there.
        ValueError: If captions and images are not one for one.
    """
    if args.captions and args.captions.suffix.lower() in ENDINGS:  # any other is a caption a line
        return _from_pairs(run, args)
    subset = _subset(run, args)
    if args.captions:
        from lbbt_mm.datasets.even_subset import even_indices
        captions, images = read_lines(args.captions, 'a caption'), len(subset.dataset)
        if len(captions) != images:
            raise ValueError(f'{args.captions}: {len(captions)} captions, and the {args.split} split of {run.name} has '
                             f'{images} images; expected a line for each, in their order. Give the captions of this split.')
        captions = [captions[index] for index in even_indices(images, args.max_samples)]
    else:
        captions = _class_captions(run, subset, args)
    return _grouped(captions, partial(run.images, args.split, args.max_samples))


def _grouped(captions: Sequence[str], batches: Callable[[int], Iterator]) -> CaptionedImages:
    different = list(dict.fromkeys(captions))
    numbers = {caption: number for number, caption in enumerate(different)}
    return CaptionedImages(different, [numbers[caption] for caption in captions], batches)


# class names


def _subset(run: OpenedRun, args: argparse.Namespace) -> Any:
    """The samples that :meth:`OpenedRun.images` loads, without loading them."""
    from mmengine.registry import DATASETS, init_default_scope
    init_default_scope(run.cfg.get('default_scope', 'mmengine'))
    try:
        return DATASETS.build(dict(type='lbbt_mm.EvenSubset', num_samples=args.max_samples, at_most=True,
                                   dataset=deepcopy(run.loader(args.split).dataset)))
    except FileNotFoundError as error:
        raise run.absent_data(args.split, error) from None


def _class_captions(run: OpenedRun, subset: Any, args: argparse.Namespace) -> List[str]:
    """The template with the name of each image's class; its true class, also where labels are random."""
    where = f'{run.name}: the {args.split} split'
    given = args.class_names or list(map(str, subset.metainfo.get('classes') or ()))
    if not given:
        raise ValueError(f'{where} names no classes. Give their names, a line each: --class-names FILE, or --captions FILE')
    try:
        names = read_class_names(given)
    except ValueError as error:
        raise error if args.class_names else ValueError(f'{where}: {error} --class-names FILE gives others.') from None
    infos = map(subset.get_data_info, range(len(subset)))
    labels = [info.get('true_label', info.get('gt_label')) for info in infos]
    wrong = [label for label in labels if not _is_one_of(label, len(names))]
    if wrong:
        raise ValueError(f'{where} has an image with the label {wrong[0]!r:.40}; expected one of {len(names)} classes. Give '
                         'the name of each class (--class-names FILE), or --captions FILE')
    prompts = class_prompts(names, [args.template])
    return [prompts[int(label)] for label in labels]


def _is_one_of(label: Any, classes: int) -> bool:
    try:
        return 0 <= int(label) < classes
    except (TypeError, ValueError):
        return False


# files of images and captions


def _from_pairs(run: OpenedRun, args: argparse.Namespace) -> CaptionedImages:
    from lbbt_mm.datasets.even_subset import even_indices
    pairs = read_pairs(args.captions)
    pairs = [pairs[index] for index in even_indices(len(pairs), args.max_samples)]
    images = [args.captions.parent / image for image, _ in pairs]
    absent = next((image for image in images if not image.is_file()), None)
    if absent:
        raise FileNotFoundError(f'{args.captions}: the image {absent} is not there. Paths are relative to the folder of '
                                'that file; correct it.')
    pipeline = next((part for key, part in walk(run.loader(args.split).dataset, 'dataset') if key.endswith('.pipeline')), [])
    if not any(str(step.get('type')).endswith('LoadImageFromFile') for step in pipeline):
        raise ValueError(f'{run.name}: the pipeline of its {args.split} split loads no image files (LoadImageFromFile), so '
                         f'how it would see those of {args.captions} is not known. Give captions of its own images, a line '
                         'each.')
    return _grouped([caption for _, caption in pairs], partial(_load, run, pipeline, images))


def _load(run: OpenedRun, pipeline: Sequence[dict], images: List[Path],
          batch_size: int) -> Iterator[Tuple[List[Tensor], List[Any]]]:
    """Image files through a run's pipeline."""
    from mmengine.dataset import Compose, pseudo_collate
    from mmengine.registry import init_default_scope

    from lbbt_mm.random_state import random_state_kept, seed_all
    init_default_scope(run.cfg.get('default_scope', 'mmengine'))
    transforms = Compose(deepcopy(list(pipeline)))
    with random_state_kept():
        seed_all(0)  # of augmentation
        for first in range(0, len(images), batch_size):
            batch = pseudo_collate([transforms(dict(img_path=str(images[index]), sample_idx=index))
                                    for index in range(first, min(first + batch_size, len(images)))])
            yield batch['inputs'], batch['data_samples']
