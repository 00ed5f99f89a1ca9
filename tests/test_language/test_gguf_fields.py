"""Metadata of GGUF files: read, or refused where a block cannot have them."""
import gguf
import pytest

from lbbt_mm.language import CheckpointError, open_checkpoint, read_spec
from lbbt_mm.language.options import disagreements
from tests.tiny_checkpoints import CONFIGS, build_model, write_gguf


def metadata_file(path, model_type='llama', **metadata):
    """A tiny model whose GGUF has these metadata beside its own."""
    model, add = build_model(model_type), gguf.GGUFWriter.add_vocab_size

    def add_more(writer, size):
        add(writer, size)
        for key, value in metadata.items():
            name = f'{writer.arch}.{key}'
            {bool: writer.add_bool, int: writer.add_uint32, float: writer.add_float32, str: writer.add_string,
             list: writer.add_array}[type(value)](name, value)

    gguf.GGUFWriter.add_vocab_size = add_more
    try:
        return write_gguf(path, model)
    finally:
        gguf.GGUFWriter.add_vocab_size = add


@pytest.mark.parametrize('metadata', [
    {'rope.scaling.type': 'longrope', 'rope.scaling.factor': 2.}, {'rope.scaling.type': 'linear', 'rope.scaling.factor': 0.},
    {'rope.scaling.type': 'linear', 'rope.scaling.factor': 2., 'rope.scaling.attn_factor': 1.5},
    {'rope.scaling.yarn_ext_factor': 0.5}, {'rope.dimension_count': 4}, {'attention.value_length': 4},
    {'attention.scale': 0.5}, {'attention.causal': False}, {'expert_count': 8}, {'attention.max_alibi_bias': 8.},
    {'rope.dimension_sections': [1, 1, 2, 0]}, {'residual_scale': 0.2}])
def test_metadata_that_ask_for_another_function_are_refused(metadata, tmp_path):
    file = metadata_file(tmp_path / 'tiny.gguf', **metadata)
    with pytest.raises(CheckpointError, match=f'tiny.gguf: its metadata say .*({list(metadata)[-1]}|{list(metadata)[0]})'):
        open_checkpoint(file)


@pytest.mark.parametrize('metadata', [
    {'rope.scaling.type': 'none'}, {'rope.dimension_count': 8}, {'attention.value_length': 8}, {'expert_count': 0},
    {'rope.scaling.finetuned': True}, {'use_parallel_residual': False}])
def test_metadata_that_say_the_usual_are_read(metadata, tmp_path):
    assert open_checkpoint(metadata_file(tmp_path / 'tiny.gguf', **metadata)).read_block(0)


def test_the_old_name_of_a_linear_rule(tmp_path):
    rotary = open_checkpoint(metadata_file(tmp_path / 'tiny.gguf', **{'rope.scale_linear': 4.})).spec.block.rotary
    assert (rotary.rope_type, rotary.parameters['factor']) == ('linear', 4.)


@pytest.mark.parametrize('model_type', ['llama', 'mistral', 'qwen2', 'qwen3'])
def test_a_window_is_read_into_the_blocks(model_type, tmp_path):
    checkpoint = open_checkpoint(metadata_file(tmp_path / 'tiny.gguf', model_type, **{'attention.sliding_window': 16}))
    assert checkpoint.spec.chosen_block([1, 2]).window == 16 and checkpoint.read_block(1)
    config = {**CONFIGS[model_type], 'sliding_window': 16, 'use_sliding_window': True, 'max_window_layers': 0}
    if model_type != 'llama':  # whose config has no window
        assert disagreements(read_spec(config), checkpoint.spec) == []
    said, = disagreements(read_spec({**config, 'sliding_window': None}), checkpoint.spec)
    assert said == 'sliding windows {} in the config, {0: 16, 1: 16, 2: 16, 3: 16} in the checkpoint'


@pytest.mark.parametrize('window, windows', [(0, {}), (2**31, 'sliding_window=2147483648; expected a whole number')])
def test_a_window_that_is_none_or_no_number(window, windows, tmp_path):
    path = metadata_file(tmp_path / 'tiny.gguf', **{'attention.sliding_window': window})
    if isinstance(windows, dict):
        assert open_checkpoint(path).spec.windows == windows
    else:
        with pytest.raises(CheckpointError, match=windows):
            open_checkpoint(path)
