"""What a checkpoint says of its backbone."""
import copy
import io

import pytest
import torch
from mmengine.model import BaseModule
from mmengine.runner import load_checkpoint, save_checkpoint

from lbbt_mm.language.backbone_identity import IDENTITY_KEY, describe_backbone
from lbbt_mm.models.backbones import LLMBackbone


@pytest.fixture
def backbone(folders):
    language = dict(checkpoint=str(folders['gpt2']), blocks='1:3', arm='shuffled', seed=5)
    return LLMBackbone(language, img_size=16, patch_size=4, attention='causal')


def test_it_says_which_language_model_blocks_and_arm_and_how_they_are_used(backbone, folders):
    facts = describe_backbone(backbone)
    assert (facts['checkpoint'], facts['arm'], facts['seed']) == (str(folders['gpt2']), 'shuffled', 5)
    assert facts['blocks'] == [1, 2] and facts['attention'] == 'causal' and facts['patch_size'] == [4, 4]
    assert facts['config']['model_type'] == 'gpt2' and facts['position'] == 'learned'


def test_it_travels_with_the_weights_whichever_tool_saves_them(backbone):
    """Plain values: the checkpoint loads without running anything."""
    file = io.BytesIO()
    torch.save(torch.nn.Sequential(backbone).state_dict(), file)
    file.seek(0)
    loaded = torch.load(file, weights_only=True)
    assert loaded._metadata['0'][IDENTITY_KEY] == describe_backbone(backbone)


class Model(BaseModule):
    """A model with a backbone whose config says another arm."""

    def __init__(self, folder, backbone_step=None, step=None):
        super().__init__(init_cfg=step)
        self.backbone = LLMBackbone(dict(checkpoint=str(folder), blocks='1:3'), img_size=16, patch_size=4,
                                    attention='causal', init_cfg=backbone_step)

    @property
    def start(self):
        facts = describe_backbone(self.backbone)
        return facts['arm'], facts['seed']


@pytest.fixture
def checkpoint(backbone, tmp_path):
    model = torch.nn.ModuleDict(dict(backbone=backbone))
    save_checkpoint(dict(state_dict=model.state_dict(), meta={}), str(tmp_path / 'model.pth'))
    return str(tmp_path / 'model.pth')


def test_blocks_that_a_checkpoint_brings_started_as_it_says(folders, checkpoint):
    """Whoever loads it: a step of the model, or load_from, resuming and testing, which load as the last line does."""
    whole = Model(folders['gpt2'], step=dict(type='Pretrained', checkpoint=checkpoint))
    assert whole.start == ('language', 0), 'until it is initialised'
    whole.init_weights()
    assert whole.start == ('shuffled', 5) and copy.deepcopy(whole).start == ('shuffled', 5)
    model = Model(folders['gpt2'])
    load_checkpoint(model, checkpoint)
    assert model.start == ('shuffled', 5)


def test_blocks_of_a_checkpoint_that_does_not_say_it_have_an_unknown_start(folders, checkpoint, backbone):
    """mmengine drops what stands beside the weights where a step names a prefix."""
    part = Model(folders['gpt2'], dict(type='Pretrained', checkpoint=checkpoint, prefix='backbone.'))
    assert part.start == (None, None), 'no language weights are copied'
    part.init_weights()
    assert torch.equal(part.backbone.blocks[0].mlp.fc1.weight, backbone.blocks[0].mlp.fc1.weight)
    assert part.start == (None, None)
    again = Model(folders['gpt2'])
    again.load_state_dict(part.state_dict())
    assert again.start == (None, None)


def test_a_checkpoint_of_other_parts_leaves_the_config_s_arm(folders, backbone):
    model = Model(folders['gpt2'])
    model.backbone.load_state_dict({'pos_embed': backbone.pos_embed}, strict=False)
    assert model.start == ('language', 0)
