"""Which blocks of a model a figure looks into: language blocks, or those of the vision transformer around a rectifier."""
from fnmatch import fnmatchcase
from typing import Dict, Optional

from torch import nn

from lbbt_mm.models.layers.block_watch import can_be_watched
from lbbt_mm.models.layers.language_block import LanguageBlock
from lbbt_mm.models.rectifiers.insertion import find_blocks
from lbbt_mm.models.rectifiers.rectified_model import RectifiedModel


def watched_blocks(model: nn.Module, pattern: Optional[str] = None) -> Dict[str, nn.Module]:
    """The blocks of a model that are measured.

    Args:
        model: Any model.
        pattern: Which of all its blocks, by name, as a shell matches file names. Defaults to None: LanguageBlocks; but the
            backbone's of a model that has none, and of one with a rectifier, whose own blocks other arms lack and which
            does not run in inference after auxiliary training.

    Returns:
        dict: Name -> block, in the model's order.

    Raises:
        ValueError: If there are none, or none of such a name.
    """
    language = {name: module for name, module in model.named_modules() if isinstance(module, LanguageBlock)}
    vision = _backbone_blocks(model)
    blocks = {name: module for name, module in model.named_modules() if name in language or name in vision}
    if not blocks:
        raise ValueError(f'{type(model).__name__} has no LanguageBlock, and no backbone of such blocks as mmpretrain\'s '
                         'VisionTransformer has; expected one of them. Give another model.')
    if pattern is None:
        return vision if vision and (isinstance(model, RectifiedModel) or not language) else language
    found = {name: block for name, block in blocks.items() if fnmatchcase(name, pattern)}
    if not found:
        raise ValueError(f'{type(model).__name__} has {next(iter(blocks))} to {[*blocks][-1]}; expected blocks that are '
                         f'called {pattern}. Give another pattern.')
    return found


def _backbone_blocks(model: nn.Module) -> Dict[str, nn.Module]:
    """The blocks of a backbone of tokens, if it is known where they have their units."""
    try:
        blocks = find_blocks(model.backbone)
    except (AttributeError, ValueError):
        return {}
    names = {module: name for name, module in model.named_modules()}
    return {names[block]: block for block in blocks} if all(map(can_be_watched, blocks)) else {}
