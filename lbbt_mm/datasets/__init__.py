"""Datasets and transforms; importing this registers them in scope ``lbbt_mm``."""
from .even_subset import EvenSubset
from .random_label_dataset import RandomLabelDataset
from .transforms import RandomLabel

__all__ = ['EvenSubset', 'RandomLabel', 'RandomLabelDataset']
