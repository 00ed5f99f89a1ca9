"""BridgeInit: takes the backbone alone from a bridge checkpoint, strictly (LBBT, Figure 6, from stage 1 to stage 2)."""
import os
from collections import OrderedDict
from typing import Any, Dict, Mapping, Optional, Sequence

from mmengine.logging import print_log
from mmengine.model.weight_init import update_init_info
from torch import Tensor, nn

from lbbt_mm.config_keys import get_key
from lbbt_mm.files.checkpoint_files import CONFIG_TEXT_KEY, UnreadableCheckpoint, load_checkpoint_safely
from lbbt_mm.files.checkpoint_fit import CheckpointMisfit, is_below, load_and_compare
from lbbt_mm.files.config_text import read_config_text
from lbbt_mm.language.backbone_identity import FUNCTION, IDENTITY_KEY, differing_facts, read_identity
from lbbt_mm.language.errors import CheckpointError
from lbbt_mm.language.families import read_spec
from lbbt_mm.language.options import LanguageOptions, disagreements
from lbbt_mm.mmengine_internals import is_initialising
from lbbt_mm.registry import WEIGHT_INITIALIZERS


@WEIGHT_INITIALIZERS.register_module()
class BridgeInit:
    """Fill a backbone from the checkpoint of a run that trained the same backbone, for a probe or fine-tuning.

    Place it in the backbone's ``init_cfg``; no language weights are read then. Only the backbone's tensors are taken, so the
    random-label head never comes along, and every one has to be there. An EMA model's weights are those that mmengine saves
    as the model's.

    Args:
        checkpoint: A checkpoint that ``tools/train.py`` wrote. None, as in the probe configs, is an error when training
            starts; ``tools/lbbt.py`` fills it in.
        prefix: What the backbone's tensors start with there. Defaults to ``'backbone.'``.
        allow_unknown: Whether a checkpoint may leave out what its backbone is, so that only shapes are compared.
            Defaults to False.
        leave_out: Parts of the backbone that start anew, by their dotted names, such as ``['patch_embed']`` for a probe that
            trains a patch embedding of its own on frozen blocks. Defaults to none.

    Example:
        >>> model = dict(backbone=dict(init_cfg=dict(type='lbbt_mm.BridgeInit', checkpoint='work_dirs/bridge/epoch_12.pth')))
    """

    def __init__(self, checkpoint: Optional[str] = None, prefix: str = 'backbone.', allow_unknown: bool = False,
                 leave_out: Optional[Sequence[str]] = None) -> None:
        self.checkpoint = checkpoint
        self.prefix = prefix
        self.allow_unknown = allow_unknown
        self.leave_out = [leave_out] if isinstance(leave_out, str) else list(leave_out or ())

    def __call__(self, module: nn.Module) -> None:
        """Fill ``module`` in place.

        Raises:
            CheckpointError: If the file is absent, is not one of this backbone, or lacks or adds a tensor.
            ValueError: If the backbone has no part that ``leave_out`` names.
        """
        for part in self.leave_out:
            if not any(is_below(name, [part]) for name in module.state_dict()):
                raise ValueError(f'init_cfg.leave_out: the backbone has no {part!r}; expected some of '
                                 f'{", ".join(dict.fromkeys(name.split(".")[0] for name in module.state_dict()))}. '
                                 'Correct or remove it.')
        loaded = read_bridge_checkpoint(self.checkpoint)
        tensors = OrderedDict((name[len(self.prefix):], tensor) for name, tensor in loaded['state_dict'].items()
                              if name.startswith(self.prefix))
        if not tensors:
            raise CheckpointError(f'{self.checkpoint}: holds no tensor named {self.prefix}*; expected a checkpoint of a '
                                  'model with a backbone. Give the one that the bridge wrote.')
        _refuse_inserted(loaded, str(self.checkpoint))
        found = read_identity(loaded, self.prefix)
        if found:
            check_identity(module, found, str(self.checkpoint))
        elif isinstance(getattr(module, 'language', None), LanguageOptions) and not self.allow_unknown:
            raise CheckpointError(f'{self.checkpoint}: does not say what its backbone is (language model, blocks, '
                                  'attention, positions), so only shapes could be compared. Give the checkpoint that '
                                  'the bridge wrote, or set allow_unknown=True in this init_cfg where you know that it is '
                                  'the same.')
        for name in [name for name in tensors if is_below(name, self.leave_out)]:
            del tensors[name]
        # by which the backbone fits what depends on the image size, and says what its blocks started from
        tensors._metadata = {'': {IDENTITY_KEY: found}}
        self._load(module, tensors)
        count = sum(tensor.numel() for tensor in tensors.values())
        left = len(loaded['state_dict']) - len(tensors)
        anew = f'; {", ".join(self.leave_out)} start anew' if self.leave_out else ''
        arm = f', arm {found.get("arm") or "unknown"} of {found["checkpoint"]}' if found else ''
        print_log(f'BridgeInit: {len(tensors)} tensors, {count:,} parameters of the backbone from {self.checkpoint}{arm}; '
                  f'{left} other tensors (the head among them) stay behind{anew}.', logger='current')
        if is_initialising(module):
            update_init_info(module, f'Initialized by BridgeInit from {self.checkpoint}')

    def _load(self, module: nn.Module, tensors: 'OrderedDict[str, Tensor]') -> None:
        try:
            fit = load_and_compare(module, tensors, str(self.checkpoint))
        except CheckpointMisfit as error:
            raise CheckpointError(str(error)) from None
        fit = fit._replace(missing=[name for name in fit.missing if not is_below(name, self.leave_out)])
        if fit.names:
            raise CheckpointError(f'{self.checkpoint}: its {self.prefix}* is another than this backbone: {fit.describe()}. '
                                  "Give the probe the bridge's model.backbone, or another checkpoint.")


