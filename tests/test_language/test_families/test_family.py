"""Every family's own random initialisation."""
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from lbbt_mm.language import FAMILIES, block_tensors, read_spec
from tests.tiny_checkpoints import config_of, hf_blocks


@pytest.mark.parametrize('model_type', FAMILIES)
def test_random_tensors_have_the_statistics_of_transformers_own_init(model_type):
    sizes = dict(n_embd=128) if model_type == 'gpt2' else dict(hidden_size=128, intermediate_size=256)
    fields = config_of(model_type, **sizes)
    spec = read_spec(fields)
    config = AutoConfig.for_model(model_type, **{key: fields[key] for key in fields if key != 'model_type'})
    fresh = dict(hf_blocks(AutoModelForCausalLM.from_config(config))[1].named_parameters())
    prefix = FAMILIES[model_type].block_prefix.format(i=1)
    generator = torch.Generator().manual_seed(0)
    for name, shape in block_tensors(spec, 1).items():
        ours, theirs = FAMILIES[model_type].random_tensor(spec, name, shape, generator), fresh[name[len(prefix):]].detach()
        if theirs.ndim == 1:
            assert torch.equal(ours, theirs), name
        else:
            assert ours.std().item() == pytest.approx(theirs.std().item(), rel=0.05), name
            assert abs(ours.mean().item()) < 0.05 * theirs.std().item(), name
