"""What is looked at before a run starts: do its data sets, its model and its evaluators mean the same by everything?"""
from .data_sets import check_datasets

__all__ = ['check_datasets']
