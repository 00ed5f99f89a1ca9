"""Evaluation: the metrics of image retrieval that mmpretrain lacks."""
from .metrics import PairLoss, PairRetrieval, PairTest, RetrievalNDCG, RetrievalPrecision

__all__ = ['PairLoss', 'PairRetrieval', 'PairTest', 'RetrievalNDCG', 'RetrievalPrecision']
