"""Tests a retriever on the checkpoint that a bridge, a probe or a classifier left."""
from collections import OrderedDict

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from lbbt_mm.files.checkpoint_fit import load_and_compare
from lbbt_mm.language.backbone_identity import IDENTITY_KEY, read_identity
from lbbt_mm.models.initializers.bridge_init import check_identity
from lbbt_mm.registry import HOOKS


@HOOKS.register_module()
class BridgeEncoderHook(Hook):
    """Give the backbone of a classifier's checkpoint to the retriever's image encoder, and check that all of it fits.

    mmengine loads a checkpoint into a model of other names with no more than a warning, and would then test random
    weights. A checkpoint of a retriever is not changed.

    Args:
        source: Prefix of the tensors to take from the checkpoint.
        target: Name of the module of the model that gets them.

    Raises:
        ValueError: If the checkpoint has no such tensors, they do not match the module's in name and shape, or it says that
            its backbone was of another language model or used in another way (attention, positions).
    """

    def __init__(self, source: str = 'backbone', target: str = 'image_encoder') -> None:
        self.source = source
        self.target = target

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Rename the tensors before they are loaded; those of a neck or head stay behind."""
        tensors = checkpoint.get('state_dict', checkpoint)
        if any(name.startswith(f'{self.target}.') for name in tensors):
            return
        found = {name[len(self.source) + 1:]: tensor for name, tensor in tensors.items()
                 if name.startswith(f'{self.source}.')}
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        encoder = model.get_submodule(self.target)
        if not found:
            some = ', '.join([*tensors][:3]) or 'no tensors'
            raise ValueError(f'The checkpoint has no {self.source}.*, found {some}; expected one of a classifier '
                             f'with the {self.target} of this config. Give the last checkpoint of a bridge.')
        fit = load_and_compare(encoder, found, 'The checkpoint')
        if fit.names:
            raise ValueError(f"The checkpoint's {self.source} is not the {self.target} of this config: {fit.describe()}. "
                             f'Give the {self.target} the language model, blocks, img_size and patch_size of the bridge.')
        identity = read_identity(checkpoint, f'{self.source}.')
        if identity:
            check_identity(encoder, identity, 'The checkpoint')
        checkpoint['state_dict'] = OrderedDict((f'{self.target}.{name}', tensor) for name, tensor in found.items())
        if identity:  # by which the encoder says what its blocks started from
            checkpoint['state_dict']._metadata = {self.target: {IDENTITY_KEY: identity}}
        runner.logger.info(f'{self.target}: {len(found)} tensors from the {self.source} of the checkpoint')
