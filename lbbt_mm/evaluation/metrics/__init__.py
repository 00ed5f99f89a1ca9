"""Registered metrics."""
from .retrieval_ndcg import RetrievalNDCG
from .retrieval_precision import RetrievalPrecision

__all__ = ['RetrievalNDCG', 'RetrievalPrecision']
