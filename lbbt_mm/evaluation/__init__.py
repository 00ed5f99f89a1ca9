"""Evaluation: the metrics of image retrieval that mmpretrain lacks."""
from .metrics import RetrievalNDCG, RetrievalPrecision

__all__ = ['RetrievalNDCG', 'RetrievalPrecision']
