"""What frozen means, for whoever freezes: no gradient, and evaluation mode whoever calls ``train()``."""
from types import MethodType
from typing import Callable, List, NamedTuple, Set

from mmengine.model import BaseDataPreprocessor
from torch import nn


class Frozen(NamedTuple):
    """What a call of :func:`freeze` has frozen.

    Attributes:
        model: The model.
        parameters: Those that were trainable and are not now.
        modules: Those that are held in evaluation mode.
    """
    model: nn.Module
    parameters: List[nn.Parameter]
    modules: List[nn.Module]

    def undo(self) -> None:
        """Make everything trainable that was, and put the model into train mode."""
        for parameter in self.parameters:
            parameter.requires_grad_(True)
        for module in self.modules:
            del module.train
        self.model.train()


def freeze(model: nn.Module, trains: Callable[[str], bool]) -> Frozen:
    """Freeze all of a model but what is named: parameters give up their gradients, modules stay in evaluation mode.

    A parameter that two modules share trains if either does; what was frozen before stays so. A module all of whose
    parameters are frozen is held in evaluation mode: no dropout or drop path in it, and its running statistics keep still.
    A module without parameters (a dropout between two parts) is held too, unless it is named, or directly in a module
    that holds a trainable parameter of its own. A module with frozen and trainable parts is not held; its frozen parts
    are. Data preprocessors are never held. Freeze before DDP wraps the model, which waits for the gradients of what is
    trainable by then.

    Args:
        model: The model.
        trains: Whether the parameter or module of a dotted name is to train; asked for each name of a shared one.

    Returns:
        Frozen: What was frozen, to be undone.
    """
    kept = {id(parameter) for name, parameter in model.named_parameters(remove_duplicate=False) if trains(name)}
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad and id(parameter) not in kept]
    for parameter in parameters:
        parameter.requires_grad_(False)
        parameter.grad = None
    running = _running_modules(model, trains)
    # whoever froze a module first, in a model's constructor, holds it for good
    modules = [module for module in model.modules() if module not in running and 'train' not in vars(module)]
    for module in modules:
        # on the instance, bound to it: deepcopy binds the copy's to the copy
        module.train = MethodType(train, module)
        module.train()
    return Frozen(model, parameters, modules)


def train(self: nn.Module, mode: bool = True) -> nn.Module:
    """Stay in eval mode; takes the place of a frozen module's method of this name, by which pickle looks it up."""
    return type(self).train(self, False)


def _running_modules(model: nn.Module, trains: Callable[[str], bool]) -> Set[nn.Module]:
    """The modules that are not frozen."""
    running: Set[nn.Module] = set()
    for name, module in model.named_modules(remove_duplicate=False):
        if trains(name) or any(parameter.requires_grad for parameter in module.parameters()):
            running.add(module)
        if any(parameter.requires_grad for parameter in module.parameters(recurse=False)):
            running.update(part for child in module.children() if not any(True for _ in child.parameters())
                           for part in child.modules())
        if isinstance(module, BaseDataPreprocessor):  # prepares data, and is no part of the network
            running.update(module.modules())
    return running
