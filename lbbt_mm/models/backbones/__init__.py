"""Backbones; they need no more than mmcv, so that mmpretrain, mmdet and mmseg can each use them alone."""
from .llm_backbone import LLMBackbone

__all__ = ['LLMBackbone']
