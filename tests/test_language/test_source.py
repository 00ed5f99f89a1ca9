import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoModelForCausalLM

from lbbt_mm.language import FAMILIES, CheckpointError, open_checkpoint
from tests.tiny_checkpoints import CONFIGS


@pytest.fixture
def gpt2(folders, tmp_path):
    """A GPT-2 in one file that a test may damage."""
    return Path(shutil.copytree(folders['gpt2'], tmp_path / 'gpt2'))


@pytest.fixture
def llama(folders, tmp_path):
    """A Llama in one file that a test may damage."""
    return Path(shutil.copytree(folders['llama'], tmp_path / 'llama'))


def edit_weights(folder, edit):
    """Rewrite a checkpoint after ``edit`` changed its dict of tensors."""
    tensors = load_file(folder / 'model.safetensors')
    edit(tensors)
    save_file(tensors, folder / 'model.safetensors')


def edit_config(folder, **fields):
    config = json.loads((folder / 'config.json').read_text())
    (folder / 'config.json').write_text(json.dumps({**config, **fields}))


# ------------------------------------------------------------------------------------------------ folders
@pytest.mark.parametrize('model_type', FAMILIES)
def test_a_model_without_its_head_has_other_names_and_the_same_blocks(model_type, folders, tmp_path):
    AutoModel.from_pretrained(folders[model_type]).save_pretrained(tmp_path)
    with_head, without = open_checkpoint(folders[model_type]), open_checkpoint(tmp_path)
    expected, read = with_head.read_block(3), without.read_block(3)
    assert read.keys() == expected.keys()
    assert all(torch.equal(read[name], expected[name]) for name in expected)


def test_language_part_of_a_multimodal_checkpoint_is_found(llama):
    tensors = load_file(llama / 'model.safetensors')
    save_file({f'language_model.{name}': tensor for name, tensor in tensors.items()}, llama / 'model.safetensors')
    read = open_checkpoint(llama).read_block(0)
    assert torch.equal(read['layers.0.mlp.up_proj.weight'], tensors['model.layers.0.mlp.up_proj.weight'])


def test_causal_mask_buffers_of_old_checkpoints_are_not_left_over(gpt2):
    edit_weights(gpt2, lambda tensors: tensors.update({'transformer.h.0.attn.bias': torch.ones(1, 1, 4, 4),
                                                       'transformer.h.0.attn.masked_bias': torch.tensor(-1e4)}))
    assert len(open_checkpoint(gpt2).read_block(0)) == 12


def test_home_directory_is_expanded(gpt2, monkeypatch):
    monkeypatch.setenv('HOME', str(gpt2.parent))
    assert open_checkpoint('~/gpt2').spec.num_blocks == 4


def test_opening_reads_the_config_and_no_weights(gpt2):
    (gpt2 / 'model.safetensors').unlink()
    checkpoint = open_checkpoint(gpt2)
    assert checkpoint.spec.block.embed_dims == 32 and checkpoint.bytes_read == 0
    with pytest.raises(CheckpointError, match='has a config.json but no weights; expected model.safetensors, its shards'
                                              ' .*or pytorch_model.bin. Fetch the weights'):
        checkpoint.read_block(0)


def test_folder_without_config_is_an_error(gpt2):
    (gpt2 / 'config.json').unlink()
    with pytest.raises(CheckpointError, match=f'{gpt2}: has no config.json; expected a checkpoint in Hugging Face '
                                              "format. Add the model's config.json"):
        open_checkpoint(gpt2)


@pytest.mark.parametrize('text', ['{"model_type": ', '[]'])
def test_damaged_config_is_an_error(gpt2, text):
    (gpt2 / 'config.json').write_text(text)
    with pytest.raises(CheckpointError, match='config.json is not a JSON object .*Fetch it again'):
        open_checkpoint(gpt2)


@pytest.mark.parametrize('location', ['./absent', '/nowhere/at/all', '~/absent', 'a/b/c', '../a.gguf'])
def test_path_that_leads_nowhere_says_what_was_expected(location):
    with pytest.raises(CheckpointError, match=f'{location}: no such file or folder. Expected a folder with config.json '
                                              'and weights, a .gguf file, or a hub id such as openai-community/gpt2'):
        open_checkpoint(location)


