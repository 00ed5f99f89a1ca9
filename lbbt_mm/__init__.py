"""lbbt_mm: language-pretrained transformer blocks for OpenMMLab vision codebases.

Nothing is imported here on purpose: the first ``type='lbbt_mm.X'`` in a config imports
:mod:`lbbt_mm.registry`, which names the modules that register components.
"""
from .version import __version__


def config_path(name: str) -> str:
    """A config of this package, for configs of other projects that inherit from it.

    A config is inherited with ``_base_ = __import__('lbbt_mm').config_path('detr_gpt2_coco.py')``: mmengine's ``PACKAGE::``
    knows the packages of OpenMMLab only.

    Args:
        name: Its path below ``configs/``, or a folder there.

    Returns:
        str: Its absolute path, in the installed package or in the checkout.

    Raises:
        FileNotFoundError: If there is none.
    """
    from pathlib import Path
    package = Path(__file__).resolve().parent
    installed = package / '.mim' / 'configs'
    found = (installed if installed.is_dir() else package.parent / 'configs') / name
    if not found.exists():
        raise FileNotFoundError(f'lbbt_mm has no config {name!r}. Give a path below its configs folder, for example '
                                "'detr_gpt2_coco.py'.")
    return str(found)


__all__ = ['__version__', 'config_path']
