"""Where the copy of the language weights stands among a module's own initialisation steps."""
from typing import Any, List, Mapping, Optional

from lbbt_mm.language.overwrite_guard import say_loaded_start
from lbbt_mm.registry import LOADING_STEPS, type_name


def steps_of(init_cfg: Any) -> List[Mapping[str, Any]]:
    """The steps of an ``init_cfg``: one, a list of them, or None."""
    return [init_cfg] if isinstance(init_cfg, Mapping) else list(init_cfg or [])


def loading_step(init_cfg: Any) -> Optional[Mapping[str, Any]]:
    """The first step that loads a checkpoint of a training, and so fills the whole module; None if there is none."""
    return next((step for step in steps_of(init_cfg) if type_name(step) in LOADING_STEPS), None)


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
    start from that checkpoint, whatever ``language.arm`` says. A checkpoint that a parent's step loads wins too, see
    :class:`lbbt_mm.language.overwrite_guard.OverwriteGuard`.

    Args:
        init_cfg: A step, a list of them, or None.
        language: The ``language`` dict.
        **places: ``targets`` and ``others`` of :class:`lbbt_mm.LanguageInit`.

    Returns:
        list: The steps.
    """
    steps = steps_of(init_cfg)
    loading = loading_step(steps)
    if loading is not None:
        say_loaded_start(f'init_cfg of type {type_name(loading)} loads {loading.get("checkpoint") or "a checkpoint"}')
        return steps
    return [*steps, dict(type='lbbt_mm.LanguageInit', language=language, **places)]
