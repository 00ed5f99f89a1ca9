"""lbbt_mm: language-pretrained transformer blocks for OpenMMLab vision codebases.

Nothing is imported here on purpose: the first ``type='lbbt_mm.X'`` in a config imports
:mod:`lbbt_mm.registry`, which names the modules that register components.
"""
from .version import __version__

__all__ = ['__version__']
