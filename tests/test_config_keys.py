"""Where the tools find what they set, and which overrides of a bridge go to its probes."""
import pytest
from mmengine.config import Config

from lbbt_mm.config_keys import (ABSENT, differing, find_bridge_init, find_types, get_key, has_key, parts_at, shared_options,
                                 walk)
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


def test_the_walk_goes_through_all_parts():
    cfg = Config(dict(a=dict(b=[dict(c=1), (2, )]), d=None))
    assert [key for key, _ in walk(cfg._cfg_dict)] == ['a', 'a.b', 'a.b.0', 'a.b.0.c', 'a.b.1', 'a.b.1.0', 'd']
    assert all(get_key(cfg, key, 'nothing') == part for key, part in walk(cfg._cfg_dict))


def test_parts_by_their_type_and_one_or_several_of_them():
    cfg = dict(type='Pipeline', steps=[dict(type='mmdet.Resize'), 'Resize', dict(inner=dict(type='Resize'))])
    assert [key for key, _ in find_types(cfg, 'Resize', key='x')] == ['x.steps.0', 'x.steps.2.inner']
    assert [key for key, _ in find_types(cfg, 'Pipeline', key='x')] == ['x']
    assert [key for key, _ in parts_at(cfg, 'steps')] == ['steps.0', 'steps.2']
    assert [key for key, _ in parts_at(cfg, 'steps.0')] == ['steps.0'] and not list(parts_at(cfg, 'none'))


def test_where_two_configs_differ():
    one, other = dict(a=[1, dict(b=2)], c=[1], d=None, e=5), dict(a=[1, dict(b=3)], c=[1, 2], e=5)
    assert list(differing(one, other)) == [('a.1.b', 2, 3), ('c', [1], [1, 2]), ('d', None, ABSENT)]
    seen_as = lambda key, *pair: (0, 0) if key == 'a.1' else [None if value is ABSENT else value for value in pair]  # noqa: E731
    assert list(differing(one, other, 'x', lambda key, *pair: seen_as(key[2:], *pair))) == [('x.c', [1], [1, 2])]
