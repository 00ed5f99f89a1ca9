"""Spares tests what mmengine does again and again for configs: seconds for each run, half of the reading of each."""
from contextlib import ExitStack
from functools import lru_cache
from unittest import mock

from mmengine.config import utils


def quick_configs() -> ExitStack:
    """Leave the layout of configs' texts as it comes, and read each codebase's metafiles once.

    Returns:
        ExitStack: Ends it.
    """
    stack = ExitStack()
    stack.enter_context(mock.patch('yapf.yapflib.yapf_api.FormatCode', lambda text, **options: (text, True)))
    stack.enter_context(mock.patch.object(utils, 'load', lru_cache(None)(utils.load)))  # reads metafiles
    return stack
