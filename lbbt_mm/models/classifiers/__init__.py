"""Classifiers; they need mmpretrain."""
from lbbt_mm.models.optional import import_component

LanguageClassifier = import_component(f'{__name__}.language_classifier', 'LanguageClassifier', 'mmpretrain')

__all__ = ['LanguageClassifier']
