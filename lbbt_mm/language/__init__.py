"""The language side: opens checkpoints, says what a block is, makes the control arms, copies weights.

Names are imported when they are asked for, so that a command line can list the arms without importing torch.
"""
from importlib import import_module
from typing import Any

_MODULES = dict(
    ARMS='arms', BlockSpec='spec', CheckpointError='errors', FAMILIES='families', Family='families',
    LanguageCheckpoint='checkpoint', LanguageModelSpec='spec', LanguageOptions='options', RotarySpec='spec',
    block_tensors='families', open_checkpoint='source', parse_blocks='spec', read_arm_block='arm_tensors',
    read_spec='families')

__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(import_module(f'.{_MODULES[name]}', __name__), name)
