"""Components of codebases that are not installed: named in the registry, and clear about what is missing."""
from importlib import import_module

from lbbt_mm.registry import MODELS

_EXTRAS = {'mmdet': 'det', 'mmseg': 'seg', 'mmpretrain': 'cls', 'mmaction': 'video'}


def import_component(module: str, name: str, package: str) -> type:
    """Import a component of ours, or register a stand-in for it.

    Args:
        module: Where it is.
        name: Its name.
        package: Import name of the codebase it needs.

    Returns:
        type: The component or the stand-in.
    """
    try:
        return getattr(import_module(module), name)
    except Exception as error:  # a codebase of an unfitting version fails with errors of other types
        return register_placeholder(name, package, error)


def register_placeholder(name: str, package: str, error: Exception) -> type:
    """Register a stand-in that says what to install when a config names it.

    Args:
        name: Name of the component.
        package: Import name of the codebase it needs.
        error: What importing the codebase raised.

    Returns:
        type: The stand-in.
    """
    missing = isinstance(error, ModuleNotFoundError) and (error.name or '').split('.')[0] == package
    state = 'is not installed' if missing else f'does not import ({error})'
    extra = _EXTRAS[package]

    class Placeholder:
        """Raises ImportError when built."""

        def __init__(self, *args, **kwargs) -> None:
            raise ImportError(f"lbbt_mm.{name} needs {package}, which {state}. Install it with pip install "
                              f"'lbbt_mm[{extra}]' (or 'lbbt_mm[onedl]' for the maintained releases); "
                              'tools/doctor/doctor.py shows what is installed.')

    Placeholder.__name__ = Placeholder.__qualname__ = name
    MODELS.register_module(name=name, module=Placeholder)
    return Placeholder
