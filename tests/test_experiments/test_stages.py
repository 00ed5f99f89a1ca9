"""Which configs an experiment takes, and which overrides a probe gets."""
import pytest

from tests import fake_training
from tests.experiment_folder import request
from tests.fake_training import starts
from tests.tool_processes import REPO


@pytest.mark.parametrize('model, found', (
    ("dict(type='ResNet')", 'none'),
    ('dict(a=dict(language=dict(arm=1)), b=[dict(language=dict(arm=1))])', r'model.a.language, model.b.0.language')))
def test_a_config_without_one_language_dict_is_refused(compare, folder, model, found):
    (folder / 'bridge.py').write_text(f'model = {model}')
    status, output = compare()
    assert status == 2 and f'expected one `language` dict below `model`, found {found}.' in output
    assert not (folder / 'out').exists()


def test_it_is_found_wherever_it_is():
    from mmengine.config import Config

    from lbbt_mm.config_keys import find_language
    detr = Config.fromfile(REPO / 'configs' / 'detr_gpt2_coco.py')
    assert find_language(detr.model, 'detr.py') == 'model.language'
    assert find_language(dict(heads=[dict(), dict(language=dict())]), 'a.py') == 'model.heads.1.language'


def test_it_gets_the_options_that_its_config_has_a_place_for(compare, folder):
    (folder / 'probe.py').write_text(fake_training.PROBE + 'data = dict(pipeline=[dict(data_root=1), dict(type=1)])')
    given = ('model.backbone.depth=3', 'model.head.classes=3', 'data.pipeline.0.data_root=a',
             'data.pipeline.1.data_root=a', 'data.dataset.data_root=a')
    (folder / 'bridge.py').write_text(fake_training.CONFIG + 'data = dict(pipeline=[dict(), dict()])')
    assert compare('--probe', folder / 'probe.py', '--cfg-options', *given, seeds='0')[0] == 0
    config = request(folder, 'random-seed0-lr0.01/probes/probe')
    assert config['data'] == dict(pipeline=[dict(data_root='a'), dict(type=1)])
    assert config['model']['backbone']['depth'] == 3 and 'head' not in config['model']


@pytest.mark.parametrize('name', ('bridge', 'train', 'test'))
def test_a_name_with_which_metrics_of_the_run_itself_begin(compare, folder, name):
    (folder / 'more').mkdir()
    (folder / 'more' / f'{name}.py').write_text(fake_training.PROBE)
    status, output = compare('--probe', folder / 'more' / f'{name}.py')
    assert status == 2 and 'none can be called bridge, train, test, accuracy, coco. Rename it.' in output


def test_a_config_that_takes_no_bridge_is_refused(compare, folder):
    (folder / 'plain.py').write_text(fake_training.CONFIG)
    status, output = compare('--probe', folder / 'plain.py')
    assert status == 2 and "plain.py: expected one init_cfg=dict(type='lbbt_mm.BridgeInit', checkpoint=...)" in output
    assert not starts(folder)
