"""GGUF files: what is read equals what transformers makes of them, and what cannot be read is named."""
import shutil
import sys
from pathlib import Path

import gguf
import pytest
import torch
from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

from lbbt_mm.language import FAMILIES, CheckpointError, gguf_header, open_checkpoint
from lbbt_mm.language.options import disagreements
from tests.tiny_checkpoints import NUM_BLOCKS, build_model, write_gguf


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


@pytest.mark.parametrize('model_type', FAMILIES)
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
