"""Stops a training that no longer gains, and leaves tests alone."""
from mmengine.hooks import EarlyStoppingHook as MMEngineEarlyStoppingHook
from mmengine.runner import Runner

from lbbt_mm.registry import HOOKS


@HOOKS.register_module()
class EarlyStoppingHook(MMEngineEarlyStoppingHook):
    """mmengine's EarlyStoppingHook for configs that are tested where their training data is not.

    mmengine's looks at the training loop before any run, and so builds it, with its data, before a test too.

    Args:
        *args: As for :class:`mmengine.hooks.EarlyStoppingHook`.
        **kwargs: Likewise.
    """

    def before_run(self, runner: Runner) -> None:
        """Nothing yet: it may be a test that begins."""

    def before_train(self, runner: Runner) -> None:
        """Look whether the training can be stopped."""
        super().before_run(runner)
