"""Writes the language model's resolved config into the run's config, so that it can be rebuilt offline."""
from typing import Any, Iterator, List, Mapping

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from lbbt_mm.language.options import LanguageOptions
from lbbt_mm.registry import HOOKS


@HOOKS.register_module()
class LanguageConfigHook(Hook):
    """Replace ``language.config=None`` by the fields that were read from the checkpoint.

    They go into the config file in the work directory and, with it, into the meta of every checkpoint. Building, testing
    and resuming from either then needs neither the language model nor a network.
    """

    priority = 'VERY_HIGH'

    def before_run(self, runner: Runner) -> None:
        """Resolve the run's config and dump it again if that changed it."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        options: List[LanguageOptions] = [
            module.language for module in model.modules() if isinstance(getattr(module, 'language', None), LanguageOptions)
        ]
        changed = False
        for language in _unresolved(runner.cfg.get('model')):
            for option in options:
                if option.checkpoint == language.get('checkpoint') and option.revision == language.get('revision'):
                    language['config'] = option.spec.config
                    changed = True
                    break
        if changed:
            runner.dump_config()


def _unresolved(config: Any) -> Iterator[dict]:
    """The ``language`` dicts below ``config`` that have no config of their own."""
    if isinstance(config, Mapping):
        for key, value in config.items():
            if key == 'language' and isinstance(value, dict) and not value.get('config'):
                yield value
            else:
                yield from _unresolved(value)
    elif isinstance(config, (list, tuple)):
        for value in config:
            yield from _unresolved(value)
