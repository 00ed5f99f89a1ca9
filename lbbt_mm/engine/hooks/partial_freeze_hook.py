"""Trains a part of a model and freezes the rest: LBBT, "Partial Bridge Training" (section 6, Tables 8 and 12)."""
import gc
import re
from fnmatch import fnmatchcase
from os.path import commonprefix
from typing import Callable, Dict, List, Optional, Sequence, Tuple, Union

from mmengine.hooks import Hook
from mmengine.model import MMSeparateDistributedDataParallel, is_model_wrapper
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import FlexibleRunner, IterBasedTrainLoop, Runner
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from lbbt_mm.argument_checks import check_count
from lbbt_mm.files.checkpoint_fit import is_below
from lbbt_mm.mmengine_internals import compile_again
from lbbt_mm.models.blocks import blocks_at
from lbbt_mm.models.freezing import Frozen, freeze
from lbbt_mm.registry import HOOKS
from lbbt_mm.text_table import render_table


@HOOKS.register_module()
class PartialFreezeHook(Hook):
    """Train some blocks of a model and what is around them, or what is named; everything else in the model is frozen.

    Frozen parameters have no gradient and no optimizer state, and so no weight decay; frozen modules stay in eval mode,
    whoever calls ``train()``: see :func:`lbbt_mm.models.freezing.freeze`. A module with frozen and trainable parts is in
    train mode itself, since detectors do other things in training.

    Parameters that the model froze itself (``frozen_stages``) stay frozen, during and after.

    Args:
        module: Dotted path, in the model, of the ModuleList or Sequential that holds the blocks, or of a module that
            has one called ``blocks`` or ``layers``. Defaults to ``'backbone.blocks'``.
        trainable: Which blocks train: ``'first:N'``, ``'last:N'``, ``'all'`` or ``'none'``. Defaults to ``'all'``.
        also: What else trains: dotted names of modules or parameters, with everything below them
            (``'backbone.patch_embed'``), or patterns of them as in :mod:`fnmatch`, where ``*`` spans dots
            (``'*.norm1'``). Defaults to None: all that is around the blocks, so that only the other blocks freeze; with
            ``()`` nothing else trains.
        unfreeze_epoch: From this epoch on everything trains that trained without the hook. Counted from 0 as in
            ``runner.epoch``: with 1, the first epoch is partial. Defaults to None, never.

    Example:
        >>> custom_hooks = [dict(type='lbbt_mm.PartialFreezeHook', trainable='first:5')]  # the other blocks freeze
        >>> custom_hooks = [dict(type='lbbt_mm.PartialFreezeHook', trainable='none', also=('neck', 'head'))]  # a probe
    """

    priority = 'VERY_HIGH'  # other hooks copy the model in before_run

    def __init__(self,
                 module: str = 'backbone.blocks',
                 trainable: str = 'all',
                 also: Union[str, Sequence[str], None] = None,
                 unfreeze_epoch: Optional[int] = None) -> None:
        if not isinstance(trainable, str) or not re.fullmatch(r'all|none|(first|last):0*[1-9]\d*', trainable):
            raise ValueError(f"trainable={trainable!r}: expected 'first:N' or 'last:N' with N of at least 1, 'all', or "
                             "'none' (which leaves only what `also` names).")
        if unfreeze_epoch is not None:
            check_count('unfreeze_epoch', unfreeze_epoch, more=' (the number of partial epochs), or None to stay partial. '
                        'Without partial epochs, remove the hook')
        also = (also, ) if isinstance(also, str) else also
        if also is not None and (not isinstance(also, (list, tuple)) or not all(isinstance(name, str) for name in also)):
            raise ValueError(f"also={also!r}: expected a list of names or patterns, such as ['backbone.norm', 'head'], or "
                             'None for all that is around the blocks.')
        self.module = module
        self.trainable = trainable
        self.also = None if also is None else tuple(also)
        self.unfreeze_epoch = unfreeze_epoch
        self._model: Optional[nn.Module] = None
        self._frozen: Optional[Frozen] = None

    def before_run(self, runner: Runner) -> None:
        """Freeze, before any hook copies the model and before weights are loaded.

        Raises:
            ValueError: If a name matches nothing, nothing is left to train, or the runner cannot do it.
        """
        if not isinstance(runner.optim_wrapper, OptimWrapper):
            return  # Runner.val and Runner.test; only Runner.train has built the optimizer by now
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        if self._model is model:
            return  # a test after the training, with the same runner
        self._check_runner(runner)
        path, chosen = _choose_blocks(model, self.module, self.trainable)
        frozen = freeze(model, _choice(model, path, chosen, self.also))
        if not any(parameter.requires_grad for parameter in model.parameters()):
            frozen.undo()
            count = sum(parameter.numel() for parameter in model.parameters())
            raise ValueError(f'PartialFreezeHook: all {count:,} parameters would be frozen; expected some to train. Name '
                             "them in `also` (for example 'head'), or choose blocks.")
        self._model, self._frozen = model, frozen
        _drop_state(runner.optim_wrapper, frozen.parameters)
        _wrap_again(runner)
        until = '' if self.unfreeze_epoch is None else f', until epoch {self.unfreeze_epoch}'
        also = 'what is around them' if self.also is None else ', '.join(self.also) or 'nothing'
        title = f'PartialFreezeHook: {self.trainable} of {path}, also {also}{until}'
        runner.logger.info('\n' + _render(model, path, title))

    def before_train(self, runner: Runner) -> None:
        """Drop the optimizer state of frozen parameters, which a resumed run may bring if it was not partial."""
        if not self._is_over(runner):
            _drop_state(runner.optim_wrapper, self._frozen.parameters)

    def before_train_epoch(self, runner: Runner) -> None:
        """Unfreeze when it is time, in a resumed run too."""
        if not self._is_over(runner) or self._frozen is None:
            return
        frozen, self._frozen = self._frozen, None
        frozen.undo()
        if _wrap_again(runner):
            compile_again(runner)  # the one that was compiled belongs to the old wrapper
        runner.logger.info(f'PartialFreezeHook: epoch {runner.epoch}, unfroze '
                           f'{sum(parameter.numel() for parameter in frozen.parameters):,} parameters')

    def _is_over(self, runner: Runner) -> bool:
        return self.unfreeze_epoch is not None and runner.epoch >= self.unfreeze_epoch

    def _check_runner(self, runner: Runner) -> None:
        kind = type(runner.model)
        if isinstance(runner, FlexibleRunner):
            raise ValueError('PartialFreezeHook: found a FlexibleRunner, which hands the model to its strategy before a '
                             'hook can freeze it; expected a Runner. Remove runner_type and strategy from the config.')
        if is_model_wrapper(runner.model) and (not issubclass(kind, DistributedDataParallel)
                                               or issubclass(kind, MMSeparateDistributedDataParallel)):
            raise ValueError(f'PartialFreezeHook: found the model in a {kind.__name__}, which cannot be wrapped anew; '
                             'expected MMDistributedDataParallel. Correct model_wrapper_cfg.type.')
        if self.unfreeze_epoch is None:
            return
        if isinstance(runner.train_loop, IterBasedTrainLoop):
            raise ValueError(f'unfreeze_epoch={self.unfreeze_epoch}: found a training loop that counts iterations; '
                             'expected one by epochs. Set train_cfg=dict(by_epoch=True, ...), or unfreeze_epoch=None.')
        if self.unfreeze_epoch >= runner.max_epochs:
            raise ValueError(f'unfreeze_epoch={self.unfreeze_epoch} never comes: the run has {runner.max_epochs} epochs, '
                             'counted from 0. Lower it, or set it to None to stay partial.')