def _refuse_inserted(loaded: Mapping[str, Any], where: str) -> None:
    """A backbone through which language blocks run, that are not part of it, is another function without them."""
    meta = loaded.get('meta')
    recorded = read_config_text(meta.get(CONFIG_TEXT_KEY)) if isinstance(meta, Mapping) else None
    inserted = get_key(recorded or {}, 'model.path') == 'inserted'
    if inserted and any(name.startswith('rectifier.') for name in loaded['state_dict']):
        raise CheckpointError(f"{where}: was trained with path='inserted': language blocks run inside its backbone, and "
                              "this one has none. Train it with path='auxiliary', or fine-tune the model by load_from.")


def read_bridge_checkpoint(checkpoint: Optional[str]) -> Dict[str, Any]:
    """Read a training checkpoint without unpickling code.

    Args:
        checkpoint: Its path.

    Returns:
        dict: With ``state_dict`` and, where the file has one, ``meta``.

    Raises:
        CheckpointError: If there is none, or it is not a training checkpoint.
    """
    if not checkpoint:
        raise CheckpointError('BridgeInit: checkpoint=None; expected the checkpoint that a bridge run wrote. Set '
                              'model.backbone.init_cfg.checkpoint, or run both stages with tools/lbbt.py CONFIG --probe '
                              'PROBE_CONFIG.')
    try:
        loaded = load_checkpoint_safely(checkpoint, mmap=True)
    except UnreadableCheckpoint as error:
        raise CheckpointError(f'{checkpoint}: {error.found}. Give the checkpoint of a bridge run, which has to run first '
                              '(work_dirs/BRIDGE/epoch_N.pth), as model.backbone.init_cfg.checkpoint.') from None
    if not isinstance(loaded.get('state_dict'), Mapping):
        raise CheckpointError(f'{checkpoint}: has no state_dict; expected a checkpoint that tools/train.py wrote.')
    return loaded


def check_identity(module: nn.Module, found: Mapping[str, Any], where: str) -> None:
    """Compare what a checkpoint's backbone was with what this one is.

    Args:
        module: The backbone to fill; one without language blocks is not looked at.
        found: What :func:`read_identity` returned.
        where: The checkpoint's name, for messages.

    Raises:
        CheckpointError: If they differ in language model, blocks, or what the weights' shapes do not tell.
    """
    if not isinstance(getattr(module, 'language', None), LanguageOptions):
        return
    differences = disagreements(module.language.spec, read_spec(found['config'], where))
    differences += differing_facts(module, found, ('blocks', *FUNCTION)).values()
    if differences:
        raise CheckpointError(f'{where}: its backbone is another than this config\'s: {"; ".join(differences)}. Write the '
                              'bridge\'s model.backbone into this config, or give another checkpoint.')
    if _last_part(module.language.checkpoint) != _last_part(found['checkpoint']):
        raise CheckpointError(f'{where}: was bridged from {found["checkpoint"]}, this config names '
                              f'{module.language.checkpoint}, another language model. Give another bridge or, if it is the '
                              f"same model elsewhere, set the backbone's language.checkpoint={found['checkpoint']}; nothing "
                              'is read from there.')


def _last_part(checkpoint: Optional[str]) -> str:
    return os.path.basename(str(checkpoint).rstrip('/'))
