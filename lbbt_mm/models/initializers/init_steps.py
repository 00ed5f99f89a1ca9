"""Where the copy of the language weights stands among a module's own initialisation steps."""
import logging
from typing import Any, List, Mapping

from mmengine.logging import print_log

from lbbt_mm.registry import LOADING_STEPS, type_name


def steps_of(init_cfg: Any) -> List[Mapping[str, Any]]:
    """The steps of an ``init_cfg``: one, a list of them, or None."""
    return [init_cfg] if isinstance(init_cfg, Mapping) else list(init_cfg or [])


def trunc_normal_parts(*names: str) -> Mapping[str, Any]:
    """A step that draws the linear layers of some children as a ViT's are, with deviation 0.02, and sets biases to 0.

    As a step of ``init_cfg`` it is in mmengine's log of initialisations, which begins when ``init_weights`` of
    ``BaseModule`` does: what a module's own ``init_weights`` draws before that has "the same value before and after" there.

    Args:
        *names: Names of the children, in the order in which they are drawn.
    """
    return dict(type='TruncNormal', std=0.02, override=[dict(name=name) for name in names])


def with_language_init(init_cfg: Any, language: Mapping[str, Any], **places: Any) -> List[Mapping[str, Any]]:
    """A module's ``init_cfg`` with the copying step behind it, unless one of its steps fills the whole module anyway.

    That is the rule of every component with language blocks, and the log says when the copy is left out: the blocks then
    start from that checkpoint, whatever ``language.arm`` says.

    Args:
        init_cfg: A step, a list of them, or None.
        language: The ``language`` dict.
        **places: ``targets`` and ``others`` of :class:`lbbt_mm.LanguageInit`.

    Returns:
        list: The steps.
    """
    steps = steps_of(init_cfg)
    loading = next((step for step in steps if type_name(step) in LOADING_STEPS), None)
    if loading is not None:
        source = loading.get('checkpoint') or 'a checkpoint'
        print_log(f'init_cfg of type {type_name(loading)} loads {source}: the blocks start from it, and language.arm copies '
                  'nothing.', logger='current', level=logging.WARNING)
        return steps
    return [*steps, dict(type='lbbt_mm.LanguageInit', language=language, **places)]
