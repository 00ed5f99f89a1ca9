"""Detectors; they need mmdet."""
from lbbt_mm.models.optional import import_component

LanguageDETR = import_component(f'{__name__}.language_detr', 'LanguageDETR', 'mmdet')

__all__ = ['LanguageDETR']
