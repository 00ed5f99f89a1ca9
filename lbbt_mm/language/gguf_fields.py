"""The metadata of GGUF files as Hugging Face config fields: what the families share."""
from typing import Any, Dict, Mapping

from .errors import CheckpointError

#: Metadata that would make a block another function than the ones here, and the value that does not.
_NEUTRAL = {
    'attention.causal': True, 'attention.clamp_kqv': 0., 'attention.max_alibi_bias': 0., 'attention.output_scale': 1.,
    'attention.scale': 0., 'attention.shared_kv_layers': 0, 'attention.sliding_window_pattern': None,
    'attention.temperature_scale': 0., 'attn_logit_softcapping': 0., 'expert_count': 0, 'expert_used_count': 0,
    'residual_scale': 1., 'rope.dimension_count_swa': None, 'rope.dimension_sections': None,
    'rope.freq_base_swa': None, 'rope.scaling.alpha': 0., 'rope.scaling.yarn_attn_factor': 1.,
    'rope.scaling.yarn_ext_factor': 1., 'rope.scaling.yarn_log_multiplier': 0., 'use_parallel_residual': False,
}


def refuse_other_functions(metadata: Mapping[str, Any]) -> None:
    """Refuse metadata that ask for a function which a block cannot have.

    Args:
        metadata: The file's, by key without the architecture's name.

    Raises:
        CheckpointError: Names the key.
    """
    for key, neutral in _NEUTRAL.items():
        if metadata.get(key, neutral) not in (neutral, 0 if isinstance(neutral, float) and not neutral else neutral):
            raise CheckpointError(f'{key}={metadata[key]!r:.40}; expected {"none" if neutral is None else neutral}: a block '
                                  'with it would compute something else')


def rename(fields: Mapping[str, Any], names: Mapping[str, str]) -> Dict[str, Any]:
    """Those of some fields that have another name, by that.

    Args:
        fields: The fields.
        names: Name there -> name here.
    """
    return {name: fields[key] for key, name in names.items() if key in fields}
