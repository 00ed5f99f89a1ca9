"""Datasets and transforms; importing this registers them in scope ``lbbt_mm``."""
from .class_subset import ClassSubset
from .even_subset import EvenSubset
from .feature_pairs import FeaturePairs
from .pair_sampler import PairSampler, collate_pairs
from .random_label_dataset import RandomLabelDataset
from .retrieval_queries import RetrievalQueries
from .transforms import RandomLabel

__all__ = [
    'ClassSubset', 'EvenSubset', 'FeaturePairs', 'PairSampler', 'RandomLabel', 'RandomLabelDataset', 'RetrievalQueries',
    'collate_pairs'
]
