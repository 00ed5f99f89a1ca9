"""Before a run: its checkpoints are checked, and whatever loads one in this process is bound to run no code from it."""
import os
from typing import List, Optional

from .checkpoint_files import CONFIG_TEXT_KEY, load_checkpoint_safely, local_checkpoint
from .checkpoint_schemes import SafeLoaders

__all__ = ['CONFIG_TEXT_KEY', 'load_checkpoint_safely', 'local_checkpoint', 'refuse_unsafe_checkpoints']

# For what loads files past mmengine's loader: torch then never unpickles freely.
_FORCE_ENV = 'TORCH_FORCE_WEIGHTS_ONLY_LOAD'
# Its opposite, often left in a shell to make mm's checkpoints load; torch loads nothing where both are set.
_FORCE_NOT_ENV = 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'


def refuse_unsafe_checkpoints(checkpoints: List[Optional[str]], trust: bool) -> None:
    """Check local checkpoints before a run, and bind whatever loads one in this process to safe loading.

    Args:
        checkpoints: Files that the run will load; None stands for none, and addresses are left to the loader, which checks
            what it has fetched.
        trust: Whether the user vouches for the files (``--trust-checkpoint``): they only have to be there then.

    Raises:
        ValueError: If a file is absent, needs unpickling, or is not a checkpoint at all.
    """
    files = [(checkpoint, local_checkpoint(checkpoint)) for checkpoint in checkpoints if checkpoint]
    for checkpoint, file in files:
        if file and not os.path.exists(file):
            load_checkpoint_safely(checkpoint)  # says so
    SafeLoaders(trust).register()
    if trust:
        # torch reads it at every load
        os.environ.pop(_FORCE_ENV, None)
        return
    os.environ[_FORCE_ENV] = '1'
    os.environ.pop(_FORCE_NOT_ENV, None)
    for checkpoint, file in files:
        if file and os.path.isdir(file):
            raise ValueError(f'{checkpoint}: is a folder, as DeepSpeed and ColossalAI write checkpoints; their own loaders '
                             'unpickle what is in it, which runs code. Pass --trust-checkpoint if you trust where it comes '
                             'from.')
        if file and os.path.isfile(file):
            load_checkpoint_safely(checkpoint, map_location='meta')
