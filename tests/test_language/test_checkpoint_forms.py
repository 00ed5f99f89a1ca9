"""Checkpoints as people have them: read as transformers reads them, or refused with the true cause."""
import json
import shutil
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from lbbt_mm.language import CheckpointError, LanguageOptions, open_checkpoint
from tests.tiny_checkpoints import CONFIGS, build_model, write_gguf
from tests.vision_stack import VisionStack

NAME = 'model.layers.1.mlp.up_proj.weight'


@pytest.fixture
def llama(tmp_path):
    build_model('llama').save_pretrained(tmp_path / 'llama')
    return tmp_path / 'llama'


def edit_config(folder, **fields):
    path = folder / 'config.json'
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def rename(folder, rule):
    path = folder / 'model.safetensors'
    save_file({rule(name): tensor for name, tensor in load_file(path).items()}, path)


def is_the_model(location, model_type='llama', **options):
    """The blocks are those of the tiny model."""
    read = open_checkpoint(location).read_block(1)
    expected = build_model(model_type, **options).model.layers[1].state_dict()
    return read.keys() == {f'layers.1.{name}' for name in expected} and all(
        torch.equal(read[f'layers.1.{name}'], tensor) for name, tensor in expected.items())


# ------------------------------------------------------------------------------------------- which files
def test_a_whole_file_is_preferred_to_a_stale_index(llama):
    """As transformers does."""
    (llama / 'model.safetensors.index.json').write_text(json.dumps(dict(weight_map={NAME: 'model-00001.safetensors'})))
    assert is_the_model(llama)


def test_a_whole_pickle_is_preferred_to_a_stale_index(tmp_path):
    build_model('llama').save_pretrained(tmp_path, safe_serialization=False)
    (tmp_path / 'pytorch_model.bin.index.json').write_text(json.dumps(dict(weight_map={NAME: 'absent.bin'})))
    assert is_the_model(tmp_path)


@pytest.mark.parametrize('with_config', [True, False])
def test_a_folder_of_gguf_files_names_them(tmp_path, with_config):
    for name in ('tiny-Q8_0.gguf', 'tiny-F16.GGUF'):
        write_gguf(tmp_path / name, build_model('llama'))
    if with_config:
        (tmp_path / 'config.json').write_text(json.dumps(CONFIGS['llama']))
    with pytest.raises(CheckpointError, match=f'{tmp_path}/tiny-F16.GGUF'):
        open_checkpoint(tmp_path).read_block(0)


def test_an_upper_case_ending(tmp_path):
    assert is_the_model(write_gguf(tmp_path / 'TINY.GGUF', build_model('llama')))


@pytest.mark.parametrize('kind', ['folder', 'gguf'])
def test_a_path_object_is_a_checkpoint(kind, llama, tmp_path):
    path = llama if kind == 'folder' else write_gguf(tmp_path / 'tiny.gguf', build_model('llama'))
    VisionStack(dict(checkpoint=Path(path), config=CONFIGS['llama'])).init_weights()
    assert LanguageOptions.from_dict(dict(checkpoint=Path(path))).checkpoint == str(path)


@pytest.mark.parametrize('name', ['a' * 300, '/' + 'b' * 300, 'a/' * 3000, 'nul\0byte', 'c' * 300 + '.gguf'])
def test_a_name_that_no_file_can_have(name):
    with pytest.raises(CheckpointError):
        open_checkpoint(name)


# ----------------------------------------------------------------------------------------------- wrappers
@pytest.mark.parametrize('wrapper', ['_orig_mod.', 'module.', 'base_model.model.', 'module._orig_mod.'])
def test_what_wrappers_put_before_the_names(wrapper, llama):
    rename(llama, lambda name: wrapper + name)
    assert is_the_model(llama)


def test_a_compiled_model_within_its_head(llama):
    rename(llama, lambda name: name.replace('model.', 'model._orig_mod.', 1))
    assert is_the_model(llama)


@pytest.mark.parametrize('key', ['state_dict', 'model', 'module', 'model_state_dict'])
def test_a_state_dict_beside_other_things(key, tmp_path):
    model = build_model('llama')
    model.config.save_pretrained(tmp_path)
    torch.save({key: model.state_dict(), 'epoch': 3, 'args': ['x']}, tmp_path / 'pytorch_model.bin')
    assert is_the_model(tmp_path)


