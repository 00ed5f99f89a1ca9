"""Metrics that mm evaluators take by name."""
from .retrieval_ndcg import RetrievalNDCG
from .retrieval_precision import RetrievalPrecision

__all__ = ['RetrievalNDCG', 'RetrievalPrecision']
