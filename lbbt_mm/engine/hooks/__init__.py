"""Hooks; importing this registers them in scope ``lbbt_mm``."""
from .activation_ratio_hook import ActivationRatioHook
from .auxiliary_weight_hook import AuxiliaryWeightHook
from .bridge_encoder_hook import BridgeEncoderHook
from .checkpoint_fit_hook import CheckpointFitHook
from .early_stopping_hook import EarlyStoppingHook
from .gsnr_hook import GSNRHook
from .language_config_hook import LanguageConfigHook
from .named_files_hook import NamedFilesHook
from .partial_freeze_hook import PartialFreezeHook
from .pending_validation_hook import PendingValidationHook
from .seeding_hook import SeedingHook
from .whole_checkpoint_hook import WholeCheckpointHook

__all__ = [
    'ActivationRatioHook', 'AuxiliaryWeightHook', 'BridgeEncoderHook', 'CheckpointFitHook', 'EarlyStoppingHook', 'GSNRHook',
    'LanguageConfigHook', 'NamedFilesHook', 'PartialFreezeHook', 'PendingValidationHook', 'SeedingHook',
    'WholeCheckpointHook'
]