# ---------------------------------------------------------------------------------------------- adapters
@pytest.mark.parametrize('alone', [True, False])
def test_an_adapter_is_never_left_out_in_silence(llama, alone):
    (llama / 'adapter_config.json').write_text(json.dumps(dict(base_model_name_or_path='someone/base', peft_type='LORA')))
    if alone:
        (llama / 'config.json').unlink()
    with pytest.raises(CheckpointError, match="holds a PEFT adapter .* of 'someone/base'.*merge_and_unload"):
        open_checkpoint(llama)


def test_tensors_of_an_adapter_are_named(llama):
    rename(llama, lambda name: name.replace('q_proj.weight', 'q_proj.base_layer.weight'))
    with pytest.raises(CheckpointError, match='base_layer.weight.*PEFT adapter.*merge_and_unload'):
        open_checkpoint(llama).read_block(0)


# --------------------------------------------------------------------------------------------- quantised
@pytest.mark.parametrize('method', ['gptq', 'awq', 'bitsandbytes', 'fp8', 'compressed-tensors', 'mxfp4'])
@pytest.mark.parametrize('place', ['outside', 'inside'])
def test_quantised_checkpoints_are_named_before_their_tensors_are_looked_at(llama, method, place):
    quantised = dict(quantization_config=dict(quant_method=method))
    if place == 'outside':
        edit_config(llama, **quantised)
    else:
        edit_config(llama, model_type='llava', text_config={**CONFIGS['llama'], **quantised})
    with pytest.raises(CheckpointError, match=rf'is quantised|are quantised \({method} in config.json\).*GGUF file'):
        open_checkpoint(llama)


@pytest.mark.parametrize('ending, method', [('qweight', 'GPTQ or AWQ'), ('weight.absmax', 'bitsandbytes'),
                                            ('weight_scale_inv', 'FP8')])
def test_and_by_their_tensors_where_no_config_says_so(llama, ending, method):
    path = llama / 'model.safetensors'
    tensors = load_file(path)
    tensors[NAME.replace('weight', ending)] = torch.zeros(4)
    save_file(tensors, path)
    with pytest.raises(CheckpointError, match=rf'its weights are quantised \({method}'):
        open_checkpoint(llama).read_block(1)


# ------------------------------------------------------------------------------- vision-language models
@pytest.mark.parametrize('root', ['language_model.model.', 'model.language_model.', 'model.text_model.'])
def test_the_language_model_in_a_vision_language_model(llama, root):
    edit_config(llama, model_type='llava', text_config={**CONFIGS['llama']}, vision_config=dict(model_type='clip'))
    rename(llama, lambda name: name.replace('model.', root, 1))
    assert is_the_model(llama)


def test_a_vision_language_model_around_another_kind(llama):
    edit_config(llama, model_type='llava', text_config=dict(model_type='mamba'))
    with pytest.raises(CheckpointError, match="is a 'llava' model around a language model of model_type='mamba'; expected"):
        open_checkpoint(llama)


