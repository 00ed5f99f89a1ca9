"""Refuses a checkpoint that does not fit, before anything is done with it."""
import re
from collections import OrderedDict
from typing import Any, Iterator, List, Mapping, Sequence, Tuple

from mmengine.hooks import Hook
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.optim import OptimWrapperDict
from mmengine.runner import BaseLoop, EpochBasedTrainLoop, Runner
from torch import Tensor, nn

from lbbt_mm.checks.problems import few
from lbbt_mm.config_keys import is_allowed, refusal
from lbbt_mm.files.checkpoint_fit import (LEFT_OUT_KEY, CheckpointMisfit, Fit, check_optimizer_state, fit_table, is_below,
                                          left_out_in, load_and_compare, metadata_without, parts_of)
from lbbt_mm.files.checkpoint_function import changed_function
from lbbt_mm.files.stripping import STRIPPED_KEY
from lbbt_mm.mmengine_internals import built_loops, checkpoint_of, is_resumed, is_training
from lbbt_mm.registry import HOOKS

#: In a checkpoint's meta: number of ranks, which with the batch size of each makes the batch.
WORLD_SIZE_KEY = 'lbbt_mm_world_size'
#: What to do with a checkpoint that no run can go on from.
_START_NEW = 'start a new run from the weights: load_from=... without --resume'


