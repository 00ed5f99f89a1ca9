"""Decode heads; they need mmseg."""
from lbbt_mm.models.optional import import_component

LanguageSegmenterHead = import_component(f'{__name__}.language_segmenter_head', 'LanguageSegmenterHead', 'mmseg')

__all__ = ['LanguageSegmenterHead']
