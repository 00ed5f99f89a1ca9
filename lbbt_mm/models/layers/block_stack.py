"""A stack of blocks, the same in backbone, detector and head."""
from typing import Any

import numpy as np
from mmengine.model import ModuleList

from lbbt_mm.argument_checks import check_rate
from lbbt_mm.language.spec import BlockSpec
from .language_block import LanguageBlock


def block_stack(spec: BlockSpec, depth: int, drop_path_rate: float = 0., **options: Any) -> ModuleList:
    """A list of LanguageBlocks whose stochastic depth grows linearly, as in mmpretrain's vision transformers.

    Args:
        spec: The blocks' spec.
        depth: Their number.
        drop_path_rate: Stochastic-depth rate of the last one; the first one's is 0.
        **options: Of :class:`LanguageBlock`.

    Raises:
        ValueError: If the rate is none.
    """
    check_rate('drop_path_rate', drop_path_rate)
    rates = np.linspace(0, drop_path_rate, depth).tolist()  # not torch's: that fails on the meta device
    return ModuleList(LanguageBlock(spec, drop_path_rate=rate, **options) for rate in rates)
