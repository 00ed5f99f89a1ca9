"""Hooks; importing this registers them in scope ``lbbt_mm``."""
from .bridge_encoder_hook import BridgeEncoderHook
from .language_config_hook import LanguageConfigHook
from .partial_freeze_hook import PartialFreezeHook
from .pending_validation_hook import PendingValidationHook
from .seeding_hook import SeedingHook

__all__ = ['BridgeEncoderHook', 'LanguageConfigHook', 'PartialFreezeHook', 'PendingValidationHook', 'SeedingHook']
