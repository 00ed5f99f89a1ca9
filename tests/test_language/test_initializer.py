"""LanguageInit copies what was asked for."""
import shutil

import pytest
import torch
from mmengine.model import BaseModule
from safetensors.torch import load_file, save_file
from torch import nn

from lbbt_mm.language import CheckpointError, open_checkpoint, read_arm_block, read_spec
from lbbt_mm.language.initializer import LanguageInit, copy_block
from lbbt_mm.models.layers import LanguageBlock
from lbbt_mm.registry import WEIGHT_INITIALIZERS
from tests.tiny_checkpoints import CONFIGS, build_model, copied_block
from tests.vision_stack import VisionStack, initialised, language_of


def states_equal(one, other):
    one, other = one.state_dict(), other.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize('model_type', CONFIGS)
def test_every_chosen_block_is_copied_in_the_order_asked_for(model_type, folders):
    stack = initialised(language_of(folders[model_type], blocks=[3, '0:2']))
    checkpoint = open_checkpoint(folders[model_type])
    for layer, index in zip(stack.blocks, (3, 0, 1)):
        assert states_equal(layer, copied_block(checkpoint, index))


def test_copied_tensors_equal_the_checkpoint_entry_by_entry(folders):
    stack = initialised(language_of(folders['qwen2'], blocks='1:2'))
    source = open_checkpoint(folders['qwen2']).read_block(1)
    block = stack.blocks[0]

    def tensor(name):
        return source[f'layers.1.{name}']

    assert torch.equal(block.attn.qkv.weight, torch.cat([tensor(f'self_attn.{x}_proj.weight') for x in 'qkv']))
    assert torch.equal(block.attn.qkv.bias, torch.cat([tensor(f'self_attn.{x}_proj.bias') for x in 'qkv']))
    assert torch.equal(block.attn.proj.weight, tensor('self_attn.o_proj.weight'))
    assert torch.equal(block.mlp.fc1.weight, torch.cat([tensor('mlp.gate_proj.weight'), tensor('mlp.up_proj.weight')]))
    assert torch.equal(block.mlp.fc2.weight, tensor('mlp.down_proj.weight'))
    assert torch.equal(block.norm1.weight, tensor('input_layernorm.weight'))
    assert torch.equal(block.norm2.weight, tensor('post_attention_layernorm.weight'))


@pytest.mark.parametrize('model_type', ['gpt2', 'qwen3'])
def test_cross_attention_starts_as_the_self_attention_of_the_same_block(model_type, folders):
    block = initialised(language_of(folders[model_type], blocks=2), cross_attention=True).blocks[0]
    assert states_equal(block.cross_attn, block.attn)
    assert states_equal(block.cross_norm, block.norm1)
    assert not states_equal(block.norm2, block.norm1)
    assert block.cross_attn.qkv.weight is not block.attn.qkv.weight


@pytest.mark.parametrize('arm', ['language', 'random', 'shuffled', 'moment_matched'])
def test_layers_that_copy_the_same_block_start_equal(arm, folders):
    stack = initialised(language_of(folders['llama'], blocks=[1, 2, 1], arm=arm))
    assert states_equal(stack.blocks[0], stack.blocks[2])
    assert not states_equal(stack.blocks[0], stack.blocks[1])


@pytest.mark.parametrize('arm', ['random', 'shuffled', 'moment_matched'])
def test_an_arm_fills_the_layers_with_what_it_draws(arm, folders):
    stack = initialised(language_of(folders['gpt2'], blocks='1:3', arm=arm, seed=5))
    checkpoint = open_checkpoint(folders['gpt2'])
    for layer, index in zip(stack.blocks, (1, 2)):
        expected = LanguageBlock(checkpoint.spec.block)
        copy_block(expected, checkpoint.spec, index, read_arm_block(arm, checkpoint.spec, checkpoint, index, 5))
        assert states_equal(layer, expected)


def test_several_targets_read_blocks_of_their_own():

    class TwoStacks(BaseModule):
        """An encoder and a decoder."""

        def __init__(self):
            super().__init__(dict(
                type='lbbt_mm.LanguageInit',
                language=dict(config=CONFIGS['gpt2'], encoder_blocks='0:2', decoder_blocks='1:3', arm='random'),
                targets={'encoder.layers': 'encoder_blocks', 'decoder.layers': 'decoder_blocks'}))
            spec = read_spec(CONFIGS['gpt2']).block
            self.encoder, self.decoder = nn.Module(), nn.Module()
            self.encoder.layers = nn.ModuleList(LanguageBlock(spec) for _ in range(2))
            self.decoder.layers = nn.ModuleList(LanguageBlock(spec, cross_attention=True) for _ in range(2))

    model = TwoStacks()
    model.init_weights()
    assert torch.equal(model.encoder.layers[1].mlp.fc1.weight, model.decoder.layers[0].mlp.fc1.weight)
    assert not torch.equal(model.encoder.layers[0].mlp.fc1.weight, model.decoder.layers[0].mlp.fc1.weight)


@pytest.mark.parametrize('arm', ['random', 'host'])
def test_arms_without_weights_open_no_checkpoint(arm):
    stack = initialised(dict(checkpoint='/nowhere/at/all', config=CONFIGS['llama'], arm=arm))
    assert all(torch.isfinite(parameter).all() for parameter in stack.parameters())


def test_host_leaves_every_parameter_as_the_host_made_it(folders, log):
    stack = VisionStack(language_of(folders['gpt2'], arm='host'))
    before = {name: tensor.clone() for name, tensor in stack.state_dict().items()}
    stack.init_weights()
    assert all(torch.equal(before[name], tensor) for name, tensor in stack.state_dict().items())
    assert any("arm='host', the blocks keep the host model's own initialisation" in message for message in log)