def _choice(model: nn.Module, path: str, chosen: Sequence[str], also: Optional[Sequence[str]]) -> Callable[[str], bool]:
    """What trains, by name: the chosen blocks and what ``also`` names or, with None, all that is around the blocks."""
    _check_patterns(model, also or ())
    patterns = (*chosen, *(also or ()))

    def trains(name: str) -> bool:
        if also is None and not is_below(name, [path]) and name and not is_below(path, [name]):
            return True  # neither the blocks nor what leads to them
        return any(fnmatchcase(name, pattern) or fnmatchcase(name, f'{pattern}.*') for pattern in patterns)

    return trains


def _drop_state(optim_wrapper: OptimWrapper, parameters: Sequence[nn.Parameter]) -> None:
    """Take optimizer state away; without a gradient, torch's optimizers pass a parameter over."""
    wrappers = optim_wrapper.optim_wrappers.values() if isinstance(optim_wrapper, OptimWrapperDict) else [optim_wrapper]
    for wrapper in wrappers:
        for parameter in parameters:
            wrapper.optimizer.state.pop(parameter, None)


def _choose_blocks(model: nn.Module, path: str, trainable: str) -> Tuple[str, List[str]]:
    """Find the list of blocks: its dotted path, and the names of the blocks in it that train."""
    path, blocks = blocks_at(model, path)
    names = [f'{path}.{name}' for name in blocks._modules]
    if trainable in ('all', 'none'):
        return path, names if trainable == 'all' else []
    end, count = trainable.split(':')
    if int(count) > len(names):
        raise ValueError(f"trainable={trainable!r}: {path!r} has {len(names)} blocks. Ask for fewer, or for 'all'.")
    return path, names[:int(count)] if end == 'first' else names[-int(count):]