@HOOKS.register_module()
class CheckpointFitHook(Hook):
    """Compare a checkpoint with the model, and on resuming with the optimizer, when it is loaded: all of it has to fit.

    mmengine alone loads what fits and warns of the rest, so that tests score half-loaded models and optimizers get state of
    other shapes. ``tools/train.py`` and ``tools/test.py`` add this hook.

    Args:
        leave_out: Parts of the model, by dotted name, that are not taken from the checkpoint: they start anew, and what the
            checkpoint has of them stays behind. A table in the log says what came from where. Not for resuming.
        allow_change: Keys that may differ from the checkpoint's config where they decide what the model computes: a dotted
            key, a part above it, or its last name. ``'world_size'`` lets a run be resumed on another number of ranks.
        notes: What else there is to say about the checkpoint once it is loaded, for the run's log.

    Raises:
        CheckpointMisfit: If a tensor is missing, extra or of another shape, if its weights are those of another function,
            or if a part that is to be left out is nowhere.

    Example:
        >>> custom_hooks = [dict(type='lbbt_mm.CheckpointFitHook', leave_out=['bbox_head'])]
    """

    priority = 'LOWEST'  # other hooks rename tensors or put those of an EMA model in their place

    def __init__(self, leave_out: Sequence[str] = (), allow_change: Sequence[str] = (), notes: Sequence[str] = ()) -> None:
        self.leave_out = [leave_out] if isinstance(leave_out, str) else list(leave_out)
        self.allow_change = list(allow_change)
        self.notes = list(notes)
        self._left_out_at_start = self.leave_out

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Note the number of ranks, and what was left out: with ``load_from``, it says how the training began."""
        meta = checkpoint.setdefault('meta', {})
        meta[WORLD_SIZE_KEY] = runner.world_size
        # a run may have two such hooks
        meta[LEFT_OUT_KEY] = [*dict.fromkeys([*left_out_in(checkpoint), *self._left_out_at_start])]

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Check it, and take out what is to be left out."""
        where = checkpoint_of(runner) or 'The checkpoint'
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        model = model.module if isinstance(model, BaseTTAModel) else model
        for problem in self._problems_of_state(runner, checkpoint) if is_resumed(runner) else ():
            raise CheckpointMisfit(f'{where}: {problem}')
        tensors, behind = self._take(checkpoint, model, where)
        fit = load_and_compare(model, tensors, where)
        fit = fit._replace(extra=[*fit.extra, *behind])
        missing, extra = ([name for name in names if not is_below(name, self.leave_out)] for names in fit[1:3])
        misfits = Fit([], missing, extra, fit.misshapen)
        meta = checkpoint.get('meta')
        stripped = (meta.get(STRIPPED_KEY) if isinstance(meta, Mapping) else None) or ()
        if any(is_below(name, stripped) for name in missing):
            raise CheckpointMisfit(f'{where}: its {missing[0].split(".")[0]} was taken out by tools/strip_rectifier.py, and '
                                   'this config has one. Give the config of the plain model, which that tool writes with '
                                   f'--config, or start it anew: --leave-out {missing[0].split(".")[0]}.')
        if misfits.names:
            raise CheckpointMisfit(f'{where}: does not fit this config: {misfits.describe()}. '
                                   f'{self._remedy(runner, parts_of(misfits.names))}')
        if not is_training(runner):
            self._check_classes(runner, checkpoint, where)
        if is_resumed(runner):
            self._left_out_at_start = left_out_in(checkpoint)
            self._check_optimizers(runner, checkpoint.get('optimizer'), where)
        else:
            self._check_function(runner, checkpoint, model, where)
            if self.leave_out or is_training(runner):
                runner.logger.info('\n' + fit_table(fit, f'Checkpoint {where}'))
        for note in self.notes:
            runner.logger.info(note)

    def _check_function(self, runner: Runner, checkpoint: Mapping[str, Any], model: nn.Module, where: str) -> None:
        """A resumed run's whole config was compared before; here it is what the weights mean."""
        changes = changed_function(checkpoint, runner.cfg, model, self.leave_out)
        refused = {key: phrase for key, phrase in changes.items() if not is_allowed(key, self.allow_change)}
        if refused:
            phrase, flag = refusal(refused)
            raise CheckpointMisfit(f'{where}: its weights have the shapes of this model, and are those of another function: '
                                   f'{phrase}. Give the config of that run (its work directory has it), or go on all the '
                                   f'same with {flag}.')
        for phrase in changes.values():
            runner.logger.info(f'--allow-change: {phrase}.')

    @staticmethod
    def _check_classes(runner: Runner, checkpoint: Mapping[str, Any], where: str) -> None:
        """A label means the class of that place in the training's list, whatever the test set calls it."""
        trained = _classes((checkpoint.get('meta') or {}).get('dataset_meta'))
        for loop in built_loops(runner):
            dataset = getattr(getattr(loop, 'dataloader', None), 'dataset', None)
            tested = _classes(getattr(dataset, 'metainfo', None))
            if not trained or not tested or trained == tested:
                continue
            found = f'{where}: was trained with the classes {few(trained)}, and is tested with {few(tested)}'
            if sorted(trained) == sorted(tested) or len(trained) != len(tested):
                raise CheckpointMisfit(f'{found}, so labels would mean other classes. Give the test set the classes of the '
                                       'training in their order: metainfo=dict(classes=...).')
            runner.logger.warning(f'{found}. Labels are compared by their number.')

    def _problems_of_state(self, runner: Runner, checkpoint: Mapping[str, Any]) -> Iterator[str]:
        """What keeps a run from going on from a checkpoint, whatever its tensors are; each asks for those before it."""
        meta = checkpoint.get('meta')
        meta = meta if isinstance(meta, Mapping) else {}
        absent = [name for name in ('epoch', 'iter') if type(meta.get(name)) is not int]
        absent += [name for name in ('optimizer', 'message_hub') if name not in checkpoint]
        hub = checkpoint.get('message_hub')
        absent += [f'message_hub.{name}' for name in ('log_scalars', 'runtime_info', 'resumed_keys')
                   if 'message_hub' in checkpoint and not (isinstance(hub, dict) and isinstance(hub.get(name), Mapping))]
        if absent:
            yield (f'holds no {" and no ".join(absent)}, so no run can be resumed from it; expected a checkpoint that '
                   f'training wrote, with its optimizer. To {_START_NEW}.')
        loop, epoch, step = runner.train_loop, meta['epoch'], meta['iter']
        if not self._can_be_at(loop, epoch, step):
            yield (f'says that it is of epoch {epoch}, iteration {step}, where this run, of {loop.max_epochs} epochs, '
                   f'{loop.max_iters} iterations, never is. Resume from another checkpoint of that run, or {_START_NEW}.')
        averages = checkpoint.get('ema_state_dict')
        for name, value in averages.items() if isinstance(averages, Mapping) else ():
            if isinstance(value, Tensor) and value.isnan().any():
                yield (f'{name} of its averaged weights holds NaN; expected finite numbers. Resume from an earlier '
                       'checkpoint.')
        schedules, saved = _number_of(runner.param_schedulers), _number_of(checkpoint.get('param_schedulers'))
        if schedules != saved:
            yield (f'holds the state of {saved} schedules, and this run has {schedules}, so learning rates would start '
                   'over. Resume with the config of that run, from a checkpoint with its schedules '
                   f'(save_param_scheduler=True), or {_START_NEW}.')
        if self.leave_out:
            yield (f'a resumed run takes all of its checkpoint, and {", ".join(self.leave_out)} is to be left out. Remove '
                   f'--leave-out, or {_START_NEW}.')
        ranks = meta.get(WORLD_SIZE_KEY)
        if isinstance(ranks, int) and ranks != runner.world_size and 'world_size' not in self.allow_change:
            yield (f'was trained on {ranks} ranks, and this run has {runner.world_size}, so a batch would be another. Start '
                   'as many; --allow-change world_size goes on all the same.')

    def _can_be_at(self, loop: BaseLoop, epoch: int, step: int) -> bool:
        """Whether a run can be at a place; where its data may have changed, epoch and iteration need not fit together."""
        possible = 0 <= epoch and 0 <= step <= loop.max_iters
        if isinstance(loop, EpochBasedTrainLoop):
            length = loop.max_iters // loop.max_epochs
            fits = bool(self.allow_change) or epoch * length <= step <= (epoch + 1) * length
            possible &= epoch <= loop.max_epochs and fits
        return possible

    def _take(self, checkpoint: dict, model: nn.Module, where: str) -> Tuple['OrderedDict[str, Tensor]', List[str]]:
        """The tensors that are taken, by the model's names, and the names of those that are left out; the checkpoint keeps
        only the first.
        """
        whole = checkpoint.get('state_dict', checkpoint)
        if not isinstance(whole, Mapping):
            raise CheckpointMisfit(f'{where}: its state_dict is a {type(whole).__name__}; expected named tensors.')
        twice = [name for name in whole if str(name).startswith('module.') and str(name)[7:] in whole]
        if twice:
            raise CheckpointMisfit(f'{where}: holds {twice[0]} and {twice[0][7:]}, which would go into one tensor. Give a '
                                   'checkpoint that training wrote.')
        # as mmengine does when it loads them
        found = OrderedDict((re.sub(r'^module\.', '', str(name)), tensor) for name, tensor in whole.items())
        for prefix in self.leave_out:
            if not any(is_below(name, [prefix]) for name in (*found, *model.state_dict())):
                raise CheckpointMisfit(f'{where}: --leave-out {prefix}: neither the checkpoint nor the model has a part of '
                                       f'that name; the model has {", ".join(dict(model.named_children()))}. Correct it.')
        kept = OrderedDict((name, tensor) for name, tensor in found.items() if not is_below(name, self.leave_out))
        kept._metadata = metadata_without(whole, self.leave_out)
        if whole is checkpoint:
            checkpoint.clear()
        checkpoint['state_dict'] = kept
        return kept, [name for name in found if name not in kept]

    @staticmethod
    def _remedy(runner: Runner, parts: List[str]) -> str:
        leave_out = f'--leave-out {" ".join(parts)}'
        if is_resumed(runner):
            return ('A resumed run has the model of its checkpoint: give the config that it was trained with (its work '
                    f'directory has it), or {_START_NEW}, and {leave_out}.')
        if is_training(runner):
            return f'Give a checkpoint of this model, or say what is meant to start anew: {leave_out}.'
        return ('Give the config that it was trained with (its work directory has it), or say which parts are not to come '
                f'from it: {leave_out}.')

    @staticmethod
    def _check_optimizers(runner: Runner, saved: Any, where: str) -> None:
        wrapper, names = runner.optim_wrapper, {id(value): name for name, value in runner.model.named_parameters()}
        pairs = [(wrapper, saved)]
        if isinstance(wrapper, OptimWrapperDict):
            pairs = [(one, saved.get(name)) for name, one in wrapper.optim_wrappers.items()]
        for one, state in pairs:
            try:
                anew = check_optimizer_state(one.optimizer, state, names)
            except CheckpointMisfit as error:
                raise CheckpointMisfit(f'{where}: {error}. Resume with the config of that run (its work directory has it), '
                                       f'or {_START_NEW}.') from None
            if anew:
                runner.logger.warning(f'{where}: holds no optimizer state of {few(anew)}, which had got no gradient by '
                                      'then; it starts anew there.')


def _classes(meta: Any) -> List[str]:
    found = {str(key).lower(): value for key, value in meta.items()} if isinstance(meta, Mapping) else {}
    classes = found.get('classes')
    return list(map(str, classes)) if isinstance(classes, (list, tuple)) else []


def _number_of(schedules: Any) -> int:
    """How many schedules: of one optimizer, or of several by name; with their states it is the same."""
    if isinstance(schedules, Mapping):
        return sum(map(_number_of, schedules.values()))
    return len(schedules) if isinstance(schedules, (list, tuple)) else 0
