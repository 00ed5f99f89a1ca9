"""Fields of the wrong kind, size or name are refused when a config is read."""
import shutil
import time
from pathlib import Path

import pytest
from transformers import AutoConfig

from lbbt_mm.language import CheckpointError, open_checkpoint, read_spec
from tests.edited_checkpoints import edit_config, opened, saved
from tests.tiny_checkpoints import CONFIGS, config_of


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


@pytest.mark.parametrize('fields', [
    dict(rope_theta=0), dict(rope_theta=1e-300), dict(rms_norm_eps=10**400), dict(rms_norm_eps=5.),
    dict(initializer_range=10**400)])
def test_numbers_that_would_give_nothing_finite(fields):
    with pytest.raises(CheckpointError):
        read_spec({**CONFIGS['llama'], **fields})


def test_sizes_of_other_parts_make_no_lists(tmp_path):
    folder = saved(tmp_path / 'm')
    edit_config(folder, num_labels=10**9)
    begun = time.process_time()
    opened(folder)
    assert time.process_time() - begun < 2


@pytest.mark.parametrize('value', ['0.02', True, 0, -0.02, float('inf'), float('nan'), 1e9, 10.1])
def test_a_range_that_is_no_standard_deviation_is_refused(value):
    with pytest.raises(ValueError, match=rf'language.config: initializer_range={value!r}; expected a standard deviation'):
        read_spec(config_of('llama', initializer_range=value))


def test_key_value_heads_that_do_not_divide_the_heads_are_an_error():
    with pytest.raises(ValueError, match='4 query heads cannot share 3 key/value heads.*Correct num_key_value_heads'):
        read_spec(config_of('llama', num_key_value_heads=3))


@pytest.mark.parametrize('model_type, field', [('gpt2', 'activation_function'), ('llama', 'hidden_act'),
                                               ('qwen3', 'hidden_act'), ('opt', 'activation_function')])
@pytest.mark.parametrize('value', ['gelu_10', 'relu2', '', ['silu']])
def test_an_activation_that_no_block_has_is_refused_when_a_checkpoint_is_opened(model_type, field, value, folders, tmp_path):
    folder = Path(shutil.copytree(folders[model_type], tmp_path / 'model'))
    edit_config(folder, **{field: value})
    with pytest.raises(CheckpointError, match=f'{folder}: {field}=.* is not supported; expected one of gelu, gelu_new, '):
        open_checkpoint(folder)


@pytest.mark.parametrize('stop', [TimeoutError, MemoryError, KeyboardInterrupt])
def test_what_is_no_fault_of_the_fields_is_not_called_one(stop, monkeypatch):

    def raises(*args, **kwargs):
        raise stop

    monkeypatch.setattr(AutoConfig, 'for_model', raises)
    with pytest.raises(stop):
        read_spec(CONFIGS['llama'])
