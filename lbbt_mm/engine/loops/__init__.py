"""Loops; importing this registers them in scope ``lbbt_mm``."""
from .bridge_val_loop import BridgeValLoop

__all__ = ['BridgeValLoop']
