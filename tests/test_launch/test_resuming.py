"""What a resumed run takes from its checkpoint is refused before anything starts if it is not that of a run."""
import pytest
import torch
from mmengine.config import Config

from lbbt_mm.launch.resuming import check_resumed_config


def content(**changes):
    weights = dict(a=torch.ones(2), b=torch.ones(3))
    averages = {f'module.{name}': value for name, value in weights.items()}
    averages['steps'] = torch.tensor(3)
    found = dict(state_dict=weights, ema_state_dict={**averages, **changes}, meta={})
    return found


def resume(tmp_path, found, hooks=('EMAHook', )):
    torch.save(found, tmp_path / 'epoch_1.pth')
    cfg = Config(dict(custom_hooks=[dict(type=hook) for hook in hooks]))
    return check_resumed_config(cfg, str(tmp_path / 'epoch_1.pth'))


def test_averages_of_the_weights_fit(tmp_path):
    assert 'does not say which config' in resume(tmp_path, content())[0]


@pytest.mark.parametrize('found, message', [
    (dict(content(), ema_state_dict=None), 'does not fit its state_dict: there are none'),
    (content(**{'module.foo': torch.ones(1)}), r'module.foo is not there, or of another shape \(1 such'),
    (content(**{'module.a': torch.ones(7)}), 'module.a is not there, or of another shape'),
    (dict(content(), ema_state_dict={'module.a': torch.ones(2)}), 'module.b is not there')])
def test_averages_of_something_else(tmp_path, found, message):
    with pytest.raises(ValueError, match=message):
        resume(tmp_path, found)
    resume(tmp_path, found, hooks=())
