"""What ties vision and language models together."""
from .pair_preprocessor import PairDataPreprocessor
from .sharelock import ShareLock

__all__ = ['PairDataPreprocessor', 'ShareLock']
