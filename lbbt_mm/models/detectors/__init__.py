"""Detectors; they need mmdet."""
try:
    from .language_detr import LanguageDETR
except ImportError as error:
    from lbbt_mm.models.optional import register_placeholder
    LanguageDETR = register_placeholder('LanguageDETR', 'mmdet', error)

__all__ = ['LanguageDETR']
