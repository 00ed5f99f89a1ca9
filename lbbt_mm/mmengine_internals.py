"""The one place for names that mmengine keeps private: what a release of it may change is looked up here."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any, List, Optional

from mmengine.config import Config

if TYPE_CHECKING:  # the runner imports torch, for which a config need not wait
    from mmengine.runner import BaseLoop, Runner


def is_resumed(runner: Runner) -> bool:
    """Whether a runner goes on with a run."""
    return runner._resume


def checkpoint_of(runner: Runner) -> Optional[str]:
    """The checkpoint that a runner loads; None where it finds one itself, or loads none."""
    return runner._load_from


def set_checkpoint(runner: Runner, checkpoint: str) -> None:
    """Have a runner load a checkpoint that its config does not name."""
    runner._load_from = checkpoint


def is_training(runner: Runner) -> bool:
    """Whether a runner has built its training loop, which only ``Runner.train`` does."""
    return runner._train_loop in built_loops(runner)


def built_loops(runner: Runner) -> List[BaseLoop]:
    """The loops for training, testing and validation that a runner has built by now, of those that its config asks for."""
    return [loop for loop in (runner._train_loop, runner._test_loop, runner._val_loop)
            if loop is not None and not isinstance(loop, dict)]


def compile_again(runner: Runner) -> None:
    """Compile the training step of a model that was wrapped anew, if the config compiles it."""
    runner._maybe_compile('train_step')


def update_validation_interval(loop: Any) -> None:
    """Have a training loop read off its ``dynamic_intervals`` how often it validates now."""
    loop._decide_current_val_interval()


def plain_config(cfg: Config) -> dict:
    """What a config holds, without a copy and without the attribute access of :class:`mmengine.Config`."""
    return cfg._cfg_dict