def test_file_that_is_no_checkpoint_asks_for_its_folder(gpt2):
    with pytest.raises(CheckpointError, match='is a .safetensors file; expected a folder .*Give the folder'):
        open_checkpoint(gpt2 / 'model.safetensors')


@pytest.mark.parametrize('checkpoint', [None, '', 3])
def test_no_checkpoint_says_what_to_set(checkpoint):
    with pytest.raises(CheckpointError, match=f'language.checkpoint={checkpoint!r}: expected a hub id, a folder or a '
                                              'GGUF file. Set language.checkpoint'):
        open_checkpoint(checkpoint)


# --------------------------------------------------------------------------------------- strict reading
def test_missing_tensor_is_named(gpt2):
    edit_weights(gpt2, lambda tensors: tensors.pop('transformer.h.1.mlp.c_fc.bias'))
    checkpoint = open_checkpoint(gpt2)
    checkpoint.read_block(0)
    with pytest.raises(CheckpointError, match=f"{gpt2}: tensor 'transformer.h.1.mlp.c_fc.bias' is missing. A gpt2 "
                                              'block with this config has it; check that config.json belongs'):
        checkpoint.read_block(1)


def test_left_over_tensor_is_named(gpt2):
    edit_weights(gpt2, lambda tensors: tensors.update({'transformer.h.1.crossattention.c_attn.bias': torch.ones(4)}))
    with pytest.raises(CheckpointError, match="tensor 'transformer.h.1.crossattention.c_attn.bias' is left over "
                                              r'\(1 in block 1\): a gpt2 block with this config has no such part. '):
        open_checkpoint(gpt2).read_block(1)


def test_misshapen_tensor_shows_both_shapes(gpt2):
    edit_weights(gpt2, lambda tensors: tensors.update({'transformer.h.0.ln_2.weight': torch.ones(33)}))
    with pytest.raises(CheckpointError, match=r"tensor 'transformer.h.0.ln_2.weight' has shape \(33,\); the config "
                                              r'says \(32,\); check that config.json'):
        open_checkpoint(gpt2).read_block(0)


def test_config_of_another_size_is_noticed(llama):
    edit_config(llama, intermediate_size=96)
    with pytest.raises(CheckpointError, match=r'gate_proj.weight. has shape \(64, 32\); the config says \(96, 32\)'):
        open_checkpoint(llama).read_block(0)


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_tensor_that_is_not_finite_is_named(gpt2, value):
    edit_weights(gpt2, lambda tensors: tensors['transformer.h.2.attn.c_attn.weight'][3].fill_(value))
    checkpoint = open_checkpoint(gpt2)
    checkpoint.read_block(1)
    with pytest.raises(CheckpointError, match="tensor 'transformer.h.2.attn.c_attn.weight' holds NaN or infinity; "
                                              'expected finite numbers. .*use another revision or checkpoint'):
        checkpoint.read_block(2)


def test_integer_weights_are_refused(gpt2):
    edit_weights(gpt2, lambda tensors: tensors.update(
        {'transformer.h.0.attn.c_proj.weight': torch.ones(32, 32, dtype=torch.int8)}))
    with pytest.raises(CheckpointError, match='stored as torch.int8; expected a floating-point type of 16 bits or '
                                              'more. Use a checkpoint that is not quantised, or a GGUF file'):
        open_checkpoint(gpt2).read_block(0)


def test_weights_of_another_family_than_the_config_says(gpt2):
    (gpt2 / 'config.json').write_text(json.dumps(CONFIGS['llama']))
    with pytest.raises(CheckpointError, match='no tensor is named like a llama block '
                                              r"\('layers.0.input_layernorm.weight', .*\); found for example 'transformer"
                                              '.*of another family than the config'):
        open_checkpoint(gpt2).read_block(0)


