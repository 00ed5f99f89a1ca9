"""Where the tools find what they set, and which overrides of a bridge go to its probes."""
import pytest
from mmengine.config import Config

from lbbt_mm.config_keys import find_bridge_init, has_key, shared_options
from lbbt_mm.models.initializers.bridge_init import BridgeInit
from tests.tool_processes import REPO


@pytest.mark.parametrize('kind', ('lbbt_mm.BridgeInit', 'BridgeInit', BridgeInit))
def test_the_initialiser_is_found_by_name_or_class_and_in_a_list(kind):
    init = dict(type=kind, checkpoint=None)
    assert find_bridge_init(dict(backbone=dict(init_cfg=init)), 'probe.py') == 'model.backbone.init_cfg'
    several = Config(dict(model=dict(backbone=dict(init_cfg=[dict(type='Normal'), init])))).model
    assert find_bridge_init(several, 'probe.py') == 'model.backbone.init_cfg.1'


def test_two_initialisers_are_one_too_many():
    init = dict(type=BridgeInit)
    with pytest.raises(ValueError, match='found model.a.init_cfg, model.b.init_cfg.0'):
        find_bridge_init(dict(a=dict(init_cfg=init), b=dict(init_cfg=[init])), 'probe.py')


def test_keys_lead_through_lists_too():
    cfg = Config(dict(a=[dict(b=None), 3], c=1))
    assert has_key(cfg, 'a.0.b') and has_key(cfg, 'a.1') and has_key(cfg, 'c')
    for key in ('a.2', 'a.b', 'a.0.c', 'a.1.b', 'c.d', 'd'):
        assert not has_key(cfg, key), key


def test_what_the_small_probe_takes_of_its_bridge():
    """The bridge's first transform makes the labels; the probe's is another one."""
    probe = Config.fromfile(REPO / 'configs' / 'small' / 'probe_gpt2_imagefolder.py')
    taken = ('model.backbone.new=1', 'model.head.num_classes=2', 'data_root=/x',
             'train_dataloader.dataset.dataset.data_root=/x')
    left = ('train_dataloader.dataset.dataset.pipeline.0.data_root=/x', 'val_dataloader.dataset.dataset.data_root=/x',
            'model.neck.none=1', 'train_cfg.max_epochs=1', 'default_hooks.logger.interval=1')
    assert shared_options([*left, *taken], probe) == list(taken)
