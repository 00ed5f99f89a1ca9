"""One stack of blocks, and one rule for its stochastic depth."""
import re

import pytest

from lbbt_mm.language import read_spec
from lbbt_mm.models.layers import block_stack
from tests.tiny_checkpoints import CONFIGS
from tests.tool_processes import REPO


@pytest.mark.parametrize('depth, rates', [(1, [0.]), (3, [0., 0.15, 0.3])])
def test_stochastic_depth_grows_to_the_last_block(depth, rates):
    blocks = block_stack(read_spec(CONFIGS['llama']).block, depth, 0.3, attn_drop=0.1)
    assert [getattr(block.drop_path, 'drop_prob', 0.) for block in blocks] == pytest.approx(rates)
    assert all(block.attn.attn_drop == 0.1 for block in blocks)


@pytest.mark.parametrize('call, home', [(r'(?<!class )\bLanguageBlock\(', 'block_stack.py'),
                                        (r'scaled_dot_product_attention\(', 'attention.py')])
def test_blocks_are_stacked_and_attention_is_computed_in_one_place(call, home):
    users = [path.name for path in (REPO / 'lbbt_mm').rglob('*.py') if re.search(call, path.read_text())]
    assert users == [home]
