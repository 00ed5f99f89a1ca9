"""Classifiers; they need mmpretrain."""
try:
    from .language_classifier import LanguageClassifier
except ImportError as error:
    from lbbt_mm.models.optional import register_placeholder
    LanguageClassifier = register_placeholder('LanguageClassifier', 'mmpretrain', error)

__all__ = ['LanguageClassifier']