@pytest.mark.parametrize('model_type, message', [
    ('bert', "model_type='bert' is an encoder-only language model; expected a decoder-only one"),
    ('mamba', "model_type='mamba' is not supported; expected one of: gpt2, llama, mistral, qwen2, qwen3"),
])
def test_model_of_another_kind_is_refused_when_opened(gpt2, model_type, message):
    edit_config(gpt2, model_type=model_type)
    with pytest.raises(ValueError, match=f'{gpt2}: {message}'):
        open_checkpoint(gpt2)


# ---------------------------------------------------------------------------------------------------- hub
HUB_ID = 'someone/tiny-gpt2'


def test_from_the_hub_only_the_shards_of_the_chosen_block_are_downloaded(local_hub, sharded_folders):
    folder = sharded_folders['gpt2']
    local_hub.add(HUB_ID, folder)
    checkpoint = open_checkpoint(HUB_ID)
    assert local_hub.downloads() == ['config.json']
    read = checkpoint.read_block(2)
    needed = open_checkpoint(folder).files_of_block(2)
    assert 0 < len(needed) < len(list(folder.glob('*.safetensors')))
    assert local_hub.downloads() == sorted(['config.json', 'model.safetensors.index.json', *needed])
    expected = open_checkpoint(folder).read_block(2)
    assert all(torch.equal(read[name], expected[name]) for name in expected)


def test_single_file_comes_from_the_hub(local_hub, folders):
    local_hub.add(HUB_ID, folders['llama'])
    assert len(open_checkpoint(HUB_ID).read_block(0)) == 9
    assert local_hub.downloads() == ['config.json', 'model.safetensors']


def test_gguf_file_comes_from_the_hub(local_hub, gguf_files):
    local_hub.add('someone/files', gguf_files['qwen3'].parent)
    assert open_checkpoint('someone/files/qwen3.gguf').spec.block.qk_norm
    assert local_hub.downloads() == ['qwen3.gguf']


def test_revision_reaches_the_hub(local_hub, folders, sharded_folders):
    local_hub.add(HUB_ID, folders['gpt2'])
    local_hub.add(HUB_ID, sharded_folders['gpt2'], revision='v2')
    open_checkpoint(HUB_ID, revision='v2').read_block(0)
    assert {revision for _, _, revision, _ in local_hub.requests} == {'v2', local_hub.commit(HUB_ID, 'v2')}
    assert 'model.safetensors.index.json' in local_hub.downloads()


def test_all_files_come_from_the_commit_that_the_config_came_from(local_hub, sharded_folders):
    local_hub.add(HUB_ID, sharded_folders['gpt2'])
    open_checkpoint(HUB_ID).read_block(0)
    revisions = [revision for _, _, revision, _ in local_hub.requests]
    assert revisions[0] == 'main' and set(revisions[2:]) == {local_hub.commit(HUB_ID, 'main')}


@pytest.mark.parametrize('form', ['single', 'sharded'])
def test_second_opening_works_without_a_network(local_hub, folders, sharded_folders, form):
    local_hub.add(HUB_ID, (folders if form == 'single' else sharded_folders)['gpt2'])
    expected = open_checkpoint(HUB_ID).read_block(1)
    local_hub.stop()
    read = open_checkpoint(HUB_ID).read_block(1)
    assert all(torch.equal(read[name], expected[name]) for name in expected)


def test_second_opening_asks_the_hub_for_its_commit_and_nothing_else(local_hub, folders):
    local_hub.add(HUB_ID, folders['gpt2'])
    open_checkpoint(HUB_ID).read_block(1)
    local_hub.requests.clear()
    open_checkpoint(HUB_ID).read_block(1)
    assert local_hub.requests == [('HEAD', HUB_ID, 'main', 'config.json')]


def test_without_a_network_what_another_program_cached_is_enough(local_hub, folders):
    from huggingface_hub import hf_hub_download
    local_hub.add(HUB_ID, folders['gpt2'])
    for file in ('config.json', 'model.safetensors'):  # as transformers does: it asks for no index
        hf_hub_download(HUB_ID, file)
    local_hub.stop()
    assert len(open_checkpoint(HUB_ID).read_block(0)) == 12


