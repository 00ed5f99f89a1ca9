"""The one place for names that mmengine keeps private: what a release of it may change is looked up here."""
from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Callable, ContextManager, Dict, Iterator, List, NamedTuple, Optional, Tuple

if TYPE_CHECKING:  # mmengine takes seconds to import, for which a tool's --help need not wait
    from mmengine.config import Config
    from mmengine.logging import MMLogger
    from mmengine.logging.history_buffer import HistoryBuffer
    from mmengine.runner import BaseLoop, IterBasedTrainLoop, Runner
    from torch import nn
    from torch.utils.data import DataLoader

#: The steps by which mmengine reads a config file, see :class:`ConfigSteps`.
_CONFIG_STEPS = ('_substitute_predefined_vars', '_substitute_env_variables', '_file2dict')


class ConfigSteps(NamedTuple):
    """The steps by which mmengine reads a config file.

    Attributes:
        fill_places: Writes a copy of a file in which parts of its own path are filled in: ``(file, copy)``.
        fill_environment: Fills environment variables into that copy: ``(copy, )``.
        read: Reads a file, by these two, and its bases: ``(file, ...) -> (dict, text, variables)``.
    """
    fill_places: Callable[..., Any]
    fill_environment: Callable[..., Any]
    read: Callable[..., Any]


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


def format_each_config_once() -> None:
    """Have a config's text formatted once in this process: a runner asks for it four times, at up to half a second each."""
    from yapf.yapflib import yapf_api
    plain = yapf_api.FormatCode
    if hasattr(plain, 'formatted'):
        return
    formatted = lru_cache(maxsize=16)(lambda text, style, options: plain(text, style_config=dict(style), **dict(options)))

    def format_once(text: str, style_config: Any = None, **options: Any) -> Any:
        if not isinstance(style_config, dict):
            return plain(text, style_config=style_config, **options)
        return formatted(text, tuple(style_config.items()), tuple(options.items()))

    format_once.formatted = formatted
    yapf_api.FormatCode = format_once


def forget_file_name(cfg: Config) -> None:
    """Have a run dump its config under a name that mmengine makes of the time, not under that of the config's file."""
    object.__setattr__(cfg, '_filename', None)


def config_steps() -> ConfigSteps:
    """mmengine's steps of reading a config file, as they are now."""
    from mmengine.config import Config
    return ConfigSteps(*(getattr(Config, name) for name in _CONFIG_STEPS))


def replaced_config_steps(own: ConfigSteps) -> ContextManager:
    """Have mmengine read config files by other steps meanwhile."""
    from unittest import mock  # which imports much, for a tool's --help

    from mmengine.config import Config
    return mock.patch.multiple(Config, **dict(zip(_CONFIG_STEPS, map(staticmethod, own))))


def parse_list(text: str) -> Any:
    """A value of ``--cfg-options`` with commas or brackets, as mmengine reads it.

    Raises:
        AssertionError: If brackets do not match.
    """
    from mmengine.config import DictAction
    return DictAction._parse_iterable(text)


def parse_number(text: str) -> Any:
    """A number, a boolean or None of ``--cfg-options``; other text unchanged."""
    from mmengine.config import DictAction
    return DictAction._parse_int_float_bool(text)


def checkpoint_loaders() -> Dict[str, Callable[..., Any]]:
    """How a checkpoint's name begins, a regular expression -> what loads it; ``''`` for paths. mmengine's own table."""
    from mmengine.runner import CheckpointLoader
    return CheckpointLoader._schemes


def home_folder() -> str:
    """Where mmengine keeps a user's own files."""
    from mmengine.runner import checkpoint
    return checkpoint._get_mmengine_home()


def backbone_of_mmcls(loaded: dict) -> dict:
    """The backbone's part of a checkpoint of mmpretrain's, its names without ``backbone.``."""
    from mmengine.runner import checkpoint
    return checkpoint._process_mmcls_checkpoint(loaded)


def made_loggers() -> List[MMLogger]:
    """The loggers that mmengine has made in this process."""
    from mmengine.logging import MMLogger
    return [*MMLogger._instance_dict.values()]


def is_initialising(module: nn.Module) -> bool:
    """Whether a module's ``init_weights``, or that of a module around it, is running."""
    return hasattr(module, '_params_init_info')


def history_of(buffer: HistoryBuffer) -> Tuple[Any, Any, Any]:
    """What a buffer of logged values holds: values, how many each stands for, and the greatest length; None where absent."""
    return tuple(vars(buffer).get(name) for name in ('_log_history', '_count_history', 'max_length'))


def register_flops(operator: str, count: Callable[[List[Any], List[Any]], int]) -> None:
    """Teach mmengine's ``get_model_complexity_info`` and ``FlopAnalyzer`` an operator, if they do not know it.

    Args:
        operator: Its name in a trace, ``'aten::...'``.
        count: Called with its traced inputs and outputs; gives its FLOPs.
    """
    from mmengine.analysis import complexity_analysis
    complexity_analysis._DEFAULT_SUPPORTED_FLOP_OPS.setdefault(operator, count)


def start_loader_again(loop: IterBasedTrainLoop, loader: DataLoader) -> None:
    """Start a loop's loader anew if it runs: mmengine before 0.10.12 starts that of an iteration-based loop before any hook.

    Args:
        loop: A training loop; of those that count epochs no loader runs between epochs.
        loader: Its data loader.
    """
    started = getattr(getattr(loop, 'dataloader_iterator', None), '_iterator', None)
    if started is None:
        return
    loader._iterator = None
    if hasattr(started, '_shutdown_workers'):
        started._shutdown_workers()
    if hasattr(loader.sampler, '_indices_of_rank'):  # an InfiniteSampler keeps its place, and workers have moved it
        loader.sampler.indices = loader.sampler._indices_of_rank()
    loop.dataloader_iterator._iterator = _when_needed(loader)


def _when_needed(loader: DataLoader) -> Iterator[Any]:
    yield from loader  # the loader starts at the first sample, when all hooks have had their turn
