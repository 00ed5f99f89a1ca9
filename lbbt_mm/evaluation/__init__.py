"""Evaluation: metrics that mmpretrain lacks, of image retrieval and of some of a model's classes."""
from .metrics import ClassSubsetAccuracy, PairLoss, PairRetrieval, PairTest, RetrievalNDCG, RetrievalPrecision

__all__ = ['ClassSubsetAccuracy', 'PairLoss', 'PairRetrieval', 'PairTest', 'RetrievalNDCG', 'RetrievalPrecision']
