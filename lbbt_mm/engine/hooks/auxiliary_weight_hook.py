"""The weight of the auxiliary loss falls as training goes on (rectifier paper, Eq. 9)."""
from typing import Optional

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from mmengine.runner import IterBasedTrainLoop, Runner

from lbbt_mm.argument_checks import check_number
from lbbt_mm.registry import HOOKS


@HOOKS.register_module()
class AuxiliaryWeightHook(Hook):
    """Set the weight of a model's auxiliary loss before each epoch: ``max(floor, initial * (N - n) / N)``, epoch n of N.

    The source is Eq. 9 of "Frozen Language Models are Gradient Coherence Rectifiers in Vision Transformers"; epochs count
    from 0. The weight is a function of the epoch alone, so a resumed run goes on with the one it would have had. In a
    training by iterations, n and N are iterations. With ``initial=0`` the equation still gives its floor: a run without an
    auxiliary loss is the plain model, or ``floor=0``.

    Args:
        initial: The weight of the first epoch, 0 to 1. Defaults to 0.35, as in the paper's Table 6.
        floor: The lowest weight, 0 to 1. Defaults to 0.1.

    Raises:
        ValueError: If a weight is not between 0 and 1.
    """

    def __init__(self, initial: float = 0.35, floor: float = 0.1) -> None:
        check_number('AuxiliaryWeightHook: initial', initial, least=0, most=1)
        check_number('AuxiliaryWeightHook: floor', floor, least=0, most=1)
        self.initial, self.floor = initial, floor

    def weight(self, done: int, total: int) -> float:
        """The weight after ``done`` of ``total`` epochs or iterations."""
        return max(self.floor, self.initial * (total - done) / total)

    def before_run(self, runner: Runner) -> None:
        """Refuse a model without an auxiliary loss before weights are read; of one that could have it, say that it has none.

        The latter is a note and no error: a comparison switches ``path`` or the arm in a config that has the hook.

        Raises:
            ValueError: If the model has none.
        """
        if not isinstance(runner.optim_wrapper, OptimWrapper):
            return  # Runner.val and Runner.test; only Runner.train has built the optimizer by now
        model = _model(runner)
        if not hasattr(model, 'set_aux_weight'):
            raise ValueError(f'AuxiliaryWeightHook: found a {type(model).__name__}; expected a model with an auxiliary '
                             'loss, such as lbbt_mm.RectifiedClassifier. Remove the hook, or choose that model.')
        if model.path != 'auxiliary':
            runner.logger.warning('AuxiliaryWeightHook: the model has no auxiliary loss, so the hook does nothing. It is '
                                  "for path='auxiliary' and an arm with an added loss.")

    def before_train_epoch(self, runner: Runner) -> None:
        """Set the weight of an epoch."""
        if not isinstance(runner.train_loop, IterBasedTrainLoop):
            _model(runner).set_aux_weight(self.weight(runner.epoch, runner.max_epochs))

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Optional[dict] = None) -> None:
        """Set the weight of an iteration, in a training that counts them."""
        if isinstance(runner.train_loop, IterBasedTrainLoop):
            _model(runner).set_aux_weight(self.weight(runner.iter, runner.max_iters))


def _model(runner: Runner):
    return runner.model.module if is_model_wrapper(runner.model) else runner.model
