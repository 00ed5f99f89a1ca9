"""The language side: opens checkpoints, says what a block is, makes the control arms, copies weights."""
from .arms import ARMS, read_arm_block
from .errors import CheckpointError
from .families import FAMILIES, Family, block_tensors, read_spec
from .options import LanguageOptions
from .source import LanguageCheckpoint, open_checkpoint
from .spec import BlockSpec, LanguageModelSpec, RotarySpec, parse_blocks

__all__ = [
    'ARMS', 'BlockSpec', 'CheckpointError', 'FAMILIES', 'Family', 'LanguageCheckpoint', 'LanguageModelSpec',
    'LanguageOptions', 'RotarySpec', 'block_tensors', 'open_checkpoint', 'parse_blocks', 'read_arm_block', 'read_spec'
]
