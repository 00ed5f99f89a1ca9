"""The control arms: what a component starts from, so that "language helps" has something to be compared with.

A table, and light: a new arm is one entry here, and its test. Tensors are made in
:mod:`lbbt_mm.language.arm_tensors`.
"""
from typing import TYPE_CHECKING, Callable, Dict, NamedTuple, Optional

if TYPE_CHECKING:
    from torch import Generator, Tensor


class Arm(NamedTuple):
    """Where the start values of the blocks come from; without any of these, from the host model's own initialisation.

    Attributes:
        reads_weights: They are made from the checkpoint's weights.
        is_drawn: They are drawn from the language model's own kind of initialisation.
        asks_std: The standard deviation that they are drawn with has to be given (``language.init_std``); otherwise it is
            the language model's own.
        rewrite: What becomes of each tensor that was read, with a generator of its own; None for the tensor itself.
        has_blocks: Whether there are blocks at all; only a rectifier can do without.
        has_mappers: Whether there is what leads to the blocks and back.
        has_added_loss: Whether auxiliary training has an added loss; without one it is the host model's own training.
    """
    reads_weights: bool = False
    is_drawn: bool = False
    asks_std: bool = False
    rewrite: Optional[Callable[['Tensor', 'Generator'], 'Tensor']] = None
    has_blocks: bool = True
    has_mappers: bool = True
    has_added_loss: bool = True

    @property
    def leaves_host(self) -> bool:
        """Whether the host model's own initialisation stays."""
        return self.has_blocks and not (self.reads_weights or self.is_drawn)


def _shuffle(tensor: 'Tensor', generator: 'Generator') -> 'Tensor':
    import torch
    order = torch.randperm(tensor.numel(), generator=generator)
    return tensor.flatten()[order].view(tensor.shape)


def _match_moments(tensor: 'Tensor', generator: 'Generator') -> 'Tensor':
    import torch
    values = tensor.float()
    std, mean = torch.std_mean(values, correction=0)
    return torch.randn(values.shape, generator=generator) * std + mean


#: ``language`` copies the weights; ``host`` leaves the host model's own initialisation; ``random`` is the language
#: model's own random initialisation; ``shuffled`` permutes the entries of each tensor; ``moment_matched`` draws
#: a normal with each tensor's mean and standard deviation; ``random_tuned`` is ``random`` with a standard deviation that
#: somebody chose, the best of a sweep for example. Of a rectifier, ``mappers`` leaves the blocks out and keeps the layers
#: around them, ``none`` leaves out both, and ``plain`` the added loss of auxiliary training too: controls for added
#: capacity, for an added loss, and the unchanged host model.
ARMS: Dict[str, Arm] = {
    'language': Arm(reads_weights=True),
    'host': Arm(),
    'random': Arm(is_drawn=True),
    'shuffled': Arm(reads_weights=True, rewrite=_shuffle),
    'moment_matched': Arm(reads_weights=True, rewrite=_match_moments),
    'random_tuned': Arm(is_drawn=True, asks_std=True),
    'mappers': Arm(has_blocks=False),
    'none': Arm(has_blocks=False, has_mappers=False),
    'plain': Arm(has_blocks=False, has_mappers=False, has_added_loss=False),
}
#: What a ``language`` dict without ``arm`` has.
DEFAULT_ARM = 'language'
#: What layers beyond the chosen blocks start from, and parts that ``language.fresh`` names.
EXTRA_LAYERS_ARM = FRESH_ARM = 'random'
