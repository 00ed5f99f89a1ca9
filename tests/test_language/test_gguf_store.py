"""GGUF files: what is read equals what transformers makes of them, and what cannot be read is named."""
import shutil
import sys
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

from lbbt_mm.language import CheckpointError, gguf_header, open_checkpoint
from lbbt_mm.language.options import disagreements
from tests.edited_checkpoints import is_the_model
from tests.tiny_checkpoints import IN_GGUF, NUM_BLOCKS, build_model, write_gguf


@pytest.mark.parametrize('model_type', ['gpt2', 'llama', 'qwen2'])
@pytest.mark.parametrize('quantisation', ['F16', 'BF16', 'Q8_0', 'Q4_0'])
def test_quantised_gguf_is_what_transformers_makes_of_it(model_type, quantisation, tmp_path):
    model = build_model(model_type)
    path = write_gguf(tmp_path / 'tiny.gguf', model, quantisation)
    expected = load_gguf_checkpoint(path, return_tensors=True, model_to_load=model)['tensors']
    checkpoint = open_checkpoint(path)
    for index in range(NUM_BLOCKS):
        for name, tensor in checkpoint.read_block(index).items():
            root = 'transformer.' if model_type == 'gpt2' else 'model.'
            assert torch.equal(tensor, expected[root + name]), name


@pytest.mark.parametrize('model_type', IN_GGUF)
def test_gguf_metadata_say_what_config_json_says(model_type, folders, gguf_files):
    assert disagreements(open_checkpoint(folders[model_type]).spec, open_checkpoint(gguf_files[model_type]).spec) == []


@pytest.mark.parametrize('model_type', ['llama', 'qwen2', 'qwen3'])
def test_gguf_metadata_that_are_left_out_mean_what_llama_cpp_takes_them_for(model_type, tmp_path):
    model = build_model(model_type, num_key_value_heads=4, head_dim=8)
    block = open_checkpoint(write_gguf(tmp_path / 'terse.gguf', model, terse=True)).spec.block
    assert (block.num_kv_heads, block.head_dims, block.rotary.theta) == (4, 8, 10000.0)


def test_gguf_in_a_type_that_cannot_be_dequantised_names_tensor_and_type(tmp_path):
    path = write_gguf(tmp_path / 'tiny.gguf', build_model('llama', hidden_size=256, intermediate_size=256),
                      matrix_types={'blk.2.ffn_down.weight': 'Q8_K'})
    checkpoint = open_checkpoint(path)
    checkpoint.read_block(1)
    with pytest.raises(CheckpointError, match="tiny.gguf: 'layers.2.mlp.down_proj.weight' is quantised as Q8_K, which "
                                              'the gguf package cannot dequantise. Use a file quantised as F16'):
        checkpoint.read_block(2)


@pytest.mark.parametrize('share', [0.9, 0.3, 0.01, 0.])
def test_truncated_gguf_is_an_error(gguf_files, tmp_path, share):
    content = gguf_files['llama'].read_bytes()
    file = tmp_path / 'cut.gguf'
    file.write_bytes(content[:int(share * len(content))])
    with pytest.raises(CheckpointError, match='cut.gguf: not a complete GGUF file.*found [0-9,]+ bytes.*fetch it'):
        open_checkpoint(file).read_block(0)


def test_gguf_tensor_that_no_block_has_is_an_error(tmp_path):
    model = build_model('qwen2')  # a Llama has no biases
    model.config.model_type = 'llama'
    checkpoint = open_checkpoint(write_gguf(tmp_path / 'tiny.gguf', model))
    with pytest.raises(CheckpointError, match=r"tensor 'layers.0.blk.0.attn_k.bias' is left over \(3 in block 0\)"):
        checkpoint.read_block(0)


@pytest.mark.parametrize('architecture, message', [
    ('bert', "model_type='bert' is an encoder-only language model"),
    ('opt', 'is a GGUF file of the family opt; expected one that llama.cpp has.*Use the checkpoint in Hugging Face'),
    ('phi3', "model_type='phi3' is not supported; expected one of: gpt2"),
    ('llama', "its metadata lack 'num_attention_heads' of a llama model.*use another"),
])
def test_gguf_of_something_else_is_an_error(tmp_path, architecture, message):
    writer = gguf.GGUFWriter(tmp_path / 'other.gguf', architecture)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(ValueError, match=f'other.gguf: {message}'):
        open_checkpoint(tmp_path / 'other.gguf')


def test_gguf_head_is_parsed_once_however_often_it_is_opened(tmp_path, monkeypatch):
    path = write_gguf(tmp_path / 'tiny.gguf', build_model('llama'))
    parsed = []
    parse = gguf_header._Parser.parse
    monkeypatch.setattr(gguf_header._Parser, 'parse', lambda self: parsed.append(self.path) or parse(self))
    for _ in range(3):
        open_checkpoint(path).read_block(0)
    assert len(parsed) == 1
    write_gguf(path, build_model('llama', seed=1, num_hidden_layers=5))
    assert open_checkpoint(path).spec.num_blocks == 5, 'a file that was replaced is parsed again'


def test_missing_gguf_package_says_what_to_install(gguf_files, monkeypatch, tmp_path):
    file = Path(shutil.copy(gguf_files['llama'], tmp_path))
    monkeypatch.setitem(sys.modules, 'gguf', None)
    with pytest.raises(ImportError, match="llama.gguf: reading GGUF files needs the package 'gguf': pip install gguf"):
        open_checkpoint(file)


def test_reading_gguf_counts_the_quantised_bytes(tmp_path):
    model = build_model('llama')
    checkpoint = open_checkpoint(write_gguf(tmp_path / 'q.gguf', model, 'Q8_0'))
    block = checkpoint.read_block(1)
    matrices = sum(tensor.numel() for tensor in block.values() if tensor.ndim == 2)
    vectors = sum(tensor.numel() for tensor in block.values() if tensor.ndim == 1)
    assert checkpoint.bytes_read == matrices * 34 // 32 + vectors * 4  # 32 bytes and a 2-byte scale for 32 entries


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