def test_shard_that_is_not_in_the_cache_needs_the_network(local_hub, sharded_folders):
    local_hub.add(HUB_ID, sharded_folders['gpt2'])
    open_checkpoint(HUB_ID).read_block(0)
    local_hub.stop()
    with pytest.raises(CheckpointError, match=r'\(model-0000.-of-0000..safetensors is missing\), and the hub cannot be '
                                              'reached'):
        open_checkpoint(HUB_ID).read_block(3)


def test_no_network_is_one_clear_error(local_hub):
    local_hub.stop()
    with pytest.raises(CheckpointError, match='someone/tiny-gpt2: neither a local path nor in the cache '
                                              r'\(config.json is missing\), and the hub cannot be reached \(.+\). '
                                              'Check the name and the network, or give language.checkpoint a '
                                              'folder') as raised:
        open_checkpoint(HUB_ID)
    assert raised.value.__cause__ is None, 'one error, not the chain of all that the http library tried'


def test_unknown_hub_id_is_one_clear_error(local_hub):
    with pytest.raises(CheckpointError, match='someone/absent: the hub has no such model, and no such file or folder '
                                              'is here .*Correct language.checkpoint; if .* log in'):
        open_checkpoint('someone/absent')


def test_name_that_cannot_be_a_hub_id_is_one_clear_error(local_hub):
    with pytest.raises(CheckpointError, match='my gpt2!: the hub has no such model.*Correct language.checkpoint'):
        open_checkpoint('my gpt2!')


def test_unknown_revision_is_one_clear_error(local_hub, folders):
    local_hub.add(HUB_ID, folders['gpt2'])
    with pytest.raises(CheckpointError, match="at revision 'v9': the hub has the model but not this revision. Correct "
                                              'language.revision'):
        open_checkpoint(HUB_ID, revision='v9')


def test_hub_model_without_config_is_one_clear_error(local_hub, tmp_path):
    local_hub.add(HUB_ID, tmp_path)
    with pytest.raises(CheckpointError, match=f'{HUB_ID}: has no config.json'):
        open_checkpoint(HUB_ID)


def test_shard_that_the_hub_lacks_is_named(local_hub, sharded_folders, tmp_path):
    folder = Path(shutil.copytree(sharded_folders['gpt2'], tmp_path / 'gpt2'))
    absent = open_checkpoint(folder).files_of_block(2)[0]
    (folder / absent).unlink()
    local_hub.add(HUB_ID, folder)
    with pytest.raises(CheckpointError, match=f'{HUB_ID}/{absent}: the index names the shard .* which is not there'):
        open_checkpoint(HUB_ID).read_block(2)


def test_gguf_file_that_the_hub_lacks_is_named(local_hub, gguf_files):
    local_hub.add('someone/files', gguf_files['qwen3'].parent)
    with pytest.raises(CheckpointError, match='someone/files/absent.gguf: the hub has the model but not this file'):
        open_checkpoint('someone/files/absent.gguf')


# ------------------------------------------------------------------------------------------- real weights
def test_pretrained_gpt2_is_read_as_transformers_reads_it(gpt2_mini):
    model = AutoModelForCausalLM.from_pretrained(gpt2_mini, torch_dtype=torch.bfloat16)
    checkpoint = open_checkpoint(gpt2_mini)
    for index in (0, 11):
        expected = dict(model.transformer.h[index].named_parameters())
        for name, tensor in checkpoint.read_block(index).items():
            assert torch.equal(tensor, expected[name.removeprefix(f'h.{index}.')])


def test_smollm2_from_gguf_is_what_transformers_dequantises(smollm2, smollm2_head):
    checkpoint = open_checkpoint(smollm2)
    expected = smollm2_head.state_dict()
    for index in (0, 1):
        for name, tensor in checkpoint.read_block(index).items():
            assert torch.equal(tensor, expected['model.' + name]), name
    assert checkpoint.spec.num_blocks == 30 and checkpoint.spec.block.num_kv_heads == 3
    assert checkpoint.bytes_read < 0.05 * smollm2.stat().st_size
