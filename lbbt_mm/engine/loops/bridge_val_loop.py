"""Validation of bridge training: Train-acc1 on random labels and Test-acc1 on true ones (LBBT, Tables 2, 8 and 12)."""
import logging
import re
from copy import deepcopy
from typing import Any, Dict, List, Tuple, Union

from mmengine.dataset import DefaultSampler
from mmengine.evaluator import Evaluator
from mmengine.logging import print_log
from mmengine.runner import Runner, ValLoop
from torch.utils.data import DataLoader

from lbbt_mm.argument_checks import check_count
from lbbt_mm.checks.image_folders import check_labels_once
from lbbt_mm.datasets.dataset_view import nested_datasets
from lbbt_mm.datasets.even_subset import EvenSubset
from lbbt_mm.random_state import random_state_kept
from lbbt_mm.registry import LOOPS

#: Transforms of mmcv and mmpretrain after which an image is another one each time; RandomLabel gives the same label.
_AUGMENTS = re.compile('Random(?!Label)|Jitter|Aug|Erasing|Lighting|Mix')


@LOOPS.register_module()
class BridgeValLoop(ValLoop):
    """Measure training images with the labels they are trained on, and test images, in eval mode, each time it runs.

    Metrics are those of the evaluators, with ``train/`` or ``test/`` before their names: ``train/accuracy/top1``. Hooks see
    one validation, over the test images: batches of training images call none, so that progress, timing and pictures are
    those of the validation data loader. The random state is as before when the loop has run.

    Args:
        runner: The runner.
        dataloader: The validation data loader, or its config: test images with true labels.
        evaluator: The validation evaluator, or its config.
        train_dataloader: Data loader, or its config, of training images. Defaults to None: evenly spaced samples of the
            runner's training dataset, through its own pipeline, loaded as the test images are. That fits bridge
            images, which are only resized; where the training pipeline augments at random, give a loader of its own.
        num_train_samples: How many training samples ``train_dataloader=None`` takes; all where there are fewer.
            Defaults to 1000.
        fp16: Whether to evaluate under autocast. Defaults to False.
        train_evaluator: Evaluator, or its config, for the training images. Defaults to None, another one like
            ``evaluator``.

    Raises:
        FileNotFoundError: If an image folder of the runner's config is absent.
        ValueError: If an argument is out of range, or labels, image folders and head of the runner's config do not agree
            (:func:`lbbt_mm.checks.image_folders.check_labels`).

    Example:
        >>> val_cfg = dict(type='lbbt_mm.BridgeValLoop', num_train_samples=1000)
        >>> default_hooks = dict(checkpoint=dict(type='CheckpointHook', save_best='train/accuracy/top1', rule='greater'))
    """

    def __init__(self,
                 runner: Runner,
                 dataloader: Union[DataLoader, Dict],
                 evaluator: Union[Evaluator, Dict, List],
                 train_dataloader: Union[DataLoader, Dict, None] = None,
                 num_train_samples: int = 1000,
                 fp16: bool = False,
                 train_evaluator: Union[Evaluator, Dict, List, None] = None) -> None:
        check_count('BridgeValLoop: num_train_samples', num_train_samples)
        check_labels_once(runner)  # here too: other projects train with a tool of their own
        if train_evaluator is None:
            train_evaluator = deepcopy(evaluator)  # a metric keeps its results
        super().__init__(runner, dataloader, evaluator, fp16)
        if train_dataloader is None:
            train_dataloader = self._load_training_images(num_train_samples)
        # the test images' loop comes last: either tells the visualizer what the classes are
        train_evaluator, of_test = runner.build_evaluator(train_evaluator), ('before_val_iter', 'after_val_iter')
        self._parts = dict(
            train=ValLoop(_QuietRunner(runner), train_dataloader, train_evaluator, fp16=fp16),
            test=ValLoop(_QuietRunner(runner, of_test), self.dataloader, self.evaluator, fp16=fp16))

    @property
    def train_dataloader(self) -> DataLoader:
        """The data loader of the training images that are evaluated."""
        return self._parts['train'].dataloader

    def run(self) -> dict:
        """Validate.

        Returns:
            dict: Metrics of both sets.
        """
        with random_state_kept():  # data loaders and pipelines draw from it
            self.runner.call_hook('before_val')
            self.runner.call_hook('before_val_epoch')
            # test images first: hooks time the first batch from before_val_epoch on
            metrics = {name: {f'{name}/{key}': value for key, value in self._parts[name].run().items()}
                       for name in ('test', 'train')}
            metrics = {**metrics['train'], **metrics['test']}
            self.runner.call_hook('after_val_epoch', metrics=metrics)
            self.runner.call_hook('after_val')
        return metrics

    def _load_training_images(self, num_samples: int) -> DataLoader:
        """A loader of evenly spaced training samples, set up as that of the test images."""
        if self.runner.train_loop is None:
            raise ValueError('train_dataloader=None takes images from the training dataset, but the runner has no '
                             'train_dataloader. Give one to BridgeValLoop or to the config.')
        dataset = self.runner.train_dataloader.dataset
        names = [type(transform).__name__ for one in nested_datasets(dataset)
                 for transform in getattr(getattr(one, 'pipeline', None), 'transforms', ())]
        augments = next(filter(_AUGMENTS.search, names), None)
        if augments:
            print_log(f'BridgeValLoop: Train-acc1 is of images after {augments} of the training pipeline, others each time. '
                      'For that of whole images set val_cfg.train_dataloader, with the same RandomLabel and no '
                      'augmentation (configs/public_lbbt/bridge_gpt2_imagefolder.py has one).', 'current', logging.WARNING)
        subset = EvenSubset(dataset, num_samples, at_most=True)
        loader = self.dataloader
        # without rounding up, every sample is on one rank only
        return DataLoader(
            subset,
            batch_size=loader.batch_sampler.batch_size,
            sampler=DefaultSampler(subset, shuffle=False, seed=self.runner.seed, round_up=False),
            num_workers=loader.num_workers,
            persistent_workers=loader.persistent_workers,
            pin_memory=loader.pin_memory,
            collate_fn=loader.collate_fn,
            worker_init_fn=loader.worker_init_fn)


class _QuietRunner:
    """The runner as a part of the validation sees it: everything is the runner's, but few hooks are called.

    Args:
        runner: The runner.
        hooks: Names of the hook methods that are called.
    """

    def __init__(self, runner: Runner, hooks: Tuple[str, ...] = ()) -> None:
        self._runner = runner
        self._hooks = hooks

    def call_hook(self, fn_name: str, **kwargs: Any) -> None:
        """Call a hook method, if it is one of those."""
        if fn_name in self._hooks:
            self._runner.call_hook(fn_name, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runner, name)
