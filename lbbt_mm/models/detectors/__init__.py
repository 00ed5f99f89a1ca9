"""Detectors; they need mmdet."""
try:
    from .language_detr import LanguageDETR
except Exception as error:  # a codebase of an unfitting version fails with errors of other types
    from lbbt_mm.models.optional import register_placeholder
    LanguageDETR = register_placeholder('LanguageDETR', 'mmdet', error)

__all__ = ['LanguageDETR']
