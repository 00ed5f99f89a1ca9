"""Backbones; our own need no more than mmcv, so that mmpretrain, mmdet and mmseg can each use them alone."""
from lbbt_mm.models.optional import import_component
from .llm_backbone import LLMBackbone

EfficientNetLite = import_component(f'{__name__}.efficientnet_lite', 'EfficientNetLite', 'mmpretrain')

__all__ = ['EfficientNetLite', 'LLMBackbone']
