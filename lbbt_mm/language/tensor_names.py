"""What the names of a checkpoint's tensors say: what was put around the model, and that its weights are no plain ones."""
import re
from typing import Dict, Iterable

from .errors import CheckpointError

#: What wrappers of modules put into the names: torch.compile, DDP, FSDP, activation checkpointing, DeepSpeed.
_WRAPPERS = re.compile(
    r'(?:^|(?<=\.))(?:_orig_mod|module|_fsdp_wrapped_module|_checkpoint_wrapped_module|_forward_module)\.')
#: And what PEFT puts before them.
_PEFT = 'base_model.model.'

#: What writes quantised checkpoints -> endings that only these have. The first that is found counts.
_QUANTISED = {
    'GPTQ or AWQ': ('.qweight', '.qzeros', '.g_idx'),
    'EXL2': ('.q_weight', '.q_scale', '.q_invperm', '.q_groups'),
    'EXL3': ('.trellis', ),
    'HQQ': ('.W_q', ),
    'AQLM': ('.codes', '.codebooks'),
    'quanto': ('._data', '._scale', '._shift'),
    'torchao': ('_qdata', ),
    'bitsandbytes': ('.absmax', '.SCB', '.quant_map', 'bitsandbytes__nf4', 'bitsandbytes__fp4'),
    'FP8 or compressed-tensors': ('.weight_scale', '.weight_scale_inv', '.input_scale', '.weight_packed',
                                  '.weight_zero_point', '.scale_weight', 'scaled_fp8'),
    'MLX': ('.scales', '.biases'),
}
#: What to do about it.
UNQUANTISED = 'Use the original checkpoint of that model, or a GGUF file, which is dequantised as it is read.'


def stored_names(names: Iterable[str], where: str) -> Dict[str, str]:
    """The names of tensors without what wrappers put into them.

    Args:
        names: As they are stored.
        where: The checkpoint, for the message.

    Returns:
        dict[str, str]: Plain name -> stored name.

    Raises:
        CheckpointError: If two tensors have one plain name.
    """
    found: Dict[str, str] = {}
    for name in names:
        plain = _WRAPPERS.sub('', name).removeprefix(_PEFT)
        if found.setdefault(plain, name) != name:
            raise CheckpointError(f'{where}: the tensors {found[plain]!r:.120} and {name!r:.120} are one without what a '
                                  'wrapper put into their names. Save the model alone, with save_pretrained.')
    return found


def refuse_other_kinds(names: Iterable[str], where: str) -> None:
    """Name the cause where tensors do not fit since they are no plain weights.

    Args:
        names: Names of tensors, as they are stored.
        where: The checkpoint, for the message.

    Raises:
        CheckpointError: If they are of a quantised model or of an adapter.
    """
    names = list(names)
    for method, endings in _QUANTISED.items():
        found = next((name for name in names if name.endswith(endings)), None)
        if found:
            raise CheckpointError(f'{where}: its weights are quantised ({method}: it has {found!r:.120}). {UNQUANTISED}')
    found = next((name for name in names if 'lora_A' in name or '.base_layer.' in name), None)
    if found:
        raise CheckpointError(f'{where}: it has {found!r:.120}, a part of a PEFT adapter. Merge it into the model '
                              '(merge_and_unload) and save that with save_pretrained.')
