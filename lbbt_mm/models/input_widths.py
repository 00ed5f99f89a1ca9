"""Fills in the input width of a neck or head that a config leaves None, so that one key picks the language model."""
from typing import Any, Mapping, Optional, Sequence


def with_input_width(name: str, config: Any, width: Optional[int], keys: Sequence[str] = ('in_channels', ),
                     strict: bool = True) -> Any:
    """A copy of a config with its input width filled in.

    Args:
        name: What the config is of, for messages.
        config: The config; anything that is no dict (a built module, None) is returned unchanged.
        width: The width of what comes in; None if it is not known.
        keys: What the component may call it.
        strict: Whether a width that is written has to agree.

    Returns:
        Any: The config with every one of ``keys`` that was None filled in.

    Raises:
        ValueError: If a width is None and cannot be known, or is written and contradicts what comes in.
    """
    if not isinstance(config, Mapping):
        return config
    config = config.copy()  # ConfigDict stays ConfigDict, and the caller's is not changed
    for key in keys:
        if key not in config:
            continue
        written = config[key]
        if isinstance(written, (list, tuple)):  # one for each of several feature maps
            config[key] = [_one_width(f'{name}.{key}[{index}]', item, width, strict) for index, item in enumerate(written)]
        else:
            config[key] = _one_width(f'{name}.{key}', written, width, strict)
    return config


def _one_width(name: str, written: Optional[int], width: Optional[int], strict: bool) -> Optional[int]:
    if width is None and written is None:
        raise ValueError(f'{name}=None cannot be inferred: the width of what the backbone gives is not known. Write it.')
    if written is not None and strict and width is not None and written != width:
        raise ValueError(f'{name}={written} contradicts the backbone, which is {width} wide. Set it to None to have it '
                         'inferred, or choose another language model.')
    return width if written is None else written
