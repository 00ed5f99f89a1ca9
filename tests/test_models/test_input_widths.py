"""Input widths that a config leaves None."""
import pytest
from mmengine.config import ConfigDict
from torch import nn

from lbbt_mm.models.input_widths import with_input_width


def test_what_is_none_is_filled_in_and_the_caller_s_config_stays():
    config = ConfigDict(type='LinearClsHead', in_channels=None, num_classes=3)
    filled = with_input_width('head', config, 32)
    assert filled == dict(type='LinearClsHead', in_channels=32, num_classes=3) and type(filled) is ConfigDict
    assert config.in_channels is None


def test_each_of_several_feature_maps():
    assert with_input_width('neck', dict(in_channels=[None, 32, None]), 32) == dict(in_channels=[32, 32, 32])
    with pytest.raises(ValueError, match=r'neck.in_channels\[1\]=48 contradicts the backbone, which is 32 wide'):
        with_input_width('neck', dict(in_channels=(None, 48)), 32)


def test_under_whichever_name_the_component_has_for_it():
    config = dict(in_features=None, in_channels=None)
    assert with_input_width('neck', config, 32, ('in_features', )) == dict(in_features=32, in_channels=None)


@pytest.mark.parametrize('config', (None, nn.Identity(), dict(type='GlobalAveragePooling')))
def test_what_has_no_width_is_left_alone(config):
    assert with_input_width('neck', config, 32) is config or with_input_width('neck', config, 32) == config


def test_a_width_that_is_written():
    assert with_input_width('head', dict(in_channels=48), None) == dict(in_channels=48)
    assert with_input_width('neck', dict(in_channels=48), 32, strict=False) == dict(in_channels=48)
    message = 'head.in_channels=48 contradicts the backbone, which is 32 wide; expected 32. Set it to None'
    with pytest.raises(ValueError, match=message):
        with_input_width('head', dict(in_channels=48), 32)


def test_a_width_that_nobody_knows():
    with pytest.raises(ValueError, match='head.in_channels=None cannot be inferred: .* Write it'):
        with_input_width('head', dict(in_channels=None), None)
