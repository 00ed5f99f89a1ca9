"""Catches initialisation steps that overwrite copied weights before training begins; a checkpoint may."""
import logging
from functools import partial
from typing import Mapping

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from lbbt_mm.mmengine_internals import is_initialising
from .block_copy import loaded_names, named_weights


def say_loaded_start(what: str) -> None:
    """Say in the log that language blocks start from a checkpoint instead.

    Args:
        what: What loads it, as the beginning of the sentence.
    """
    print_log(f'{what}: the blocks start from it, and language.arm has no part in them.', logger='current',
              level=logging.WARNING)


class OverwriteGuard:
    """A one-time check at a module's first forward with gradients that named parameters still hold what was copied.

    A module cannot see its parent's later initialisation steps, so they can be caught only once training starts.
    A state dict that is loaded over some or all of them in between, into the module, a part of it or a parent, is a wanted
    change: these are no longer watched, and the log says so if an initialisation step loads it. An evaluation (without
    gradients) leaves the check pending.

    Args:
        parameters: The parameters to watch, by name within the module.
    """

    def __init__(self, parameters: Mapping[str, Tensor]) -> None:
        self._prints = {name: _fingerprint(tensor) for name, tensor in parameters.items()}
        self._dtypes = {name: tensor.dtype for name, tensor in parameters.items()}
        self._handles: list = []

    @classmethod
    def attach(cls, module: nn.Module, parameters: Mapping[str, Tensor]) -> 'OverwriteGuard':
        """Watch ``parameters`` until ``module``'s first training forward; replaces an earlier guard."""
        previous = getattr(module, '_overwrite_guard', None)
        if previous is not None:
            previous.cancel()
        guard = cls(parameters)
        # a state dict may be loaded into a part of the module: every part that holds a watched parameter listens
        parts = {name[:end] for name in parameters for end in range(len(name)) if end == 0 or name[end] == '.'}
        guard._handles = [
            module.get_submodule(part).register_load_state_dict_pre_hook(partial(guard._on_load, part)) for part in parts
        ]
        # mmseg's heads call their own forward past all hooks; their blocks are called as modules
        for part in parts:
            if not part or isinstance(module.get_submodule(part.rpartition('.')[0]), nn.ModuleList):
                hook = partial(guard._check, module)
                guard._handles.append(module.get_submodule(part).register_forward_pre_hook(hook))
        module._overwrite_guard = guard
        return guard

    def cancel(self) -> None:
        """Stop watching."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def __deepcopy__(self, memo: dict) -> 'OverwriteGuard':
        """A copy of the module (an EMA model, for one) is not watched: its guard has nothing to compare."""
        return OverwriteGuard({})

    def _on_load(self, part: str, module: nn.Module, state_dict: Mapping[str, Tensor], prefix: str, *args) -> None:
        above = part and f'{part}.'
        watched = [name[len(above):] for name in self._prints if name.startswith(above)]
        loaded = loaded_names(module, watched, state_dict, prefix)
        for name in loaded:
            del self._prints[above + name]
        step = 'a Pretrained step behind LanguageInit, of this module or one around it, loads'
        if not self._prints:
            self.cancel()
        if loaded and is_initialising(module):
            if self._prints:
                count = len(loaded) + len(self._prints)
                print_log(f'{step} {len(loaded)} of the {count} tensors that were copied, such as {above + loaded[0]!r}: '
                          'these start from its checkpoint.', logger='current', level=logging.WARNING)
            else:
                say_loaded_start(f'{step} a checkpoint')

    def _check(self, module: nn.Module, *args) -> None:
        # a frozen module stays in eval mode while the rest trains; evaluation runs without gradients
        if not module.training and not torch.is_grad_enabled() or torch.jit.is_tracing():
            return
        self.cancel()
        parameters = named_weights(module)
        changed = [
            name for name, print_ in self._prints.items()
            if name in parameters and parameters[name].dtype == self._dtypes[name]
            and _fingerprint(parameters[name]) != print_
        ]
        if changed:
            raise RuntimeError(
                f'{changed[0]!r} no longer holds the language weights that LanguageInit copied ({len(changed)} of '
                f'{len(self._prints)} tensors changed): a later initialisation step overwrote them. Remove that step '
                '(in the init_cfg or init_weights of a parent module), or load the weights after it.')


def _fingerprint(tensor: Tensor) -> int:
    """A sum of a tensor's bits, each times a number of its place: the same on every device, another if two are swapped."""
    integer = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[tensor.element_size()]
    bits = tensor.detach().contiguous().view(integer).flatten()
    # in pieces, which are copied to another dtype; whole numbers wrap round, so the order of the sum does not matter
    pieces = bits.split(1 << 20)
    places = 2 * torch.arange(min(len(bits), 1 << 20), device=bits.device) + 1
    sums = [(piece.to(torch.int64) * places[:len(piece)]).sum() * (2 * index + 1)
            for index, piece in enumerate(pieces)]
    return int(torch.stack(sums).sum())
