"""Makes a run independent of the language model once it has started: it can be rebuilt and resumed offline."""
from typing import Optional

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner, find_latest_checkpoint
from torch import nn

from lbbt_mm.checks.image_folders import check_labels_once
from lbbt_mm.config_keys import get_key, language_keys
from lbbt_mm.language.backbone_identity import IDENTITY_KEY, describe_backbone, restore_identity
from lbbt_mm.language.options import LanguageOptions
from lbbt_mm.mmengine_internals import checkpoint_of, is_resumed
from lbbt_mm.models.initializers.init_steps import steps_of
from lbbt_mm.registry import HOOKS, type_name


@HOOKS.register_module()
class LanguageConfigHook(Hook):
    """Replace ``language.config=None`` by the fields that were read from the checkpoint.

    They go into the config file in the work directory and, with it, into the meta of every checkpoint. Building and
    testing from either then needs neither the language model nor a network. Nor does resuming: the runner initialises
    a model before it loads the checkpoint, and the hook takes the copying out of that where it would be overwritten.
    A checkpoint's meta also says what its backbone was made of, for a probe of it. Random labels that do not fit the
    classification head are refused, in other projects' tools too.
    """

    priority = 'VERY_HIGH'

    def before_run(self, runner: Runner) -> None:
        """Resolve the run's config, and dump it again if it changed."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        options = [getattr(module, 'language', None) for module in model.modules()]
        read = {(option.checkpoint, option.revision): option for option in options if isinstance(option, LanguageOptions)}
        asked = [get_key(runner.cfg, key) for key in language_keys(runner.cfg.get('model'))]
        found = [(language, read.get((language.get('checkpoint'), language.get('revision')))) for language in asked
                 if not language.get('config')]
        for language, option in found:
            if option:
                language['config'] = option.spec.config
        if any(option for _, option in found):
            runner.dump_config()
        if _resumes(runner):
            _drop_language_init(model)

    def before_train(self, runner: Runner) -> None:
        """Check the run's random labels; a test asks nothing of the training data."""
        check_labels_once(runner)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Let a checkpoint that another tool saved again say what its backbone is; called before the model loads it."""
        restore_identity(checkpoint)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Note what the backbone is, for a later :class:`lbbt_mm.BridgeInit`."""
        backbone = _language_backbone(runner)
        if backbone is not None:
            checkpoint['meta'][IDENTITY_KEY] = describe_backbone(backbone)


def _language_backbone(runner: Runner) -> Optional[nn.Module]:
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    backbone = getattr(model, 'backbone', None)
    return backbone if isinstance(getattr(backbone, 'language', None), LanguageOptions) else None


def _resumes(runner: Runner) -> bool:
    """Whether the run goes on from a training checkpoint, as its ``load_or_resume`` will decide after ``init_weights``."""
    return is_resumed(runner) and bool(checkpoint_of(runner) or find_latest_checkpoint(runner.work_dir))


def _drop_language_init(model: nn.Module) -> None:
    for module in model.modules():
        steps = steps_of(getattr(module, 'init_cfg', None))
        kept = [step for step in steps if type_name(step) not in ('LanguageInit', 'BridgeInit')]
        if len(kept) < len(steps):
            module.init_cfg = kept
