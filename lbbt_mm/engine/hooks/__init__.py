"""Hooks; importing this registers them in scope ``lbbt_mm``."""
from .language_config_hook import LanguageConfigHook
from .seeding_hook import SeedingHook

__all__ = ['LanguageConfigHook', 'SeedingHook']
