"""Randomness: seeds that are functions of what they are for, and a process's random state, seeded or lent and given back."""
import hashlib
import random
from contextlib import contextmanager
from typing import Iterator

import numpy as np
import torch


def derive_bytes(text: str) -> bytes:
    """Random bytes that are a function of a text alone, in every process, on every machine, under every release.

    All draws that do not follow from a generator's state get their seeds here: random labels, tensors of arms, steps and
    samples of a training.

    Args:
        text: What the draw is for, with the seed of the experiment in it.

    Returns:
        bytes: 32 of them (SHA-256).
    """
    return hashlib.sha256(text.encode()).digest()


def derive_seed(text: str, bits: int) -> int:
    """A seed that is a function of a text alone, of :func:`derive_bytes`.

    Args:
        text: As there.
        bits: Of the seed: 32, as numpy takes it, or 63, as torch does.
    """
    size = -(-bits // 8)
    return int.from_bytes(derive_bytes(text)[:size], 'little') >> 8 * size - bits


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


@contextmanager
def random_state_of(seed: int) -> Iterator[None]:
    """Draw what a seed gives inside a ``with`` block, and give all generators back as they were.

    As cheap as a step of a small model: torch's own way to seed all devices writes down the stack each time, and keeps it.

    Args:
        seed: The seed.
    """
    with random_state_kept():
        random.seed(seed)
        np.random.seed(seed)
        torch.default_generator.manual_seed(seed)
        if torch.cuda.is_initialized():
            torch.cuda.manual_seed(seed)
        yield
