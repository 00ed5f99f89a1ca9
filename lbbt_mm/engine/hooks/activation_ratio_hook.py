"""Follows the neuron activation ratio while a model trains."""
from typing import Dict, Optional

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import EpochBasedTrainLoop, Runner

from lbbt_mm.analysis.activation import ActivationRatio
from lbbt_mm.argument_checks import check_choice, check_count
from lbbt_mm.models.blocks import measured_blocks
from lbbt_mm.models.layers.block_watch import BlockWatch
from lbbt_mm.registry import HOOKS


@HOOKS.register_module()
class ActivationRatioHook(Hook):
    """Log the neuron activation ratio of each block on training batches (LBBT, Fig. 7, Eqs. 5 and 6).

    A batch is measured as the model trains on it, in training mode: the first of an epoch, or the first and every
    ``interval``-th after it. The values, and their mean over the blocks, are scalars of mmengine's message hub, such as
    ``train/activation_ratio/backbone.blocks.0``; so they are in logs and checkpoints, and in each record of training in
    ``scalars.json``, where a record has the last value that was measured. In other iterations nothing is done. In a
    distributed run it is the batch of the first rank. ``tools/analysis/activation.py`` measures more, on images of your
    choice in evaluation mode.

    Args:
        interval: Epochs, or iterations, from one measurement to the next. Defaults to 1.
        by_epoch: Whether ``interval`` counts epochs. Defaults to True.
        module: Which blocks, by the names of their modules, as a shell matches file names. Defaults to None, those of
            :func:`~lbbt_mm.models.blocks.measured_blocks`, as in the tool.
        units: Of gated networks, ``gate`` or ``product``, see :class:`~lbbt_mm.models.layers.block_watch.BlockWatch`.
            Defaults to ``'gate'``.

    Raises:
        ValueError: If ``interval`` or ``units`` is not possible, the model has no such blocks, or epochs are to be counted
            where the training loop counts iterations.
    """

    def __init__(self, interval: int = 1, by_epoch: bool = True, module: Optional[str] = None, units: str = 'gate') -> None:
        check_count('ActivationRatioHook: interval', interval)
        check_choice('ActivationRatioHook: units', units, ('gate', 'product'))
        self.interval, self.by_epoch, self.module, self.units = interval, by_epoch, module, units
        self._watch: Optional[BlockWatch] = None
        self._ratios: Dict[str, ActivationRatio] = {}

    def before_train(self, runner: Runner) -> None:
        """Find the blocks, so that a run that has none ends before it trains."""
        if self.by_epoch and not isinstance(runner.train_loop, EpochBasedTrainLoop):
            raise ValueError(f'ActivationRatioHook: by_epoch=True, and {type(runner.train_loop).__name__} counts '
                             'iterations; expected a loop of epochs. Set by_epoch=False, and interval to iterations.')
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        self._blocks = measured_blocks(model, self.module)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch=None) -> None:
        """Begin to look, if this batch is one of those."""
        due = batch_idx == 0 and runner.epoch % self.interval == 0 if self.by_epoch else runner.iter % self.interval == 0
        if due:
            self._ratios = {}
            self._watch = BlockWatch(self._blocks, self._count, self.units, once=True)

    def _count(self, name, units, tokens) -> None:
        self._ratios.setdefault(name, ActivationRatio()).add(units, tokens)

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Look no more, and log what was seen; a block that did not run has no value."""
        if self._watch is None:
            return
        self._watch.remove()
        self._watch = None
        values = {name: ratio.summary()['ratio'] for name, ratio in self._ratios.items()}
        if values:
            values['mean'] = sum(values.values()) / len(values)
        for name, value in values.items():
            runner.message_hub.update_scalar(f'train/activation_ratio/{name}', value)
