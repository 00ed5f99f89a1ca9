"""ShareLock trained on each model's features by one config: what differs are the stores, their widths and the seed."""
import argparse
from pathlib import Path
from typing import Dict, List, NamedTuple, Tuple, Union

from torch import nn

from lbbt_mm.config_keys import get_key
from lbbt_mm.datasets.feature_pairs import FeaturePairs
from lbbt_mm.figures.trained import Trained, open_for_inference
from lbbt_mm.files.feature_store import FeatureStore
from lbbt_mm.launch.config_options import option
from lbbt_mm.registry import type_name
from lbbt_mm.runs.run_request import override, read_config
from lbbt_mm.runs.training_run import TrainingRun
from .text_sides import PlannedSide, TextSide

AnySide = Union[PlannedSide, TextSide]
_LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
#: What a store's features are, which a run on them remembers.
_IDENTITY = ('model', 'revision', 'layer', 'pooling', 'dtype', 'inputs')


class Method(NamedTuple):
    """A way to train.

    Attributes:
        name: What tables call it.
        options: What it changes in the config.
    """
    name: str
    options: Tuple[str, ...] = ()


SHARELOCK, LIT = Method('ShareLock'), Method('lit', ('model.text_projection.num_layers=1', ))


class Protocol:
    """A ShareLock config, and what is put into it for each training.

    Args:
        args: The command line.
        images: Store of the training images' features.

    Raises:
        ValueError: If the config is none of ShareLock on pairs of features.
    """

    def __init__(self, args: argparse.Namespace, images: FeatureStore) -> None:
        self._args, self._images, self._base = args, images, read_config(args.config)
        cfg = override(self._base, args.options)
        self._loaders = [name for name in _LOADERS if cfg.get(name)]
        for key, expected in (('model', 'ShareLock'), *((f'{name}.dataset', 'FeaturePairs') for name in self._loaders)):
            found = type_name(get_key(cfg, key) or {})
            if found != expected:
                raise ValueError(f'{args.config}: {key} is {found or None}; expected lbbt_mm.{expected}. Give a ShareLock '
                                 'config, such as configs/small/sharelock_emoji.py.')
        if 'train_dataloader' not in self._loaders:
            raise ValueError(f'{args.config}: has no train_dataloader; expected one with lbbt_mm.FeaturePairs.')
        self.cfg = cfg

    def check_method(self, method: Method) -> None:
        """Refuse a way to train that the config has no part for.

        Raises:
            ValueError: If there is none.
        """
        if method is LIT and not self.cfg.model.get('text_projection'):
            raise ValueError(f'{self._args.config}: has no model.text_projection, so there is nothing that a linear map of '
                             'texts could stand in for. Leave lit out of --baselines.')

    def pairs(self, side: AnySide, captions: str) -> FeaturePairs:
        """The pairs of training images and captions, those of the validation among them.

        Args:
            side: Of the captions.
            captions: ``'first'`` or ``'all'``, of images with several.

        Raises:
            ValueError: If images and captions do not belong together.
        """
        return FeaturePairs(str(self._images.folder), str(side.captions.folder), captions=captions,
                            keys=self.cfg.train_dataloader.dataset.get('keys'))

    def training(self, side: AnySide, method: Method, seed: int, folder: Path) -> TrainingRun:
        """A training.

        Args:
            side: Whose text features it is on.
            method: How it is trained.
            seed: Of weights, batches and captions.
            folder: Where its run goes.
        """
        options = [*self._args.options, *self._store_options(side), *self._width_options(side), *method.options,
                   f'randomness.seed={seed}', f'train_dataloader.dataset.seed={seed}']
        known = {name: {field: getattr(store.index, field) for field in _IDENTITY}
                 for name, store in (('images', self._images), ('captions', side.captions))}
        return TrainingRun(self._args.config, folder, options, self._args.processes, known, base=self._base)

    def _store_options(self, side: AnySide) -> List[str]:
        options = []
        for name in self._loaders:
            dataset = self.cfg[name].dataset
            options += [option(f'{name}.dataset.image_store', self._images.folder.resolve()),
                        option(f'{name}.dataset.text_store', side.captions.folder.resolve())]
            # what the config expects is its own language model's
            options += [f'{name}.dataset.{key}=None' for key in ('image_expected', 'text_expected') if dataset.get(key)]
        return options

    def _width_options(self, side: AnySide) -> List[str]:
        image, text = self._images.index.width, side.captions.index.width
        projections = [name for name in ('text_projection', 'vision_projection') if self.cfg.model.get(name)]
        widths: Dict[str, Tuple[int, int]] = dict(text_projection=(text, image), vision_projection=(image, text))
        options = [f'model.{name}.in_channels={widths[name][0]}' for name in projections]
        if len(projections) == 1:  # two meet at the config's own width
            options.append(f'model.{projections[0]}.out_channels={widths[projections[0]][1]}')
        return options


def trained_model(run: TrainingRun) -> nn.Module:
    """The model that a training left, in evaluation mode: the best of its validations where the config keeps it.

    Args:
        run: A training that has finished.

    Raises:
        FileNotFoundError: If its checkpoint was removed.
    """
    return open_for_inference(Trained(run.work_dir.name, run.work_dir)).at_end()
