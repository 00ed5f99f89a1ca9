"""Opens training checkpoints without running code from them: tensors and mmengine's own records, nothing else."""
import os
import pickle
import re
from io import BytesIO
from typing import Any, Optional

import torch
from mmengine.logging.history_buffer import HistoryBuffer

from lbbt_mm.language.pickle_size import PickleTooLarge
from lbbt_mm.language.torch_files import load_torch_file
from lbbt_mm.mmengine_internals import checkpoint_loaders
from .plain_numpy import STAND_IN_TYPES, STAND_INS, without_stand_ins

#: In a loaded checkpoint's meta: the text of the config it was trained with, which nothing may run.
CONFIG_TEXT_KEY = 'lbbt_mm_config_text'
_GIVE_ANOTHER = 'Give the path of a .pth file that tools/train.py wrote.'
# How a file begins that torch.save wrote: a zip archive, or a pickle of protocol 2 or later
_PICKLES = (b'PK', b'\x80\x02', b'\x80\x03', b'\x80\x04', b'\x80\x05')


class UnreadableCheckpoint(ValueError):
    """A checkpoint is absent, damaged, would run code, or is none.

    Args:
        where: What the checkpoint is called.
        found: What is wrong with it.
        remedy: What to do, in a sentence.
    """

    def __init__(self, where: Any, found: str, remedy: str) -> None:
        super().__init__(f'{where}: {found}. {remedy}')
        self.found = found


def _history_method(owner: Any = None, name: Any = None) -> Any:
    """``getattr``, which a checkpoint's records need for their own four methods, and for nothing else."""
    if owner is HistoryBuffer and name in ('current', 'max', 'mean', 'min'):
        return getattr(owner, name)
    raise pickle.UnpicklingError(f'Unsupported GLOBAL getattr({owner!r},{name!r})')


# What mmengine's CheckpointHook writes beside tensors
_ALLOWED = {
    **STAND_INS, **{f'{kind.__module__}.{kind.__qualname__}': kind
                    for kind in STAND_IN_TYPES}, 'mmengine.logging.history_buffer.HistoryBuffer': HistoryBuffer,
    'builtins.getattr': _history_method
}


def local_checkpoint(name: Any) -> Optional[str]:
    """The file that mmengine's loader means by a checkpoint's name.

    Args:
        name: As in ``load_from``, ``init_cfg`` or on the command line: a path, relative to the current folder, ``~``
            expanded, or an address.

    Returns:
        str | None: The path, whether or not a file is there; None for the address of something elsewhere.
    """
    name = os.fspath(name)
    if any(scheme and re.match(scheme, name) for scheme in checkpoint_loaders()):
        return None
    return os.path.expanduser(name)


def load_checkpoint_safely(path: Any, map_location: Any = 'cpu', trust: bool = False, mmap: bool = False) -> dict:
    """Load a training checkpoint; code in it does not run, and the config in it is text only.

    Its ``meta`` has no ``cfg`` and ``config``, which mmengine would run as Python when it resumes; the text is at
    ``meta['lbbt_mm_config_text']``.

    Args:
        path: A local file, named as :func:`local_checkpoint` takes it.
        map_location: As in ``torch.load``; with ``'meta'`` shapes and types are known and no tensor's data is read.
        trust: Whether the user vouches for the file, which is then unpickled and may run code.
        mmap: Whether tensors may stay in the file until they are used. Not for those that a run keeps: the file may be
            written again.

    Returns:
        dict: What the file holds.

    Raises:
        UnreadableCheckpoint: If there is no such file, or it is damaged, needs unpickling, or is no checkpoint.
    """
    file = local_checkpoint(path)
    if file is None or not os.path.isfile(file):
        raise UnreadableCheckpoint(path, 'no such checkpoint file', _GIVE_ANOTHER)
    with open(file, 'rb') as opened:
        begin = opened.read(4096)
    if os.path.basename(file) == 'last_checkpoint':
        named = begin.decode('utf-8', 'replace').strip()
        raise UnreadableCheckpoint(path, f'is the text file that says which checkpoint is the last ({named!r:.200})',
                                   'Give that one.')
    return _load(file, begin[:2], str(path), map_location, trust, mmap)


def load_checkpoint_bytes(content: bytes, where: str, map_location: Any = 'cpu', trust: bool = False) -> dict:
    """Load a training checkpoint that has been fetched, see :func:`load_checkpoint_safely`.

    Args:
        content: What a checkpoint file holds.
        where: Where it comes from, for messages.
        map_location: As in ``torch.load``.
        trust: Whether the user vouches for it, so that it is unpickled and may run code.

    Returns:
        dict: What it holds.

    Raises:
        UnreadableCheckpoint: If it is damaged, needs unpickling, or is no checkpoint.
    """
    return _load(BytesIO(content), content[:2], where, map_location, trust)


def _load(file: Any, begin: bytes, where: str, map_location: Any, trust: bool, mmap: bool = False) -> dict:
    try:
        if trust:
            loaded = torch.load(file, map_location=map_location, weights_only=False)
        else:
            loaded = without_stand_ins(load_torch_file(file, _ALLOWED, map_location, mmap))
    except Exception as error:  # damaged bytes lead the unpickler to errors of many types
        raise _explain(error, where, not trust and begin in _PICKLES) from None
    if not isinstance(loaded, dict):
        raise UnreadableCheckpoint(where, f'holds a {type(loaded).__name__}; expected named tensors in a dict',
                                   _GIVE_ANOTHER)
    keep_config_as_text(loaded)
    return loaded


def keep_config_as_text(checkpoint: Any) -> None:
    """Put the config's text in a loaded checkpoint's meta where mmengine does not look for code to run."""
    meta = checkpoint.get('meta') if isinstance(checkpoint, dict) else None
    if isinstance(meta, dict):
        texts = [meta.pop(key, None) for key in ('cfg', 'config', CONFIG_TEXT_KEY)]
        text = next((text for text in texts[:2] if isinstance(text, str)), None)
        if text is not None:
            meta[CONFIG_TEXT_KEY] = text


def _explain(error: Exception, where: str, is_pickle: bool) -> UnreadableCheckpoint:
    if isinstance(error, PickleTooLarge):
        return UnreadableCheckpoint(where, f'would keep whoever loads it busy for ever ({error})', _GIVE_ANOTHER)
    found = re.search(r'GLOBAL (\S+)|WeightsUnpickler error:\s*(\S.*)', str(error))
    reason = (found[1] or found[2]) if found else (str(error).strip().split('\n')[0] or type(error).__name__)
    if is_pickle and isinstance(error, pickle.UnpicklingError):
        return UnreadableCheckpoint(
            where, f'holds more than tensors and mmengine\'s own records ({reason})',
            'Loading it would run code from the file; pass --trust-checkpoint if you trust where it comes from.')
    return UnreadableCheckpoint(where, f'is not a complete PyTorch checkpoint ({reason})',
                                'It was probably cut off while it was written; use an earlier one.')
