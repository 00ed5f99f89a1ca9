"""The random state of a process: seeded as a whole, or lent and given back."""
import random
from contextlib import contextmanager
from typing import Iterator

import numpy as np
import torch


def seed_all(seed: int) -> None:
    """Seed Python's, numpy's and torch's generators."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


@contextmanager
def random_state_kept(accelerators: bool = True) -> Iterator[None]:
    """Give all generators back as they were.

    Args:
        accelerators: Whether to keep the current accelerator's generator too, if it is in use; reading it waits for the
            device. Defaults to True.
    """
    states = random.getstate(), np.random.get_state()
    devices = [torch.cuda.current_device()] if accelerators and torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices):
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])
