"""Whether a config is there: asked before the seconds that torch and the mm codebases take to be imported."""
import os
from typing import Any


def refuse_absent_config(path: Any) -> None:
    """Refuse a path at which no config is.

    Args:
        path: What the user gave.

    Raises:
        FileNotFoundError: If there is no such file.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f'{path}: no such config file. Give the path of a config, absolute or relative to the '
                                'current folder.')
