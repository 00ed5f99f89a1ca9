"""Fills in the input width of a neck or head that a config leaves None, so that one key picks the language model."""
from typing import Any, Mapping, Optional, Sequence


def with_input_width(name: str, config: Any, width: Optional[int], keys: Sequence[str] = ('in_channels', ),
                     strict: bool = True) -> Any:
    """A copy of a config with its input width filled in.

    Args:
        name: What the config is of, for messages.
        config: The config, or a list of several; anything that is no dict (a built module, None) is returned unchanged.
        width: The width of what comes in; None if it is not known.
        keys: What the component may call it.
        strict: Whether a width that is written has to agree.

    Returns:
        Any: The config with every one of ``keys`` that was None filled in.

    Raises:
        ValueError: If a width is None and cannot be known, or is written and contradicts what comes in.
    """
    if isinstance(config, (list, tuple)):
        return [with_input_width(f'{name}[{index}]', part, width, keys, strict) for index, part in enumerate(config)]
    if not isinstance(config, Mapping):
        return config
    config = config.copy()  # ConfigDict stays ConfigDict, and the caller's is not changed
    of = f'the backbone, which is {width} wide'
    for key in [key for key in keys if key in config]:
        written = config[key]
        if isinstance(written, (list, tuple)):  # one for each of several feature maps
            config[key] = [one_width(f'{name}.{key}[{index}]', item, width, of, strict)
                           for index, item in enumerate(written)]
        else:
            config[key] = one_width(f'{name}.{key}', written, width, of, strict)
    return config


def one_width(name: str, written: Optional[int], width: Optional[int], of: str, strict: bool = True) -> Optional[int]:
    """A width that is written or, where it is None, follows from elsewhere.

    Args:
        name: What it is of, for messages.
        written: What the config has.
        width: What it has to be; None if that is not known.
        of: Where that follows from, for messages.
        strict: Whether both have to agree.

    Returns:
        int | None: The width.

    Raises:
        ValueError: If it is None and cannot be known, or is written and contradicts.
    """
    if width is None and written is None:
        raise ValueError(f'{name}=None cannot be inferred: the width of what the backbone gives is not known. Write it.')
    if strict and None not in (width, written) and written != width:
        raise ValueError(f'{name}={written} contradicts {of}; expected {width}. Set it to None to have it inferred, or '
                         'choose another language model.')
    return width if written is None else written