def test_it_is_found_by_name_in_any_scope(folders):
    built = WEIGHT_INITIALIZERS.build(dict(type='lbbt_mm.LanguageInit', language=language_of(folders['gpt2'])))
    assert isinstance(built, LanguageInit) and built.targets == {'blocks': 'blocks'}


@pytest.mark.parametrize('source', ['config', 'gguf'])
@pytest.mark.parametrize('asks', [dict(arm='random'), dict(arm='language', extra_layers='random')])
def test_a_random_start_of_unknown_scale_is_refused(source, asks, gguf_files):
    config = {key: value for key, value in CONFIGS['llama'].items() if key != 'initializer_range'}
    language = dict(checkpoint=str(gguf_files['llama']), config=config if source == 'config' else None, blocks='0:2', **asks)
    stack = VisionStack(language, num_layers=3 if 'extra_layers' in asks else None)
    with pytest.raises(ValueError, match='does not state initializer_range, the standard deviation that a random start is '
                                         'drawn with .* Set language.init_std, to the value in the model'):
        stack.init_weights()


def test_init_std_gives_the_scale_that_a_gguf_file_does_not_state(gguf_files, folders):
    stack = initialised(dict(checkpoint=str(gguf_files['llama']), arm='random', init_std=0.02, seed=3))
    assert states_equal(stack, initialised(language_of(folders['llama'], arm='random', seed=3)))


def test_random_tuned_is_random_at_another_scale(folders):
    own, tuned = (initialised(language_of(folders['gpt2'], **options)) for options in (
        dict(arm='random'), dict(arm='random_tuned', init_std=0.04)))
    for name, tensor in own.blocks[1].state_dict().items():
        expected = 2 * tensor if tensor.ndim == 2 else tensor
        torch.testing.assert_close(tuned.blocks[1].state_dict()[name], expected, rtol=1e-6, atol=0)


def test_extra_layers_differ_from_each_other(folders):
    stack = initialised(language_of(folders['gpt2'], blocks='0:2', extra_layers='random'), num_layers=4)
    assert not states_equal(stack.blocks[2], stack.blocks[3])
    assert stack.blocks[3].mlp.fc1.weight.std().item() == pytest.approx(0.02, rel=0.1)


def test_extra_layers_keep_the_models_own_scale_whatever_init_std_says(folders):
    stack = initialised(language_of(folders['llama'], blocks='0:2', extra_layers='random', init_std=0.5), num_layers=3)
    assert stack.blocks[2].mlp.fc1.weight.std().item() == pytest.approx(0.02, rel=0.1)


@pytest.mark.parametrize('model_type, field, value', [
    ('llama', 'initializer_range', 1 / 24), ('gpt2', 'initializer_range', 0.01),
    ('llama', 'max_position_embeddings', 128), ('qwen2', 'max_position_embeddings', 32)])
@pytest.mark.parametrize('arm', ['language', 'random'])
def test_what_decides_an_arm_is_compared_with_the_checkpoint(arm, model_type, field, value, folders, tmp_path):
    folder = folders[model_type]
    written = CONFIGS[model_type]
    if field == 'max_position_embeddings':  # yarn takes its wavelengths from it
        yarn = dict(rope_type='yarn', factor=4.0, original_max_position_embeddings=16)
        build_model(model_type, rope_scaling=yarn).save_pretrained(tmp_path)
        folder, written = tmp_path, {**written, 'rope_scaling': yarn}
    initialised(language_of(folder, config=written, arm=arm))
    with pytest.raises(CheckpointError, match='language.config and the checkpoint disagree: '):
        initialised(language_of(folder, config={**written, field: value}, arm=arm))


def test_config_and_checkpoint_that_disagree_are_named_field_by_field(folders):
    language = language_of(folders['llama'], config={**CONFIGS['llama'], 'num_hidden_layers': 6, 'rope_theta': 5e5})
    with pytest.raises(CheckpointError, match=f"{folders['llama']}: language.config and the checkpoint disagree: "
                                              'num_blocks 6 in the config, 4 in the checkpoint; rotary .*Correct '
                                              'one of them, or set language.config=None'):
        initialised(language)


def test_more_layers_than_blocks_fail_before_anything_is_copied(folders):
    stack = VisionStack(language_of(folders['gpt2'], blocks='0:2'), num_layers=3)
    with pytest.raises(ValueError, match=r"num_layers=3, but language.blocks='0:2' gives 2 blocks"):
        stack.init_weights()


def test_no_checkpoint_is_asked_for_when_the_weights_are_needed():
    with pytest.raises(CheckpointError, match='language.checkpoint=None: expected a hub id, a folder or a GGUF file'):
        initialised(dict(config=CONFIGS['gpt2']))


@pytest.mark.parametrize('damage, message', [
    (lambda tensors: tensors['transformer.h.0.ln_1.weight'].fill_(float('nan')), 'NaN'),
    (lambda tensors: tensors.pop('transformer.h.0.ln_1.weight'), "'transformer.h.0.ln_1.weight' is missing"),
])
def test_damaged_checkpoint_stops_initialisation(damage, message, folders, tmp_path):
    folder = shutil.copytree(folders['gpt2'], tmp_path / 'gpt2')
    tensors = load_file(folder / 'model.safetensors')
    damage(tensors)
    save_file(tensors, folder / 'model.safetensors')
    with pytest.raises(CheckpointError, match=message):
        initialised(language_of(folder))
