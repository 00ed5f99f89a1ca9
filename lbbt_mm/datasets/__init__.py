"""Datasets and transforms; importing this registers them in scope ``lbbt_mm``."""
from .even_subset import EvenSubset
from .random_label_dataset import RandomLabelDataset
from .retrieval_queries import RetrievalQueries
from .transforms import RandomLabel

__all__ = ['EvenSubset', 'RandomLabel', 'RandomLabelDataset', 'RetrievalQueries']