# -------------------------------------------------------------------------------------------------- GGUF
def split(folder, count=3):
    """A tiny Llama in parts, as llama-gguf-split writes it."""
    whole = write_gguf(folder / 'whole.gguf', build_model('llama'))
    reader = gguf.GGUFReader(whole)
    share = -(-len(reader.tensors) // count)
    for number in range(count):
        writer = gguf.GGUFWriter(folder / f'tiny-{number + 1:05}-of-{count:05}.gguf', 'llama')
        if number == 0:
            for key, field in reader.fields.items():
                if key.startswith('llama.'):
                    value = field.contents()
                    (writer.add_float32 if isinstance(value, float) else writer.add_uint32)(key, value)
        else:
            writer.kv_data[0].pop('general.architecture')
        writer.add_uint16('split.no', number)
        writer.add_uint16('split.count', count)
        writer.add_int32('split.tensors.count', len(reader.tensors))
        for tensor in reader.tensors[number * share:(number + 1) * share]:
            writer.add_tensor(tensor.name, np.array(tensor.data), raw_dtype=tensor.tensor_type)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    whole.unlink()
    return sorted(folder.glob('tiny-*.gguf'))


@pytest.mark.parametrize('given', [0, 1, 2])
def test_a_split_file_is_read_whole_whichever_part_is_given(tmp_path, given):
    parts = split(tmp_path)
    assert is_the_model(parts[given])
    files = open_checkpoint(parts[given])
    assert {file for index in range(4) for file in files.files_of_block(index)} == {part.name for part in parts}


def test_a_split_file_on_the_hub(local_hub, tmp_path):
    split(tmp_path)
    local_hub.add('someone/parts', tmp_path)
    assert is_the_model('someone/parts/tiny-00002-of-00003.gguf')


def test_an_absent_part_and_one_of_another_name(tmp_path):
    parts = split(tmp_path)
    other = parts[0].rename(tmp_path / 'first.gguf')
    with pytest.raises(CheckpointError, match='tiny-00001-of-00003.gguf is not there.*llama-gguf-split --merge'):
        open_checkpoint(parts[1])
    with pytest.raises(CheckpointError, match='is one of 3 parts; expected a name such as .*llama-gguf-split --merge'):
        open_checkpoint(other)


def test_a_part_of_another_file(tmp_path):
    parts = split(tmp_path)
    shutil.copy(parts[2], parts[1])
    with pytest.raises(CheckpointError, match='says that it is part 2, counted from 0; its name says 1'):
        open_checkpoint(parts[0])


@pytest.mark.parametrize('quantisation', ['F32', 'Q8_0'])
def test_a_big_endian_file_is_refused(tmp_path, quantisation):
    writer = gguf.GGUFWriter(tmp_path / 'big.gguf', 'llama', endianess=gguf.GGUFEndian.BIG)
    writer.add_block_count(1)
    writer.add_tensor('blk.0.attn_q.weight', np.zeros((32, 32), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(CheckpointError, match='big.gguf: .*it is big-endian.*gguf-convert-endian'):
        open_checkpoint(tmp_path / 'big.gguf')


# --------------------------------------------------------------------------------------------------- hub
def test_a_token_that_the_hub_does_not_accept_is_the_named_cause(monkeypatch):
    import huggingface_hub
    import requests
    from huggingface_hub.errors import HfHubHTTPError
    response = requests.Response()
    response.status_code = 401

    def refuse(*args, **kwargs):
        raise HfHubHTTPError('401 Client Error', response=response)

    monkeypatch.setattr(huggingface_hub, 'hf_hub_download', refuse)
    with pytest.raises(CheckpointError, match='someone/model: the hub does not accept your token.*hf auth login'):
        open_checkpoint('someone/model')


# --------------------------------------------------------------------------------------- fields of configs
@pytest.mark.parametrize('field, value', [
    ('num_hidden_layers', 10**9), ('num_hidden_layers', '4'), ('num_hidden_layers', -1), ('num_hidden_layers', True),
    ('hidden_size', 10**12), ('hidden_size', [32]), ('hidden_size', 32.5), ('intermediate_size', 'big'),
    ('intermediate_size', None), ('num_attention_heads', 0), ('num_key_value_heads', {}), ('head_dim', 'x'), ('head_dim', 7),
    ('rms_norm_eps', 'tiny'), ('rms_norm_eps', -1), ('rms_norm_eps', float('nan')), ('hidden_act', 3), ('hidden_act', None),
    ('rope_theta', 'x'), ('rope_theta', float('inf')), ('rope_scaling', [1]), ('attention_bias', {}),
    ('max_position_embeddings', 'long'), ('max_position_embeddings', 10**30), ('model_type', ['llama']),
    ('model_type', {'a': 1}), ('partial_rotary_factor', 0.5), ('attribute_map', 3)])
def test_a_field_of_the_wrong_kind_is_an_error_of_ours(llama, field, value):
    edit_config(llama, **{field: value})
    try:
        open_checkpoint(llama).read_block(0)
    except CheckpointError as error:
        assert str(llama) in str(error) and len(str(error)) < 1400
    else:
        assert field in ('attention_bias', 'attribute_map'), 'an empty dict is false, and what is no field is ignored'


@pytest.mark.parametrize('text', [
    '[' * 100_000, '{"model_type": "llama", "model_type": "gpt2"}', '{"a": 1}{', '', '[]', '\xff',
    '{"model_type": "llama", "num_hidden_layers": 1e999}'])
def test_a_config_that_is_no_json_object(llama, text):
    (llama / 'config.json').write_bytes(text.encode('latin-1'))
    with pytest.raises(CheckpointError, match=str(llama)):
        open_checkpoint(llama)


def test_a_packed_pickle_is_not_unpacked(tmp_path):
    import zipfile
    (tmp_path / 'config.json').write_text(json.dumps(CONFIGS['llama']))
    torch.save(dict(x=torch.zeros(4)), tmp_path / 'plain.bin')
    with zipfile.ZipFile(tmp_path / 'plain.bin') as source, zipfile.ZipFile(
            tmp_path / 'pytorch_model.bin', 'w', zipfile.ZIP_DEFLATED) as packed:
        for name in source.namelist():
            packed.writestr(name, source.read(name) + bytes(50_000_000 if name.endswith('data/0') else 0))
    with pytest.raises(CheckpointError, match='compressed entries'):
        open_checkpoint(tmp_path).read_block(0)
