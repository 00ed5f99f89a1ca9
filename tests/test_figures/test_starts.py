"""What a training took from a checkpoint is a part of its start, without what it left out."""
import pytest
import torch
from mmengine.config import Config
from torch import nn

from lbbt_mm.figures.starts import load_start, start_files
from lbbt_mm.files.checkpoint_fit import LEFT_OUT_KEY, CheckpointMisfit


class Net(nn.Module):

    def __init__(self, value=0., classes=2):
        super().__init__()
        self.backbone, self.head = nn.Linear(2, 2), nn.Linear(2, classes)
        for parameter in self.parameters():
            nn.init.constant_(parameter, value)


def values(model):
    return {name: parameter.flatten()[0].item() for name, parameter in model.named_children()
            for parameter in [parameter.weight]}


@pytest.fixture
def files(tmp_path):
    """The checkpoint that a training began from (all 1), and one that it wrote, with what it says it left out."""

    def write(left_out=None, prefix='', **source):
        state = {f'{prefix}{name}': tensor for name, tensor in Net(1., **source).state_dict().items()}
        torch.save(dict(state_dict=state), tmp_path / 'from.pth')
        torch.save(dict(state_dict=Net(2.).state_dict(), meta={LEFT_OUT_KEY: left_out} if left_out else {}),
                   tmp_path / 'end.pth')
        return dict(load_from=str(tmp_path / 'from.pth'))

    return write


def start(cfg, folder):
    model = Net()
    load_start(model, Config(cfg), folder, folder / 'end.pth', 'run')
    return values(model)


def test_all_of_the_checkpoint_is_taken(files, tmp_path):
    assert start(files(), tmp_path) == dict(backbone=1, head=1)
    assert start(files(prefix='module.'), tmp_path) == dict(backbone=1, head=1)
    assert start({}, tmp_path) == dict(backbone=0, head=0), 'without load_from there is nothing to take'


@pytest.mark.parametrize('cfg', [
    dict(leave_out=['head']), dict(leave_out='head'),
    dict(custom_hooks=[dict(type='lbbt_mm.CheckpointFitHook', leave_out=['head'])])])
def test_what_the_config_leaves_out_is_not(files, tmp_path, cfg):
    assert start({**files(classes=3), **cfg}, tmp_path) == dict(backbone=1, head=0)


def test_what_the_training_s_own_checkpoints_say_was_left_out_is_not(files, tmp_path):
    assert start(files(left_out=['head']), tmp_path) == dict(backbone=1, head=0)


def test_a_checkpoint_of_another_model_is_refused(files, tmp_path):
    with pytest.raises(CheckpointMisfit, match=r"run: its training began from load_from=\S+from.pth, which does not fit: "
                       r"head.weight has shape \(3, 2\) there .*leave_out=\['PART'\]"):
        start(files(classes=3), tmp_path)


def test_a_resumed_run_began_as_the_last_start_before_it(files, tmp_path):
    resumed = dict(resume=True, load_from='not_there.pth')
    with pytest.raises(ValueError, match='run: its config resumes another run .* so its start is not known'):
        start({**files(), **resumed}, tmp_path)
    for attempt, cfg in (('1', dict(load_from=None)), ('2', files()), ('3', resumed)):
        (tmp_path / attempt / 'vis_data').mkdir(parents=True)
        Config(cfg).dump(tmp_path / attempt / 'vis_data' / 'config.py')
    assert start(resumed, tmp_path) == dict(backbone=1, head=1)


def test_the_files_that_a_start_is_read_from(tmp_path):
    names = ['from.pth', 'bridge.pth', 'vit.pth', 'lm/a.safetensors', 'lm/config.json', 'big-00001-of-00002.gguf',
             'big-00002-of-00002.gguf', 'other-00001-of-00002.gguf']
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    init = [dict(type='lbbt_mm.BridgeInit', checkpoint=f'{tmp_path}/bridge.pth'),
            dict(type='Pretrained', checkpoint='absent')]
    cfg = dict(load_from=f'{tmp_path}/from.pth', model=dict(
        pretrained=f'{tmp_path}/vit.pth', backbone=dict(init_cfg=init, language=dict(checkpoint=f'{tmp_path}/lm')),
        neck=dict(language=dict(checkpoint=f'{tmp_path}/big-00002-of-00002.gguf')),
        head=dict(language=dict(checkpoint='owner/name'), init_cfg=dict(type='Pretrained', checkpoint='https://host/a.pth'))))
    found = start_files(Config(cfg), tmp_path, 'run')
    assert {str(file.relative_to(tmp_path)) for file in found} == {*names[:-1]}
    cfg.update(resume=True)
    found = start_files(Config(cfg), tmp_path, 'run')
    assert 'from.pth' not in {file.name for file in found}, 'a resumed run did not begin from it'
