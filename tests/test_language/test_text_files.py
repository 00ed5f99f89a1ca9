"""A whole language model is found with its tokenizer, wherever it is, and refused where it would not be safe or whole."""
import json

import pytest
from transformers import AutoModelForCausalLM

from lbbt_mm.language import CheckpointError
from lbbt_mm.language.text_files import find_text_model
from tests.tiny_checkpoints import build_model, write_gguf
from tests.tiny_tokenizer import write_tokenizer


@pytest.fixture
def folder(tmp_path):
    build_model('llama').save_pretrained(tmp_path / 'model')
    return write_tokenizer(tmp_path / 'model')


def names(files):
    return [path.name for path in files.paths]


def test_a_folder(folder):
    files = find_text_model(str(folder))
    assert {'config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json'} <= set(names(files))
    assert files.folder == folder and files.gguf is None and all(path.is_file() for path in files.paths)


def test_shards(tmp_path):
    build_model('llama').save_pretrained(tmp_path, max_shard_size='40KB')
    found = names(find_text_model(str(write_tokenizer(tmp_path))))
    assert len([name for name in found if name.endswith('.safetensors')]) > 1
    next(tmp_path.glob('model-00002*')).unlink()
    with pytest.raises(CheckpointError, match="the index names the shard 'model-00002-of-.*', which is not there"):
        find_text_model(str(tmp_path))


@pytest.mark.parametrize('gguf', [False, True])
def test_on_the_hub_nothing_that_could_run_is_fetched(gguf, folder, local_hub, monkeypatch):
    for name in ('pytorch_model.bin', 'modeling_tiny.py', 'README.md', 'training_args.bin'):
        (folder / name).write_text('never')
    if gguf:
        monkeypatch.setattr('lbbt_mm.language.text_files.read_header', with_tokenizer)
        write_gguf(folder / 'tiny.gguf', build_model('llama'))
    local_hub.add('owner/tiny', folder)
    files = find_text_model('owner/tiny' + ('/tiny.gguf' if gguf else ''))
    expected = ['tiny.gguf'] if gguf else sorted(names(find_text_model(str(folder))))
    assert sorted(names(files)) == expected
    fetched = local_hub.downloads()
    assert set(fetched) >= set(expected) and not {'pytorch_model.bin', 'modeling_tiny.py', 'README.md'} & set(fetched)
    local_hub.stop()
    assert names(find_text_model(files.location)) == names(files), 'what is in the cache needs no hub'


def with_tokenizer(path):
    from lbbt_mm.language.gguf_header import read_header
    head = read_header(path)
    return head._replace(metadata={**head.metadata, 'tokenizer.ggml.model': 'gpt2'})


def test_without_a_tokenizer(folder, tmp_path):
    for path in folder.glob('tokenizer*'):
        path.unlink()
    with pytest.raises(CheckpointError, match=r'model: has no tokenizer \(none of tokenizer.json, .*Put the files'):
        find_text_model(str(folder))
    with pytest.raises(CheckpointError, match=r'has no tokenizer \(tokenizer.ggml.model\)'):
        find_text_model(str(write_gguf(tmp_path / 'tiny.gguf', build_model('llama'))))


def test_weights_that_would_be_unpickled(folder):
    model = AutoModelForCausalLM.from_pretrained(folder)
    (folder / 'model.safetensors').unlink()
    model.save_pretrained(folder, safe_serialization=False)
    assert (folder / 'pytorch_model.bin').is_file()
    with pytest.raises(CheckpointError, match='no model.safetensors and no .*; expected weights as safetensors'):
        find_text_model(str(folder))


@pytest.mark.parametrize('fields, message', [
    (dict(is_encoder_decoder=True), 'is an encoder with a decoder'),
    (dict(num_hidden_layers=10**9), 'num_hidden_layers'),
    (dict(quantization_config=dict(quant_method='gptq')), 'its weights are quantised')])
def test_models_that_are_not_read(folder, fields, message):
    config = json.loads((folder / 'config.json').read_text())
    (folder / 'config.json').write_text(json.dumps({**config, **fields}))
    with pytest.raises(CheckpointError, match=message):
        find_text_model(str(folder))


@pytest.mark.parametrize('name, message', [('', 'expected a hub id'), ('./absent', 'no such file or folder')])
def test_nothing_there(name, message):
    with pytest.raises(CheckpointError, match=message):
        find_text_model(name)