def _check_patterns(model: nn.Module, patterns: Sequence[str]) -> None:
    # a shared parameter or module has several names, and is meant by any of them
    names = [name for name, _ in (*model.named_parameters(remove_duplicate=False),
                                  *model.named_modules(remove_duplicate=False)) if name]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            at_the_top = ', '.join(name for name in names if name.count('.') < 2)
            raise ValueError(f'also={pattern!r} matches no module and no parameter; expected a dotted name or a pattern '
                             f'of one. At the top there are {at_the_top}. Correct or remove it.')


def _wrap_again(runner: Runner) -> bool:
    """Wrap a distributed model anew: the wrapper waits for the gradients of what was trainable when it was made."""
    if not is_model_wrapper(runner.model):
        return False
    model, runner.model = runner.model.module, None
    gc.collect()  # the old wrapper is in reference cycles, and holds buckets as large as all gradients
    runner.model = runner.wrap_model(runner.cfg.get('model_wrapper_cfg'), model)
    return True


def _render(model: nn.Module, path: str, title: str) -> str:
    """The table of what trains, by part, with neighbouring blocks that are alike in one row."""
    counts: Dict[str, List[int]] = {}
    for name, parameter in model.named_parameters():
        steps = name.split('.')
        shared = len(commonprefix([steps, path.split('.')]))  # the parts of the model, and of what leads to the blocks
        count = counts.setdefault('.'.join(steps[:shared + 1]), [0, 0])
        count[0] += parameter.numel()
        count[1] += parameter.numel() * parameter.requires_grad
    rows: List[list] = []
    for part, (total, trained) in counts.items():
        state = 'no' if not trained else 'yes' if trained == total else 'partly'
        if rows and part.startswith(path + '.') and rows[-1][0].startswith(path + '.') and rows[-1][3] == state:
            rows[-1][0] = f'{rows[-1][0].split(" to ")[0]} to {part.rsplit(".", 1)[-1]}'
            rows[-1][1:3] = rows[-1][1] + total, rows[-1][2] + trained
        else:
            rows.append([part, total, trained, state])
    rows.append(['total', *(sum(row[column] for row in rows) for column in (1, 2)), ''])
    return f'{title}\n' + render_table('', ('part', 'parameters', 'trainable', 'per cent', 'trains'), [
        (part, f'{total:,}', f'{trained:,}', f'{100 * trained / max(total, 1):.1f}', state)
        for part, total, trained, state in rows])
