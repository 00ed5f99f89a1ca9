"""Makes up for a validation that was cut off."""
from typing import Any, Mapping, Optional

from mmengine.dist import broadcast_object_list
from mmengine.hooks import CheckpointHook, Hook, LoggerHook
from mmengine.runner import IterBasedTrainLoop, Runner

from lbbt_mm.engine.run_records import read_records
from lbbt_mm.registry import HOOKS


@HOOKS.register_module()
class PendingValidationHook(Hook):
    """Validate when a run is resumed from a checkpoint whose validation is not on record.

    mmengine saves the checkpoint of an epoch before it validates, and a resumed run goes on after both: one that ended while
    it validated would lack those metrics, the final ones if it was the last epoch, and one that ended before the best
    checkpoint was saved would lack that. ``tools/train.py --resume`` adds this hook; a run that is not resumed does not
    notice it.
    """

    priority = 'LOWEST'  # behind CheckpointHook, which remembers the best score so far

    def before_train(self, runner: Runner) -> None:
        """Validate if that was due at the point where the run goes on, and has not been done."""
        step = self._due_step(runner)
        if step is None:
            return
        records = {record['step']: record for record in read_records(runner.work_dir)['val']}
        pending = [step not in records or _lacks_best(runner, records[step])]
        broadcast_object_list(pending)  # the records may be on the first rank's disk only
        if pending[0]:
            runner.logger.info('The run ended before the validation of this checkpoint did, or before its best '
                               'checkpoint was '
                               'saved; validating it now.')
            runner.val_loop.run()

    @staticmethod
    def _due_step(runner: Runner) -> Optional[int]:
        """What the logger calls the validation that follows this point of the training, or None if none does."""
        loop = runner.train_loop
        done, end = (loop.iter, loop.max_iters) if isinstance(loop, IterBasedTrainLoop) else (loop.epoch, loop.max_epochs)
        if not done or runner.val_loop is None:
            return None
        loop._decide_current_val_interval()
        if done < loop.val_begin or done % loop.val_interval and done != end:
            return None
        logger = next((hook for hook in runner.hooks if isinstance(hook, LoggerHook)), None)
        return runner.epoch if logger is None or logger.log_metric_by_epoch else runner.iter


def _lacks_best(runner: Runner, record: Mapping[str, Any]) -> bool:
    """Whether a validation found a best score that the checkpoint, written before it, does not know of."""
    hook = next((hook for hook in runner.hooks if isinstance(hook, CheckpointHook)), None)
    if hook is None or not hook.save_best:
        return False
    known, several = runner.message_hub.runtime_info, len(hook.key_indicators) > 1
    for key, rule in zip(hook.key_indicators, hook.rules):
        if key == 'auto':  # named by the first validation of a run, which this one has not had
            return True
        name = f'best_score_{key}' if several else 'best_score'
        best = runner.message_hub.get_info(name) if name in known else hook.init_value_map[rule]
        if isinstance(record.get(key), (int, float)) and hook.is_better_than[key](record[key], best):
            return True
    return False
