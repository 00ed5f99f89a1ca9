"""What a backbone of language-model blocks is, in plain values that a checkpoint can keep."""
from dataclasses import replace
from typing import Any, Dict, Mapping

from torch import nn

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
        dict: Language model, blocks and arm, and what the shapes of the weights do not tell; plain values only.
    """
    options: LanguageOptions = module.language
    facts = dict(checkpoint=options.checkpoint, arm=options.arm, seed=options.seed, init_std=options.init_std,
                 config=plain(options.spec.config))
    for key in options.selections:
        facts[key] = options.block_indices(key)
    facts.update({name: plain(getattr(module, name)) for name in (*FUNCTION, 'patch_resolution', 'out_type')
                  if hasattr(module, name)})
    return facts


def adopt_start(module: nn.Module, found: Mapping[str, Any]) -> None:
    """Let a backbone that was filled from a checkpoint say what its weights started from, whatever its config says.

    Args:
        module: A backbone with ``language``.
        found: What :func:`describe_backbone` said when the checkpoint was written.
    """
    start = {name: found[name] for name in ('arm', 'seed', 'init_std') if found.get(name) is not None}
    module.language = replace(module.language, **start)


def note_identity(module: nn.Module, state_dict: Any, prefix: str, local_metadata: Dict[str, Any]) -> None:
    """A state-dict hook: keep what the backbone is beside its weights, whichever tool saves them."""
    local_metadata[IDENTITY_KEY] = describe_backbone(module)
