"""Evaluation: the metrics of image retrieval that mmpretrain lacks, and the protocol they need."""
from .bridge_encoder_hook import BridgeEncoderHook
from .metrics import RetrievalNDCG, RetrievalPrecision
from .retrieval_queries import RetrievalQueries

__all__ = ['BridgeEncoderHook', 'RetrievalNDCG', 'RetrievalPrecision', 'RetrievalQueries']
