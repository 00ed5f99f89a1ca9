"""Classifiers; they need mmpretrain."""
from lbbt_mm.models.optional import import_component

LanguageClassifier = import_component(f'{__name__}.language_classifier', 'LanguageClassifier', 'mmpretrain')
RectifiedClassifier = import_component(f'{__name__}.rectified_classifier', 'RectifiedClassifier', 'mmpretrain')

__all__ = ['LanguageClassifier', 'RectifiedClassifier']
