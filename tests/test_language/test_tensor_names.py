"""Names of tensors: what was put around a model is taken away, and what is no plain weight is named."""
import re

import pytest
import torch

from lbbt_mm.language import CheckpointError, open_checkpoint
from lbbt_mm.language.tensor_names import refuse_other_kinds
from tests.edited_checkpoints import edit_weights, is_the_model, rename_tensors
from tests.tiny_checkpoints import build_model

NAME = 'model.layers.1.mlp.up_proj.weight'


@pytest.mark.parametrize('wrapper', ['_orig_mod.', 'module.', 'base_model.model.', 'module._orig_mod.'])
def test_what_wrappers_put_before_the_names(wrapper, llama):
    rename_tensors(llama, lambda name: wrapper + name)
    assert is_the_model(llama)


@pytest.mark.parametrize('name', ['_orig_mod', 'module', '_fsdp_wrapped_module', '_checkpoint_wrapped_module'])
@pytest.mark.parametrize('place', [r'(layers\.\d+\.)', r'(self_attn\.|mlp\.)', '(model\\.|_proj\\.)'])
def test_what_wrappers_put_into_the_names(name, place, llama):
    rename_tensors(llama, lambda stored: re.sub(place, rf'\1{name}.', stored))
    assert is_the_model(llama)
    assert open_checkpoint(llama).files_of_block(0) == ['model.safetensors']


def test_several_wrappers_within_a_pickled_model_with_a_name_of_its_own(tmp_path):
    build_model('llama').save_pretrained(tmp_path, safe_serialization=False)
    tensors = torch.load(tmp_path / 'pytorch_model.bin', weights_only=True)
    torch.save({f'model.module.{name.replace("mlp.", "_checkpoint_wrapped_module._orig_mod.mlp.")}': tensor
                for name, tensor in tensors.items()}, tmp_path / 'pytorch_model.bin')
    assert is_the_model(tmp_path)


def test_two_tensors_that_would_have_one_name_are_refused(llama):
    edit_weights(llama, lambda tensors: tensors.update({f'module.{NAME}': torch.zeros(64, 32)}))
    with pytest.raises(CheckpointError, match=f"the tensors .*'{NAME}' .*are one without what a wrapper put into"):
        open_checkpoint(llama).read_block(0)


def test_a_compiled_model_within_its_head(llama):
    rename_tensors(llama, lambda name: name.replace('model.', 'model._orig_mod.', 1))
    assert is_the_model(llama)


def test_tensors_of_an_adapter_are_named(llama):
    rename_tensors(llama, lambda name: name.replace('q_proj.weight', 'q_proj.base_layer.weight'))
    with pytest.raises(CheckpointError, match='base_layer.weight.*PEFT adapter.*merge_and_unload'):
        open_checkpoint(llama).read_block(0)


#: Method -> endings of what stands in a weight's place; those after an exclamation mark stand beside it.
QUANTISED = {
    'GPTQ or AWQ': 'qweight qzeros scales g_idx', 'EXL2': 'q_weight q_scale q_invperm q_groups', 'EXL3': 'trellis suh svh',
    'HQQ': 'W_q', 'AQLM': 'codes codebooks scales', 'quanto': 'weight._data weight._scale input_scale',
    'torchao': 'weight_qdata weight_scale', 'bitsandbytes': '!weight.absmax !weight.quant_map',
    'FP8 or compressed-tensors': '!weight_scale_inv', 'MLX': '!scales !biases',
}


@pytest.mark.parametrize('method', QUANTISED)
def test_quantised_weights_are_named_by_their_method(method, llama):
    """Whatever the config leaves out."""

    def quantise(tensors):
        endings = QUANTISED[method].split()
        if not endings[0].startswith('!'):
            tensors.pop(NAME)
        else:
            tensors[NAME] = torch.zeros(64, 4, dtype=torch.int32)
        tensors.update({NAME.replace('weight', ending.strip('!')): torch.zeros(4) for ending in endings})

    edit_weights(llama, quantise)
    with pytest.raises(CheckpointError, match=rf'{llama}: its weights are quantised \({method}: it has .*GGUF file'):
        open_checkpoint(llama).read_block(1)


@pytest.mark.parametrize('name', ['blocks.0.attn.qkv.scale_weight', 'scaled_fp8'])
def test_scales_beside_numbers_of_8_bits_are_named(name):
    with pytest.raises(CheckpointError, match=rf"here: its weights are quantised \(FP8 or .*: it has '{name}'"):
        refuse_other_kinds(['blocks.0.attn.qkv.weight', name], 'here')


def test_biases_of_a_plain_model_are_no_sign_of_anything(folders):
    refuse_other_kinds(open_checkpoint(folders['qwen2'])._stored_names(), 'here')
