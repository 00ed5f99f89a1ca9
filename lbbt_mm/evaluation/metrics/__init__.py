"""Registered metrics."""
from .class_subset_accuracy import ClassSubsetAccuracy
from .pair_loss import PairLoss
from .pair_retrieval import PairRetrieval
from .pair_test import PairTest
from .retrieval_ndcg import RetrievalNDCG
from .retrieval_precision import RetrievalPrecision

__all__ = ['ClassSubsetAccuracy', 'PairLoss', 'PairRetrieval', 'PairTest', 'RetrievalNDCG', 'RetrievalPrecision']
