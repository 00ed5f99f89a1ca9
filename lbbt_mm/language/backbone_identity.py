"""What a backbone of language-model blocks is, in plain values that a checkpoint can keep."""
from collections import OrderedDict
from dataclasses import replace
from typing import Any, Dict, Mapping, Optional, Sequence

from torch import Tensor, nn

from .block_copy import loaded_names, named_weights
from .options import LanguageOptions
from .spec import plain

#: The key of these facts, in a checkpoint's meta and in a state dict's metadata.
IDENTITY_KEY = 'lbbt_mm_backbone'
#: What the weights' shapes do not tell, and another value of which would be another function.
FUNCTION = ('attention', 'position', 'patch_size')


def describe_backbone(module: nn.Module) -> Dict[str, Any]:
    """What a checkpoint says of a backbone.

    Args:
        module: A backbone with ``language``, such as LLMBackbone.

    Returns:
        dict: Language model, blocks and arm (None where they were loaded from a checkpoint that does not say it), and what
        the shapes of the weights do not tell; plain values only.
    """
    options: LanguageOptions = module.language
    facts = dict(checkpoint=options.checkpoint, arm=options.arm, seed=options.seed, init_std=options.init_std,
                 config=plain(options.spec.config))
    if options.fresh:
        facts['fresh'] = list(options.fresh)
    for key in options.selections:
        facts[key] = options.block_indices(key)
    facts.update({name: plain(getattr(module, name)) for name in (*FUNCTION, 'patch_resolution', 'out_type')
                  if hasattr(module, name)})
    return facts


def differing_facts(module: nn.Module, found: Mapping[str, Any], keys: Sequence[str]) -> Dict[str, str]:
    """Compare what a checkpoint's backbone was with what this one is.

    Args:
        module: A backbone with ``language``.
        found: What :func:`describe_backbone` said when the checkpoint was written.
        keys: The facts to compare, beside how features are pooled.

    Returns:
        dict[str, str]: Fact -> how it differs, as a phrase.
    """
    here = describe_backbone(module)
    differing = [key for key in keys if key in found and key in here and here[key] != found[key]]
    pooled = [facts.get('out_type') for facts in (here, found)]
    if None not in pooled and pooled[0] != pooled[1] and not {'featmap', 'raw'} & set(pooled):
        differing.append('out_type')
    return {key: f'{key} {here[key]!r} in the config, {found[key]!r} in the checkpoint' for key in differing}


def read_identity(loaded: Mapping[str, Any], prefix: str = 'backbone.') -> Optional[Dict[str, Any]]:
    """What a checkpoint says of its backbone: LanguageConfigHook notes it in the meta, and the backbone beside its weights.

    Args:
        loaded: A training checkpoint.
        prefix: What the backbone's tensors start with there.

    Returns:
        dict | None: See :func:`describe_backbone`; None if it says nothing.
    """
    beside = getattr(loaded.get('state_dict'), '_metadata', None) or {}
    places = loaded.get('meta'), beside.get(prefix.rstrip('.'))
    found = [place[IDENTITY_KEY] for place in places if isinstance(place, Mapping) and place.get(IDENTITY_KEY)]
    return found[0] if found else None


def restore_identity(loaded: Dict[str, Any], prefix: str = 'backbone.') -> None:
    """Put what a checkpoint's meta says beside its weights, where a tool that saved it again has dropped it.

    Args:
        loaded: A training checkpoint; changed in place.
        prefix: What the backbone's tensors start with there.
    """
    found, states = read_identity(loaded, prefix), loaded.get('state_dict')
    if not found or not states:
        return
    beside = dict(getattr(states, '_metadata', None) or {})
    name = prefix.rstrip('.')
    if not (beside.get(name) or {}).get(IDENTITY_KEY):
        loaded['state_dict'] = OrderedDict(states)  # a plain dict holds no attribute
        loaded['state_dict']._metadata = {**beside, name: {**(beside.get(name) or {}), IDENTITY_KEY: found}}


def with_start(options: LanguageOptions, found: Mapping[str, Any]) -> LanguageOptions:
    """Options that say what blocks from a checkpoint started from, whatever the config says.

    Args:
        options: The config's.
        found: What :func:`describe_backbone` said when the checkpoint was written; where it says nothing, the start is
            unknown, and ``arm`` is None.
    """
    start = {name: found.get(name) for name in ('arm', 'seed', 'init_std')}
    return replace(options, **start, fresh=tuple(found.get('fresh') or ()))


def adopt_start(module: nn.Module, state_dict: Mapping[str, Tensor], prefix: str, local_metadata: Mapping, *args) -> None:
    """A load hook of a backbone with ``blocks``: whoever loads them takes their start from what stands beside them."""
    if loaded_names(module.blocks, named_weights(module.blocks), state_dict, f'{prefix}blocks.'):
        module.language = with_start(module.language, local_metadata.get(IDENTITY_KEY) or {})


def note_identity(module: nn.Module, state_dict: Any, prefix: str, local_metadata: Dict[str, Any]) -> None:
    """A state-dict hook: keep what the backbone is beside its weights, whichever tool saves them."""
    local_metadata[IDENTITY_KEY] = describe_backbone(module)
