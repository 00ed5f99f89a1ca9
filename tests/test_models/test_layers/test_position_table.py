"""Resizing a position table."""
import pytest
import torch
import torch.nn.functional as F

from lbbt_mm.models.layers.position_table import resize_position_table
from tests.closeness import assert_close


def test_for_its_own_size_it_is_the_table_itself():
    table = torch.randn(1, 12, 5)
    assert resize_position_table(table, (3, 4), (3, 4)) is table


@pytest.mark.parametrize('mode', ['bicubic', 'bilinear', 'nearest'])
def test_every_channel_is_resized_as_an_image(mode):
    table = torch.randn(1, 12, 5)
    resized = resize_position_table(table, (3, 4), (6, 2), mode)
    options = {} if mode == 'nearest' else dict(align_corners=False)
    for channel in range(5):
        image = F.interpolate(table[0, :, channel].view(1, 1, 3, 4), size=(6, 2), mode=mode, **options)
        assert_close(resized[0, :, channel].view(6, 2), image[0, 0], terms=16)


def test_rows_stay_rows():
    """A ramp from left to right is one after resizing, with height and width in their places."""
    ramp = torch.arange(4.).repeat(2)[None, :, None]  # 2 x 4
    resized = resize_position_table(ramp, (2, 4), (3, 8), 'bilinear').view(3, 8)
    assert_close(resized, torch.tensor([0, .25, .75, 1.25, 1.75, 2.25, 2.75, 3]).expand(3, 8), terms=4)


@pytest.mark.parametrize('extra', [1, 2])
def test_extra_tokens_keep_theirs(extra):
    table = torch.randn(1, extra + 4, 3)
    resized = resize_position_table(table, (2, 2), (4, 4), num_extra_tokens=extra)
    assert resized.shape == (1, extra + 16, 3) and torch.equal(resized[:, :extra], table[:, :extra])
    assert torch.equal(resized[:, extra:], resize_position_table(table[:, extra:], (2, 2), (4, 4)))


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16, torch.float64])
def test_the_type_stays(dtype):
    assert resize_position_table(torch.randn(1, 4, 3, dtype=dtype), (2, 2), (3, 3)).dtype == dtype


def test_the_table_gets_gradients():
    table = torch.randn(1, 5, 3, requires_grad=True)
    resize_position_table(table, (2, 2), (4, 4), num_extra_tokens=1).sum().backward()
    assert_close(table.grad.sum(), torch.tensor(3. + 16 * 3), terms=16)
    assert (table.grad != 0).all()
