"""Where the copy of the language weights stands among a module's own initialisation steps."""
import logging
from typing import Any, List, Mapping

from mmengine.logging import print_log

from lbbt_mm.registry import LOADING_STEPS, type_name


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
    steps = [init_cfg] if isinstance(init_cfg, Mapping) else list(init_cfg or [])
    loading = next((step for step in steps if type_name(step) in LOADING_STEPS), None)
    if loading is not None:
        source = loading.get('checkpoint') or 'a checkpoint'
        print_log(f'init_cfg of type {type_name(loading)} loads {source}: the blocks start from it, and language.arm copies '
                  'nothing.', logger='current', level=logging.WARNING)
        return steps
    return [*steps, dict(type='lbbt_mm.LanguageInit', language=language, **places)]
