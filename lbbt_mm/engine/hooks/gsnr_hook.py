"""Follows the gradient signal-to-noise ratio of each block while a model trains."""
import copy
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

from mmengine.dist import all_reduce, is_main_process
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import Tensor, nn

from lbbt_mm.analysis.gsnr import GradientMoments, Gsnr, block_gsnr, gsnr_floor, mean_gsnr
from lbbt_mm.analysis.sample_batch import count_samples
from lbbt_mm.analysis.sample_check import MixedSamples, by_loop, check
from lbbt_mm.analysis.sample_gradients import SampleGradients
from lbbt_mm.argument_checks import check_count
from lbbt_mm.errors import UserError
from lbbt_mm.files.gsnr_table import FILE_NAME, GsnrRow, read_gsnr, write_gsnr
from lbbt_mm.models.blocks import blocks_at
from lbbt_mm.random_state import random_state_kept
from lbbt_mm.registry import HOOKS


class UnmeasurableError(UserError, ValueError):
    """What trains has no gradients of single samples."""


@HOOKS.register_module()
class GSNRHook(Hook):
    """Measure how far the samples of a batch agree on where parameters should go: the gradient signal-to-noise ratio.

    "Frozen Language Models are Gradient Coherence Rectifiers in Vision Transformers", Eqs. 2 and 3: for each parameter the
    squared mean of the gradients of a batch's samples over their variance; the mean over the parameters of a block that take
    gradients and have a variance; the mean over ``num_batches`` batches, spread evenly over the epoch. The gradients are
    those of the training itself, taken off its own forward and backward pass: in training mode, under its autocast, with its
    augmentation, dropout and drop path. The training is the same, bit for bit, as without this hook. In a distributed run
    the batch is that of all ranks together; with gradient accumulation it is that of one pass.

    Without any signal the ratio is 1 / (B - 3) on average, the floor: a value means something by its distance from it, and
    values of different batch sizes are not comparable. Samples that share an image (mixup, CutMix) are not independent, for
    which the floor is another.

    The first measured batch, and the next as long as some gradients are all 0, is used to check, on a few of its samples,
    that what is taken off the pass is the gradient of single samples. Parameters for which it is not get a forward and
    backward pass for each sample, which takes long; a message names them. Modules that compute their activations again in
    the backward pass keep what they got meanwhile.

    Values are scalars of mmengine's message hub (``train/gsnr/block0``, ... and ``mean``, ``floor`` and ``corrected``, over
    the blocks), so that they are in logs and checkpoints; ``gsnr.csv`` in the run's folder has all of them. A resumed run
    goes on with that table. ``tools/analysis/gsnr.py`` draws it.

    Args:
        interval: Epochs from one measurement to the next. Defaults to 1.
        num_batches: Batches of an epoch, T. Defaults to 4.
        module: Dotted path of the list of blocks, or of a module that has one called ``blocks`` or ``layers``; of
            ``LLMBackbone`` ``backbone.blocks``. Defaults to ``backbone.layers``, that of mmpretrain's vision transformers.

    Raises:
        ValueError: If a setting is not possible, the model has no such blocks or none that takes gradients, a batch has 3
            samples or fewer, or an epoch fewer batches; if the training loop counts iterations, or the training step is
            compiled; and, when it measures, if the samples of a batch change each other's gradients.
    """

    priority = 'ABOVE_NORMAL'  # before hooks that look into the modules: the check runs them too

    def __init__(self, interval: int = 1, num_batches: int = 4, module: str = 'backbone.layers') -> None:
        check_count('GSNRHook: interval', interval)
        check_count('GSNRHook: num_batches', num_batches)
        self.interval, self.num_batches, self.module = interval, num_batches, module
        self._gradients: Optional[SampleGradients] = None
        self._pass = ExitStack()
        self._moments: Dict[str, GradientMoments] = {}
        self._batches: List[List[Gsnr]] = []
        self._rows: List[GsnrRow] = []
        self._size: Optional[int] = None
        self._said: List[str] = []

    def before_train(self, runner: Runner) -> None:
        """Find the blocks, and the table of a resumed run, so that a run that cannot be measured ends before it trains."""
        loop, loader = runner.train_loop, runner.train_dataloader
        if not isinstance(loop, EpochBasedTrainLoop):
            raise ValueError(f'GSNRHook: {type(loop).__name__} counts iterations; expected a loop of epochs. Set '
                             'train_cfg.by_epoch=True.')
        if runner.cfg.get('compile'):
            raise ValueError('GSNRHook: compile is set; expected a training step that is not compiled, in which modules can '
                             'be looked into. Leave compile out.')
        if len(loader) < self.num_batches:
            raise ValueError(f'GSNRHook: num_batches={self.num_batches}, and an epoch has {len(loader)}; expected no more '
                             'than that. Set num_batches.')
        if loader.batch_size:
            gsnr_floor(loader.batch_size * runner.world_size)
        self._blocks(_unwrapped(runner))
        path = Path(runner.work_dir, FILE_NAME)
        self._rows = [row for row in read_gsnr(path) if row.epoch <= loop.epoch] if loop.epoch and path.is_file() else []
        self._batches, self._size = [], None

    def _blocks(self, model: nn.Module) -> List[Dict[str, Tensor]]:
        """Of each block the parameters that take gradients, by name."""
        path, found = blocks_at(model, self.module)
        blocks = [{f'{path}.{child}.{name}': parameter for name, parameter in block.named_parameters()
                   if parameter.requires_grad} for child, block in found.named_children()]
        if not any(blocks):
            raise ValueError(f'GSNRHook: no parameter of {path} takes gradients; expected some that train. Set '
                             'module, or leave the hook out.')
        return blocks

    def _places(self, runner: Runner) -> List[int]:
        """Numbers of the batches of this epoch that are measured."""
        length = len(runner.train_dataloader) if runner.epoch % self.interval == 0 else 0
        return [number * length // self.num_batches for number in range(self.num_batches)] if length else []

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Begin to look, if this batch is one of those."""
        if batch_idx not in self._places(runner):
            return
        model = _unwrapped(runner)
        parameters = {name: parameter for block in self._blocks(model) for name, parameter in block.items()}
        known = self._gradients
        if known is None or known.model is not model or known.names != list(parameters):
            self._gradients = SampleGradients(model, list(parameters))
        if self._gradients.unchecked:
            self._in_own_passes(runner, data_batch, check)
            self._say_what_takes_long(runner)
        self._moments = {name: GradientMoments(parameter) for name, parameter in parameters.items()}
        if self._gradients.others:
            self._in_own_passes(runner, data_batch, by_loop, self._take)
        self._pass.enter_context(self._gradients.watch(count_samples(data_batch), self._take))

    def _take(self, name: str, rows: Any) -> None:
        self._moments[name].add(rows)

    def _in_own_passes(self, runner: Runner, data_batch: Any, function: Callable[..., None], *arguments: Any) -> None:
        """Call what needs passes of its own, on a copy of the batch, with random draws of its own."""

        def loss(model: nn.Module, data: Any) -> Tensor:
            with runner.optim_wrapper.optim_context(model):
                losses = model(**data, mode='loss') if isinstance(data, dict) else model(*data, mode='loss')
            return model.parse_losses(losses)[0]

        with random_state_kept():
            data = self._gradients.model.data_preprocessor(copy.deepcopy(data_batch), True)
            try:
                function(self._gradients, loss, data, *arguments)
            except MixedSamples as error:
                raise UnmeasurableError(f'GSNRHook: {error}') from error

    def _say_what_takes_long(self, runner: Runner) -> None:
        others = self._gradients.others
        if others and others != self._said:
            self._said = others
            runner.logger.warning(f'GSNRHook: {others[0]} and {len(others) - 1} more parameters are not used as one call of '
                                  'their module on one tensor says; each sample gets a forward and backward pass for them, '
                                  'which takes long.')

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Look no more, and keep what was seen; after the last of an epoch's batches, log it."""
        if batch_idx not in self._places(runner):
            return
        self._pass.close()
        if not any(one.count for one in self._moments.values()):
            raise UnmeasurableError(f'GSNRHook: no gradient of {self.module} came by in this iteration; expected a training '
                                    'step that calls the modules and goes backward. Leave the hook out.')
        size = count_samples(data_batch)
        for one in self._moments.values():
            one.count = one.count or size  # where the loss does not depend on it, its gradients are 0
            if runner.world_size > 1:
                one.join_ranks(_total)
        size = next(iter(self._moments.values())).count
        self._size = self._size or size
        if size == self._size:
            blocks = self._blocks(_unwrapped(runner))
            self._batches.append([block_gsnr(self._moments[name] for name in block) if block else None for block in blocks])
        else:
            runner.logger.warning(f'GSNRHook: a batch of {size} is left out, since the others have {self._size}: their '
                                  'floors differ.')
        self._moments = {}
        if batch_idx == self._places(runner)[-1] and self._batches:
            self._finish_epoch(runner)

    def _finish_epoch(self, runner: Runner) -> None:
        means = {block: mean_gsnr(values) for block, values in enumerate(zip(*self._batches)) if values[0] is not None}
        rows = [GsnrRow(runner.epoch + 1, block, *mean, self._size, len(self._batches)) for block, mean in means.items()]
        self._rows, self._batches = self._rows + rows, []
        if is_main_process():
            write_gsnr(Path(runner.work_dir, FILE_NAME), self._rows)
        known = [mean for mean in means.values() if mean.gsnr == mean.gsnr]
        for name in ('gsnr', 'floor', 'corrected') if known else ():
            value = sum(getattr(mean, name) for mean in known) / len(known)
            runner.message_hub.update_scalar(f"train/gsnr/{'mean' if name == 'gsnr' else name}", value)
        for block, mean in means.items():
            runner.message_hub.update_scalar(f'train/gsnr/block{block}', mean.gsnr)


def _unwrapped(runner: Runner) -> nn.Module:
    return runner.model.module if is_model_wrapper(runner.model) else runner.model


def _total(tensor: Tensor) -> Tensor:
    all_reduce(tensor)
    return tensor
