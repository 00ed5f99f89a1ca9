"""Random draws that depend on their arguments alone: equal on every machine, in every process, with every release."""
import json
import math
from typing import Any, Union

import numpy as np

from lbbt_mm.argument_checks import check_count, check_number, is_whole
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
    check_number(f'{owner}: ratio', ratio, ', where 0 leaves all labels true and 1 makes all random', least=0, most=1)
    check_count(f'{owner}: seed', seed, least=-math.inf)


def single_label(owner: str, label: Any) -> int:
    """Read the label of a sample that has one.

    Raises:
        ValueError: If there are several labels, or it is no whole number.
    """
    if isinstance(label, np.ndarray) and label.ndim == 0:
        label = label.item()
    if not (is_whole(label) or isinstance(label, np.integer)):
        raise ValueError(f'{owner}: gt_label={label!r}; expected one whole number per image. Multi-label data cannot have '
                         'random labels here; remove the random labels, or give every image one class.')
    return int(label)
