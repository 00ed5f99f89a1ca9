"""What a resumed run takes from its checkpoint is refused before anything starts if it is not that of a run."""
import pytest
import torch
from mmengine.config import Config

from lbbt_mm.launch.resuming import check_resumed_config
from tests.tiny_checkpoints import CONFIGS


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


class TestLanguageConfig:
    """A config that leaves the language model to a folder resumes with that of the run."""

    @staticmethod
    def resume(tmp_path, folder, there, allow=(), **facts):
        def config(folder, facts):
            return Config(dict(model=dict(backbone=dict(language=dict(checkpoint=str(folder), config=facts)))))

        facts = {**CONFIGS['gpt2'], **facts}
        torch.save(dict(state_dict={}, meta=dict(cfg=config(there, facts).pretty_text)), tmp_path / 'epoch_1.pth')
        cfg = config(folder, None)
        notes = check_resumed_config(cfg, str(tmp_path / 'epoch_1.pth'), allow)
        return cfg.model.backbone.language.config, facts, notes

    def test_what_has_become_of_its_folder_does_not_matter(self, tmp_path, folders):
        for folder in (folders['gpt2'], '/nowhere/gpt2'):
            found, facts, _ = self.resume(tmp_path, folder, folder, layer_norm_epsilon=0.1)
            assert found == facts

    def test_another_folder_of_that_name(self, tmp_path, folders):
        folder = folders['gpt2']
        found, facts, _ = self.resume(tmp_path, folder, f'/gone/{folder.name}')
        assert found == facts
        for fact, value in (('layer_norm_epsilon', 0.1), ('n_head', 2), ('activation_function', 'relu')):
            with pytest.raises(ValueError, match=rf'{folder} \(the checkpoint\) is not the language model of that run .*'
                                                 r'--allow-change model.backbone.language.config\.'):
                self.resume(tmp_path, folder, f'/gone/{folder.name}', **{fact: value})
            found, _, notes = self.resume(tmp_path, folder, f'/gone/{folder.name}', ['config'], **{fact: value})
            assert found is None and 'is not the language model of that run' in notes[0]
