"""config.json, and what beside it says that the weights are no plain ones."""
import json

import pytest

from lbbt_mm.language import CheckpointError, open_checkpoint
from tests.edited_checkpoints import edit_config, is_the_model, opened, rename_tensors, saved
from tests.tiny_checkpoints import CONFIGS


@pytest.mark.parametrize('alone', [True, False])
def test_an_adapter_is_never_left_out_in_silence(llama, alone):
    (llama / 'adapter_config.json').write_text(json.dumps(dict(base_model_name_or_path='someone/base', peft_type='LORA')))
    if alone:
        (llama / 'config.json').unlink()
    with pytest.raises(CheckpointError, match="holds a PEFT adapter .* of 'someone/base'.*merge_and_unload"):
        open_checkpoint(llama)


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


@pytest.mark.parametrize('root', ['language_model.model.', 'model.language_model.', 'model.text_model.'])
def test_the_language_model_in_a_vision_language_model(llama, root):
    edit_config(llama, model_type='llava', text_config={**CONFIGS['llama']}, vision_config=dict(model_type='clip'))
    rename_tensors(llama, lambda name: name.replace('model.', root, 1))
    assert is_the_model(llama)


def test_a_vision_language_model_around_another_kind(llama):
    edit_config(llama, model_type='llava', text_config=dict(model_type='mamba'))
    with pytest.raises(CheckpointError, match="is a 'llava' model around a language model of model_type='mamba'; expected"):
        open_checkpoint(llama)


@pytest.mark.parametrize('text', [
    '[' * 100_000, '{"model_type": "llama", "model_type": "gpt2"}', '{"a": 1}{', '', '[]', '\xff',
    '{"model_type": "llama", "num_hidden_layers": 1e999}'])
def test_a_config_that_is_no_json_object(llama, text):
    (llama / 'config.json').write_bytes(text.encode('latin-1'))
    with pytest.raises(CheckpointError, match=str(llama)):
        open_checkpoint(llama)


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


@pytest.mark.parametrize('model_type, message', [
    ('bert', "model_type='bert' is an encoder-only language model; expected a decoder-only one"),
    ('mamba', "model_type='mamba' is not supported; expected one of: gpt2, llama, mistral, qwen2, qwen3"),
])
def test_model_of_another_kind_is_refused_when_opened(gpt2, model_type, message):
    edit_config(gpt2, model_type=model_type)
    with pytest.raises(ValueError, match=f'{gpt2}: {message}'):
        open_checkpoint(gpt2)


@pytest.mark.parametrize('depth', [100, 600, 900, 960])
@pytest.mark.parametrize('field', ['foo', 'rope_scaling', 'hidden_size'])
def test_json_that_is_nested(depth, field, tmp_path):
    folder = saved(tmp_path / 'm')
    text = (folder / 'config.json').read_text().rstrip()[:-1]
    (folder / 'config.json').write_text(f'{text}, "{field}": {"[" * depth}{"]" * depth}}}'.replace(f'"{field}": 0', ''))
    with pytest.raises(CheckpointError):
        opened(folder)


def test_the_key_of_mlx(llama):
    edit_config(llama, quantization=dict(group_size=64, bits=4))
    with pytest.raises(CheckpointError, match=r'its weights are quantised \(quantization in config.json\); expected plain'):
        open_checkpoint(llama)
