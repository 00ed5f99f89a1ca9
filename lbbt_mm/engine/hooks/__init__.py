"""Hooks; importing this registers them in scope ``lbbt_mm``."""
from .language_config_hook import LanguageConfigHook
from .partial_freeze_hook import PartialFreezeHook
from .seeding_hook import SeedingHook

__all__ = ['LanguageConfigHook', 'PartialFreezeHook', 'SeedingHook']
