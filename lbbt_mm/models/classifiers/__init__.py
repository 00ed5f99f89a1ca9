"""Classifiers; they need mmpretrain."""
try:
    from .language_classifier import LanguageClassifier
except Exception as error:  # a codebase of an unfitting version fails with errors of other types
    from lbbt_mm.models.optional import register_placeholder
    LanguageClassifier = register_placeholder('LanguageClassifier', 'mmpretrain', error)

__all__ = ['LanguageClassifier']
