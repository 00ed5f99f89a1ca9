"""Where the copy of the language weights stands among a module's own initialisation steps."""
from typing import Any, List, Mapping

from lbbt_mm.registry import LOADING_STEPS, type_name


def with_language_init(init_cfg: Any, language: Mapping[str, Any], **places: Any) -> List[Mapping[str, Any]]:
    """A module's ``init_cfg`` with the copying step behind it, unless one of its steps fills the whole module anyway.

    Args:
        init_cfg: A step, a list of them, or None.
        language: The ``language`` dict.
        **places: ``targets`` and ``others`` of :class:`lbbt_mm.LanguageInit`.

    Returns:
        list: The steps.
    """
    steps = [init_cfg] if isinstance(init_cfg, Mapping) else list(init_cfg or [])
    if any(type_name(step) in LOADING_STEPS for step in steps):
        return steps
    return [*steps, dict(type='lbbt_mm.LanguageInit', language=language, **places)]
