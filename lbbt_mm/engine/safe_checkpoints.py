"""Loading training checkpoints without unpickling code: mmengine's own classes are allowed, nothing else."""
import os
import pickle
import re
from pathlib import Path
from typing import Any, List, Optional

import numpy as np
import torch
from mmengine.logging.history_buffer import HistoryBuffer

# Set for the whole process: mmengine retries a refused file with weights_only=False, and torch then refuses that too.
_FORCE_ENV = 'TORCH_FORCE_WEIGHTS_ONLY_LOAD'
# Its opposite, often left in a shell to make mm's checkpoints load; torch loads nothing where both are set.
_FORCE_NOT_ENV = 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'


def allow_mmengine_classes() -> None:
    """Let ``torch.load(weights_only=True)`` read what mmengine's CheckpointHook writes.

    A checkpoint's message hub holds HistoryBuffers, which hold numpy arrays and scalars, and their own methods as
    ``getattr(HistoryBuffer, 'mean')``: getattr is allowed for that alone.
    """
    rebuild_array, rebuild_scalar = np.empty(0).__reduce__()[0], np.float64(0).__reduce__()[0]
    dtypes = {type(np.dtype(name)) for name in ('float32', 'float64', 'int32', 'int64', 'uint8', 'uint32', 'bool')}
    torch.serialization.add_safe_globals([HistoryBuffer, rebuild_array, rebuild_scalar, np.ndarray, np.dtype, *dtypes])
    # numpy 1 wrote the same two functions under another name
    torch.serialization.add_safe_globals([(rebuild_array, 'numpy.core.multiarray._reconstruct'),
                                          (rebuild_scalar, 'numpy.core.multiarray.scalar'),
                                          (_history_method, 'builtins.getattr')])


def _history_method(owner: Any, name: str) -> Any:
    if owner is HistoryBuffer and name in ('current', 'max', 'mean', 'min'):
        return getattr(owner, name)
    raise pickle.UnpicklingError(f'Unsupported GLOBAL getattr({owner!r},{name!r})')


def refuse_unsafe_checkpoints(checkpoints: List[Optional[str]], trust: bool) -> None:
    """Check local checkpoints before a run, and bind the whole process to safe loading.

    Args:
        checkpoints: Files that the run will load; None, URLs and files that do not exist are left to mmengine.
        trust: Whether the user vouches for the files (``--trust-checkpoint``); nothing is checked then.

    Raises:
        ValueError: If a file needs unpickling, or is not a checkpoint at all.
    """
    allow_mmengine_classes()
    if trust:
        # what mmengine's fall-back needs; torch reads it at every load
        os.environ.pop(_FORCE_ENV, None)
        return
    os.environ[_FORCE_ENV] = '1'
    os.environ.pop(_FORCE_NOT_ENV, None)
    for checkpoint in checkpoints:
        if checkpoint and Path(checkpoint).is_file():
            _check(checkpoint)


def _check(checkpoint: str) -> None:
    try:
        torch.load(checkpoint, map_location='meta', weights_only=True)
    except Exception as error:  # damaged bytes lead the unpickler to errors of many types
        found = re.search(r'GLOBAL (\S+)|WeightsUnpickler error:\s*(\S.*)', str(error))
        reason = (found[1] or found[2]) if found else str(error).strip().split('\n')[0]
        if isinstance(error, pickle.UnpicklingError) and _is_pickle(checkpoint):
            raise ValueError(f'{checkpoint}: holds more than tensors and mmengine\'s own records ({reason}). Loading it '
                             'would run code from the file; pass --trust-checkpoint if you trust where it comes from.'
                             ) from None
        raise ValueError(f'{checkpoint}: is not a complete PyTorch checkpoint ({reason}). It was probably cut off while it '
                         'was written; use an earlier one.') from None


def _is_pickle(checkpoint: str) -> bool:
    """Whether a file begins as ``torch.save`` writes it: a zip archive, or a pickle of protocol 2 or later."""
    with open(checkpoint, 'rb') as file:
        return file.read(2) in (b'PK', b'\x80\x02', b'\x80\x03', b'\x80\x04', b'\x80\x05')
