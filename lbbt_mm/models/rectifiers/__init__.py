"""Frozen language blocks inside a vision transformer (gradient-coherence rectifiers); they need no more than mmcv."""
from .language_rectifier import LanguageRectifier

__all__ = ['LanguageRectifier']
