"""Dataset transforms; importing this registers them in scope ``lbbt_mm``."""
from .random_label import RandomLabel

__all__ = ['RandomLabel']
