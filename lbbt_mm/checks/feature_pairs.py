"""Pairs of features before a run starts: do the stores fit each other, the projections and the batches?"""
from typing import Any, Iterator, Mapping, Optional, Sequence

from mmengine.config import Config

from lbbt_mm.registry import type_name
from ..config_keys import get_key
from .datasets import Found, find_datasets
from .image_files import SAMPLE, Budget
from .problems import Problem


def feature_pair_problems(cfg: Config, loaders: Sequence[str], budget: Budget = SAMPLE) -> Iterator[Problem]:
    """Open the stores that a run reads, and compare them with the run's model and loaders.

    Args:
        cfg: A run's config.
        loaders: Which data loaders the run uses.
        budget: Where it is for all files, every shard is read and its checksum compared; else no features are read.

    Yields:
        Problem: What does not fit.

    Raises:
        FileNotFoundError: If a store is absent.
        ValueError: If a store is damaged, or two do not belong together.
    """
    stores = {}
    for found in find_datasets(cfg, loaders):
        if type_name(found.config) == 'FeaturePairs':
            pairs = _open(found)
            for store in (pairs.images, pairs.texts):
                stores.setdefault(store.folder.resolve(), (found.where, store))
            yield from _loader_problems(found, get_key(cfg, found.loader))
            if type_name(cfg.get('model')) == 'ShareLock':
                yield from _width_problems(pairs, cfg.model)
            if found.loader == 'train_dataloader':
                yield from _batch_problems(cfg, pairs)
    for where, store in stores.values() if budget.seconds is None else ():
        for _, fault in budget.spend(str(store.folder), range(store.index.num_shards), store.fault_of):
            if fault:
                yield Problem(where, fault)


def _open(found: Found) -> Any:
    from lbbt_mm.datasets import FeaturePairs
    settings = {name: value for name, value in found.config.items() if name != 'type'}
    try:
        return FeaturePairs(**settings)
    except (FileNotFoundError, ValueError) as error:
        raise type(error)(f'{found.where}: {error}') from None
    except TypeError as error:
        raise ValueError(f'{found.where}: {error}; expected the settings of lbbt_mm.FeaturePairs.') from None


def _loader_problems(found: Found, loader: Mapping[str, Any]) -> Iterator[Problem]:
    if type_name(loader.get('collate_fn')) != 'collate_pairs':
        yield Problem(f'{found.loader}.collate_fn', 'is not that of batches which a data set puts together itself; expected '
                      "dict(type='lbbt_mm.collate_pairs'). Set it.")


def _width_problems(pairs: Any, model: Mapping[str, Any]) -> Iterator[Problem]:
    """Features against what their projections take, and what these make of them."""
    made = {}
    for part, store in (('vision_projection', pairs.images), ('text_projection', pairs.texts)):
        projection = model.get(part)
        made[part] = store.index.width if projection is None else projection.get('out_channels')
        given = store.index.width if projection is None else projection.get('in_channels')
        if given != store.index.width:
            yield Problem(f'model.{part}.in_channels', f'is {given!r}, and the features of {store.folder} '
                          f'({store.index.model}) are {store.index.width} wide. Set it to {store.index.width}, or give the '
                          'store of the model that was meant.')
    image, text = made['vision_projection'], made['text_projection']
    if image != text:
        yield Problem('model', f'makes embeddings of images {image!r} wide, and of texts {text!r} wide; expected one width. '
                      'Set out_channels of the projections.')


def _batch_problems(cfg: Config, pairs: Any) -> Iterator[Problem]:
    size, part = cfg.train_dataloader.get('batch_size'), get_key(cfg, 'model.accumulate_size', 1024)
    where, accumulates = 'train_dataloader.batch_size', get_key(cfg, 'model.batch') == 'accumulate'
    if size is not None and size < 2:
        yield Problem(where, f'is {size}; expected 2 or more: contrastive losses and batch norms need other pairs.')
    elif size is not None and size > len(pairs):
        yield Problem(where, f'is {size:,}, and the data set has {len(pairs):,} pairs; expected no more. Lower it, and its '
                      "sampler's, or take more of the store.")
    elif size is not None and accumulates and size % part:
        yield Problem(where, f"is {size:,}, with model.batch='accumulate' and model.accumulate_size={part:,}; expected a "
                      'whole number of times as many. Change one of the two.')
    yield from _sampler_problems(cfg, cfg.train_dataloader.get('sampler') or {}, size)
    if pairs.captions == 'all':
        yield Problem('train_dataloader.dataset.captions', "is 'all', so an image may be in a batch twice and count as its "
                      "own wrong partner. 'draw' takes another caption in each epoch.", False)


def _sampler_problems(cfg: Config, sampler: Mapping[str, Any], size: Optional[int]) -> Iterator[Problem]:
    if type_name(sampler) != 'PairSampler':
        yield Problem('train_dataloader.sampler', f'is {type_name(sampler) or None}, which does not say the epoch that '
                      "captions are drawn by; expected dict(type='lbbt_mm.PairSampler', batch_size=...). Set it.")
    elif sampler.get('batch_size') not in (None, size):
        yield Problem('train_dataloader.sampler.batch_size', f'is {sampler["batch_size"]:,}, and that of the loader '
                      f'{size:,}. Set both to the same.')
    if get_key(cfg, 'train_cfg.by_epoch', True) and type_name(cfg.get('train_cfg')) != 'IterBasedTrainLoop':
        yield Problem('train_cfg.by_epoch', 'is True, and lbbt_mm.PairSampler has no end; expected a loop over iterations. '
                      'Set by_epoch=False and max_iters.')
