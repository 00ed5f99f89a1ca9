"""What LLMBackbone refuses is one clear error, and what it accepts in another form is the same backbone."""
from copy import deepcopy
from types import SimpleNamespace

import pytest
import torch

from lbbt_mm.models.backbones import LLMBackbone
from lbbt_mm.models.backbones.backbone_checks import block_numbers, check_image, check_sizes, check_table
from tests.tiny_checkpoints import CONFIGS


def backbone_of(model_type='gpt2', **options):
    """A backbone of a tiny language model of 4 blocks for images of 16 pixels in patches of 4."""
    language = dict(config=deepcopy(CONFIGS[model_type]), arm='random')
    return LLMBackbone(language, **{**dict(img_size=16, patch_size=4), **options})


@pytest.mark.parametrize('options, message', (
    (dict(img_size=18), r'18x18 pixels does not divide into patches of 4x4'),
    (dict(img_size=0), r'img_size=0; expected a positive whole number of pixels'),
    (dict(patch_size=(4, 0)), r'patch_size=\(4, 0\); expected a positive whole number'),
    (dict(drop_path_rate=1.5), r'drop_path_rate=1.5; expected a number'),
    (dict(out_type='mean'), r"out_type='mean'; expected one of 'avg_featmap'"),
    (dict(attention='both'), r"attention='both'; expected one of"),
    (dict(position='sine'), r"position='sine'; expected one of"),
    (dict(final_norm='none'), r"final_norm='none'; expected one of"),
    (dict(out_type='cls_token', with_cls_token=False), r'needs a class token'),
    (dict(out_type='cls_token', attention='causal'), r'sees no patch under causal attention'),
    (dict(out_indices=4), r'out_indices=4, but there are 4 blocks'),
    (dict(out_indices=[]), r'out_indices is empty; expected at least one block'),
    (dict(frozen_stages=5), r'frozen_stages=5; expected -1 .* to 4'),
    (dict(img_size=40, position='language'), r'100 tokens, but the language model\'s table has 64 positions'),
))
def test_one_clear_error(options, message):
    with pytest.raises(ValueError, match=message):
        backbone_of(**options)


def test_a_table_is_refused_where_the_family_has_none():
    with pytest.raises(ValueError, match=r"no position table \(their positions are rotary\). Use position='rotary' or 'lea"):
        backbone_of('llama', position='language')
    spec = SimpleNamespace(model_type='llama', num_positions=0, block=SimpleNamespace(rotary=None))
    with pytest.raises(ValueError, match="no position table. Use position='learned'"):  # positions of another kind
        check_table(SimpleNamespace(spec=spec), 4)


def test_a_table_may_be_just_long_enough():
    assert backbone_of(img_size=32, position='language').pos_embed.shape == (1, 64, 32)


def test_an_image_that_does_not_divide_is_refused_in_the_forward_pass_too():
    with pytest.raises(ValueError, match='18x16 pixels does not divide'):
        backbone_of()(torch.randn(1, 3, 18, 16))


@pytest.mark.parametrize('side', (True, 16., '16', -1, (16, None)))
def test_what_is_no_whole_number_of_pixels(side):
    with pytest.raises(ValueError, match='img_size=.*; expected a positive whole number of pixels, or a pair of them'):
        check_sizes(side, 4)


def test_both_sides_have_to_divide():
    check_image((16, 24), (4, 8))
    with pytest.raises(ValueError, match='16x20 pixels does not divide into patches of 4x8. .*pad_size_divisor'):
        check_image((16, 20), (4, 8))


@pytest.mark.parametrize('asked, numbers', ((-1, (3, )), (0, (0, )), ([1, -1], (1, 3)), ((-4, 2), (0, 2))))
def test_blocks_are_counted_from_the_front(asked, numbers):
    assert block_numbers(asked, -1, 4) == numbers


def test_the_caller_s_list_of_blocks_is_not_changed():
    asked = [0, -1]
    block_numbers(asked, -1, 4)
    assert asked == [0, -1]
