"""Spares tests what mmengine does again and again: seconds for each run, half of the reading of a config."""
import gc
from contextlib import ExitStack
from functools import lru_cache
from types import SimpleNamespace
from unittest import mock

from mmengine.config import utils
from mmengine.dataset import base_dataset


def quick_mmengine() -> ExitStack:
    """Leave the layout of configs' texts as it comes, read each codebase's metafiles once, and collect garbage rarely.

    mmengine collects it for each data set, and Python after each few hundred objects more; what was imported is most of
    what is looked at.

    Returns:
        ExitStack: Ends it.
    """
    gc.freeze()
    stack = ExitStack()
    stack.callback(gc.set_threshold, *gc.get_threshold())
    gc.set_threshold(50_000, 20, 20)
    stack.enter_context(mock.patch('yapf.yapflib.yapf_api.FormatCode', lambda text, **options: (text, True)))
    stack.enter_context(mock.patch.object(utils, 'load', lru_cache(None)(utils.load)))  # reads metafiles
    stack.enter_context(mock.patch.object(base_dataset, 'gc', SimpleNamespace(collect=lambda: 0)))
    return stack
