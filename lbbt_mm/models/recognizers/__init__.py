"""Video recognizers; they need mmaction2."""
from lbbt_mm.models.optional import import_component

RectifiedRecognizer = import_component(f'{__name__}.rectified_recognizer', 'RectifiedRecognizer', 'mmaction')

__all__ = ['RectifiedRecognizer']
