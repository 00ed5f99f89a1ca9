"""Decode heads; they need mmseg."""
try:
    from .language_segmenter_head import LanguageSegmenterHead
except Exception as error:  # a codebase of an unfitting version fails with errors of other types
    from lbbt_mm.models.optional import register_placeholder
    LanguageSegmenterHead = register_placeholder('LanguageSegmenterHead', 'mmseg', error)

__all__ = ['LanguageSegmenterHead']
