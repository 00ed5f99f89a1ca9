"""Where a model's blocks are: those that are measured, the list at a dotted path, and the list of a backbone of tokens."""
from fnmatch import fnmatchcase
from typing import Dict, Optional, Tuple

from torch import nn

from lbbt_mm.errors import UserError
from lbbt_mm.files.checkpoint_fit import is_below
from .layers.block_watch import can_be_watched
from .layers.language_block import LanguageBlock

#: What mmpretrain's, mmaction's and our own models call the list of their blocks.
_LISTS = ('layers', 'blocks')


class UnfitBackbone(UserError, ValueError):
    """What stands at a place of a backbone is no tokens, or of another width."""


def measured_blocks(model: nn.Module, pattern: Optional[str] = None) -> Dict[str, nn.Module]:
    """The blocks of a model that hooks and figures look into.

    Args:
        model: Any model.
        pattern: Which of all its blocks, by name, as a shell matches file names. Defaults to None: LanguageBlocks; but the
            backbone's of a model that has none besides a rectifier's, whose blocks other arms lack and which does not run in
            inference after auxiliary training.

    Returns:
        dict: Name -> block, in the model's order.

    Raises:
        ValueError: If there are none, or none of such a name.
    """
    language = {name: module for name, module in model.named_modules() if isinstance(module, LanguageBlock)}
    vision = _watchable_backbone_blocks(model)
    blocks = {name: module for name, module in model.named_modules() if name in language or name in vision}
    if not blocks:
        raise ValueError(f'{type(model).__name__} has no LanguageBlock, and no backbone of such blocks as mmpretrain\'s '
                         'VisionTransformer has; expected one of them. Give another model.')
    if pattern is None:
        return {name: block for name, block in language.items() if not is_below(name, ['rectifier'])} or vision or language
    found = {name: block for name, block in blocks.items() if fnmatchcase(name, pattern)}
    if not found:
        raise ValueError(f'{type(model).__name__} has {next(iter(blocks))} to {[*blocks][-1]}; expected blocks that are '
                         f'called {pattern}. Give another pattern.')
    return found


def _watchable_backbone_blocks(model: nn.Module) -> Dict[str, nn.Module]:
    """The blocks of a backbone of tokens, if it is known where they have their units."""
    try:
        blocks = token_blocks(model.backbone)
    except (AttributeError, ValueError):
        return {}
    names = {module: name for name, module in model.named_modules()}
    return {names[block]: block for block in blocks} if all(map(can_be_watched, blocks)) else {}


def token_blocks(backbone: nn.Module) -> nn.ModuleList:
    """The blocks of a backbone whose blocks map tokens ``(B, N, C)`` to tokens.

    Raises:
        UnfitBackbone: If it has none.
    """
    found = [getattr(backbone, name, None) for name in _LISTS]
    found = [blocks for blocks in found if isinstance(blocks, nn.ModuleList) and len(blocks)]
    if len(found) != 1 or not isinstance(getattr(backbone, 'embed_dims', None), int):
        raise UnfitBackbone(f'{type(backbone).__name__} is not a backbone of tokens with one width; expected one with '
                            f'embed_dims and a list of blocks called {" or ".join(_LISTS)}, such as VisionTransformer. '
                            'Choose another backbone.')
    return found[0]


def blocks_at(model: nn.Module, path: str) -> Tuple[str, nn.Module]:
    """The list of blocks at a dotted path, whatever the blocks are.

    Args:
        model: Any model.
        path: Of a ModuleList or Sequential, or of a module that has one called ``blocks`` or ``layers``.

    Returns:
        tuple[str, nn.Module]: The list's own path, and the list.

    Raises:
        ValueError: If there is none.
    """
    found, walked = model, 'the model'
    for step in path.split('.'):
        children = dict(found.named_children())
        if step not in children:
            raise ValueError(f'module={path!r}: {walked} ({type(found).__name__}) has no part {step!r}; it has '
                             f'{", ".join(children) or "none"}. Give the path of the ModuleList that holds the blocks.')
        found, walked = children[step], step if walked == 'the model' else f'{walked}.{step}'
    if isinstance(found, (nn.ModuleList, nn.Sequential)):
        return path, found
    inside = {name: child for name, child in found.named_children()
              if name in _LISTS and isinstance(child, (nn.ModuleList, nn.Sequential))}
    if len(inside) != 1:
        raise ValueError(f'module={path!r} is a {type(found).__name__} with the parts '
                         f'{", ".join(dict(found.named_children())) or "none"}; expected a ModuleList or Sequential, or '
                         "a module with one called 'blocks' or 'layers'. Give the path of that list.")
    name, blocks = inside.popitem()
    return f'{path}.{name}', blocks
