"""Segmentors; they need mmseg."""
try:
    from .language_encoder_decoder import LanguageEncoderDecoder
except Exception as error:  # a codebase of an unfitting version fails with errors of other types
    from lbbt_mm.models.optional import register_placeholder
    LanguageEncoderDecoder = register_placeholder('LanguageEncoderDecoder', 'mmseg', error)

__all__ = ['LanguageEncoderDecoder']
