"""Forgets what the user's shell says to torch, mm, the hub and these configs; imported before any of them reads it."""
import os

_PREFIXES = ('HF_', 'HUGGINGFACE_', 'TRANSFORMERS_', 'LBBT_', 'TORCH_FORCE_', 'TORCHELASTIC_')
_NAMES = ('RANK', 'LOCAL_RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT', 'NNODES', 'NODE_RANK', 'PORT', 'PYTHON')

for _name in list(os.environ):
    if _name.startswith(_PREFIXES) or _name in _NAMES:
        del os.environ[_name]
