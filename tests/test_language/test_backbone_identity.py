"""What a checkpoint says of its backbone."""
import io

import pytest
import torch

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
