"""What is looked at before a run starts: do its settings, its data sets, its model and its evaluators mean the same?"""
from .gate import check_datasets, check_settings, find_problems, raise_fatal

__all__ = ['check_datasets', 'check_settings', 'find_problems', 'raise_fatal']
