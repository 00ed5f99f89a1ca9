"""Makes up for a validation that was cut off."""
import os
from typing import Any, Dict, List, Mapping

from mmengine.dist import broadcast_object_list
from mmengine.hooks import CheckpointHook, EarlyStoppingHook, Hook, LoggerHook
from mmengine.runner import IterBasedTrainLoop, Runner

from lbbt_mm.files.run_records import Record, read_records
from lbbt_mm.mmengine_internals import update_validation_interval
from lbbt_mm.registry import HOOKS
from .whole_checkpoint_hook import attempts_of, knows_its_validation, saved_step


@HOOKS.register_module()
class PendingValidationHook(Hook):
    """Validate when a run is resumed from a checkpoint whose validation is not on record.

    mmengine saves the checkpoint of an epoch before it validates, and a resumed run goes on after both: one that ended while
    it validated would lack those metrics, the final ones if it was the last epoch, and one that ended before the best
    checkpoint was saved would lack that. Schedules that follow a metric (ReduceOnPlateau) would miss the validation too, and
    EarlyStoppingHook all that were before. ``tools/train.py --resume`` adds this hook; a run that is not resumed does not
    notice it.
    """

    priority = 'LOWEST'  # behind CheckpointHook, which remembers the best score so far

    def before_train(self, runner: Runner) -> None:
        """Validate if that was due at the point where the run goes on, and has not been done or not to its end."""
        loop = runner.train_loop
        if not (loop.iter if isinstance(loop, IterBasedTrainLoop) else loop.epoch):
            return
        hooks = [hook for hook in runner.hooks if isinstance(hook, CheckpointHook) and hook.save_best]
        found = [read_records(runner.work_dir, attempts_of(runner))['val'], [_lost_best(runner, hook) for hook in hooks]]
        broadcast_object_list(found)  # records and files may be on the first rank's disk only
        place, records = _place(runner), {record['step']: record for record in found[0]}
        pending = _is_due(runner) and (place not in records or _lacks_validation(runner, hooks, records[place], found[1]))
        _tell_early_stopping(runner, [records[step] for step in sorted(records) if step < place + (not pending)])
        if pending:
            for key in (key for keys in found[1] for key in keys):
                runner.message_hub.pop_info(key)
            runner.logger.info('The run ended before the validation of this checkpoint did, or before its best checkpoint '
                               'was saved; validating it now.')
            runner.val_loop.run()


def _place(runner: Runner) -> int:
    """What the logger calls a validation at this point of the training."""
    logger = next((hook for hook in runner.hooks if isinstance(hook, LoggerHook)), None)
    return runner.epoch if logger is None or logger.log_metric_by_epoch else runner.iter


def _is_due(runner: Runner) -> bool:
    """Whether a validation follows this point of the training."""
    loop = runner.train_loop
    done, end = (loop.iter, loop.max_iters) if isinstance(loop, IterBasedTrainLoop) else (loop.epoch, loop.max_epochs)
    if runner.val_loop is None:
        return False
    update_validation_interval(loop)
    return done >= loop.val_begin and (done % loop.val_interval == 0 or done == end)


def _lacks_validation(runner: Runner, hooks: List[CheckpointHook], record: Mapping[str, Any],
                      lost: List[List[str]]) -> bool:
    """Whether the checkpoint was written before a validation that is on record, and that changed what is kept."""
    known = knows_its_validation(runner)
    if known:
        return any(lost)
    return (known is False and _follows_a_metric(runner)) or any(lost) or any(
        _has_better(runner, hook, record) for hook in hooks)


def _lost_best(runner: Runner, hook: CheckpointHook) -> List[str]:
    """What the message hub has of best checkpoints of this very point that are not in the run's folder.

    A copied or other folder may lack them. Where a schedule has followed this validation, it would do so twice.
    """
    lost = []
    for key in [] if _follows_a_metric(runner) else hook.key_indicators:
        suffix = f'_{key}' if len(hook.key_indicators) > 1 else ''
        path = runner.message_hub.get_info(f'best_ckpt{suffix}')
        here = os.path.join(str(hook.out_dir), os.path.basename(path)) if isinstance(path, str) else ''
        if here.endswith('_' + hook.filename_tmpl.format(saved_step(runner, hook))) and not hook.file_backend.exists(here):
            lost += [f'best_score{suffix}', f'best_ckpt{suffix}']
    return lost


def _has_better(runner: Runner, hook: CheckpointHook, record: Mapping[str, Any]) -> bool:
    """Whether a validation found a best score that the checkpoint, written before it, does not know of."""
    hub: Dict[str, Any] = runner.message_hub.runtime_info
    for key, rule in zip(hook.key_indicators, hook.rules):
        if key == 'auto':  # named by the first validation of a run, which this one has not had
            return True
        best = hub.get(f'best_score_{key}' if len(hook.key_indicators) > 1 else 'best_score', hook.init_value_map[rule])
        if isinstance(record.get(key), (int, float)) and hook.is_better_than[key](record[key], best):
            return True
    return False


def _follows_a_metric(runner: Runner) -> bool:
    """Whether a schedule depends on validations."""
    schedules = runner.param_schedulers or []
    schedules = [item for items in schedules.values() for item in items] if isinstance(schedules, dict) else schedules
    return any(getattr(schedule, 'need_val_args', False) for schedule in schedules)


def _tell_early_stopping(runner: Runner, records: List[Record]) -> None:
    """Give EarlyStoppingHook, whose state is in no checkpoint, the validations that the run has had."""
    for hook in runner.hooks:
        if isinstance(hook, EarlyStoppingHook):
            for record in records:
                if hook.monitor in record:
                    hook.after_val_epoch(runner, record)
