"""Segmentors; they need mmseg."""
from lbbt_mm.models.optional import import_component

LanguageEncoderDecoder = import_component(f'{__name__}.language_encoder_decoder', 'LanguageEncoderDecoder', 'mmseg')

__all__ = ['LanguageEncoderDecoder']
