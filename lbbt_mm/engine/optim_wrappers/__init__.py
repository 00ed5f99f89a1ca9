"""Optimizer wrappers; importing this registers them in scope ``lbbt_mm``."""
from .autocast_optim_wrapper import AutocastOptimWrapper

__all__ = ['AutocastOptimWrapper']
