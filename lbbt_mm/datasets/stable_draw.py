"""Random draws that depend on their arguments alone: equal on every machine, in every process, with every release."""
import json
from numbers import Real
from typing import Any, Union

import numpy as np

from lbbt_mm.random_state import derive_bytes


def stable_hash(*parts: Union[str, int]) -> int:
    """Hash parts with SHA-256, which unlike Python's ``hash`` is the same in every process.

    Returns:
        int: A number of 256 bits.
    """
    # JSON keeps parts apart (('a', 'b') is not ('ab', '')) and in ASCII; repr depends on Python's Unicode tables
    return int.from_bytes(derive_bytes(json.dumps(parts)), 'big')


def unit_interval(number: int) -> float:
    """Map a hash to [0, 1), with as many bits as a float holds."""
    return (number % 2**53) * 2.0**-53


def stable_generator(*parts: Union[str, int]) -> np.random.RandomState:
    """Make numpy's legacy generator, whose streams numpy promises never to change, from :func:`stable_hash`."""
    return np.random.RandomState(np.frombuffer(stable_hash(*parts).to_bytes(32, 'little'), dtype='<u4'))


def check_draw(owner: str, ratio: Any, seed: Any) -> None:
    """Check the arguments that all kinds of random labels have.

    Raises:
        ValueError: If ``ratio`` is not a number in [0, 1], or ``seed`` is not a whole number.
    """
    if isinstance(ratio, bool) or not isinstance(ratio, Real) or not 0 <= ratio <= 1:  # NaN fails the comparison
        raise ValueError(f'{owner}: ratio={ratio!r}; expected a number from 0 (all labels true) to 1 (all random).')
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise ValueError(f'{owner}: seed={seed!r}; expected a whole number.')


def single_label(owner: str, label: Any) -> int:
    """Read the label of a sample that has one.

    Raises:
        ValueError: If there are several labels, or it is no whole number.
    """
    if isinstance(label, np.ndarray) and label.ndim == 0:
        label = label.item()
    if isinstance(label, bool) or not isinstance(label, (int, np.integer)):
        raise ValueError(f'{owner}: gt_label={label!r}; expected one whole number per image. Multi-label data cannot have '
                         'random labels here; remove the random labels, or give every image one class.')
    return int(label)
