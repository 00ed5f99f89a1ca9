"""Further files and configs that are damaged, hostile or odd, by the rule of each: what it costs, what it is called."""
import json
import os
import time
from pathlib import Path

import pytest
import torch

from lbbt_mm.language import CheckpointError, LanguageOptions, open_checkpoint, read_spec
from lbbt_mm.language.options import disagreements
from lbbt_mm.language.strict_json import parse_object
from tests.tiny_checkpoints import CONFIGS, build_model


def saved(folder: Path, family: str = 'llama', **fields) -> Path:
    build_model(family, **fields).save_pretrained(folder)
    return folder


def rewrite(folder: Path, **fields) -> None:
    config = json.loads((folder / 'config.json').read_text())
    (folder / 'config.json').write_text(json.dumps({**config, **fields}))


def opened(folder: Path):
    checkpoint = open_checkpoint(str(folder))
    checkpoint.read_block(1)
    return checkpoint


@pytest.mark.parametrize('written', [dict(sliding_window=None), dict(sliding_window=32)])
def test_another_sliding_window_is_another_function(written, tmp_path):
    found = open_checkpoint(str(saved(tmp_path / 'm', 'mistral', sliding_window=16))).spec
    said, = disagreements(read_spec({**CONFIGS['mistral'], **written}), found)
    assert 'sliding windows' in said and '16 in' in said
    assert not disagreements(read_spec({**CONFIGS['mistral'], 'sliding_window': 16}), found)


def test_a_rule_that_goes_by_length_is_not_the_plain_one(tmp_path):
    folder = saved(tmp_path / 'm', rope_scaling=dict(rope_type='dynamic', factor=2.))
    assert disagreements(read_spec(CONFIGS['llama']), open_checkpoint(str(folder)).spec)


@pytest.mark.parametrize('rule', [
    dict(rope_type='default', partial_rotary_factor=0.5), dict(factor=8.),
    dict(full_attention=dict(rope_type='linear', factor=8.), sliding_attention=dict(rope_type='default'))])
def test_rotary_fields_that_nobody_would_read(rule):
    with pytest.raises(CheckpointError):
        read_spec({**CONFIGS['llama'], 'rope_scaling': rule})


@pytest.mark.parametrize('fields', [
    dict(rope_theta=0), dict(rope_theta=1e-300), dict(rms_norm_eps=10**400), dict(rms_norm_eps=5.),
    dict(initializer_range=10**400)])
def test_numbers_that_would_give_nothing_finite(fields):
    with pytest.raises(CheckpointError):
        read_spec({**CONFIGS['llama'], **fields})


def test_sizes_of_other_parts_make_no_lists(tmp_path):
    folder = saved(tmp_path / 'm')
    rewrite(folder, num_labels=10**9)
    begun = time.process_time()
    opened(folder)
    assert time.process_time() - begun < 2


@pytest.mark.parametrize('depth', [100, 600, 900, 960])
@pytest.mark.parametrize('field', ['foo', 'rope_scaling', 'hidden_size'])
def test_json_that_is_nested(depth, field, tmp_path):
    folder = saved(tmp_path / 'm')
    text = (folder / 'config.json').read_text().rstrip()[:-1]
    (folder / 'config.json').write_text(f'{text}, "{field}": {"[" * depth}{"]" * depth}}}'.replace(f'"{field}": 0', ''))
    with pytest.raises(CheckpointError):
        opened(folder)


def test_many_keys_and_many_lists_take_no_time(tmp_path):
    many = json.dumps({f'k{index:06}': 0 for index in range(20_000)})[:-1] + ', "zz": 1, "zz": 2}'
    begun = time.process_time()
    with pytest.raises(ValueError, match="has the key 'zz' twice"):
        parse_object(many.encode())
    folder = saved(tmp_path / 'm')
    rewrite(folder, x=[[]] * 2_000_000)
    with pytest.raises(CheckpointError, match='more than the'):
        opened(folder)
    assert time.process_time() - begun < 2


def test_a_shard_that_is_a_link_to_itself(tmp_path):
    folder = saved(tmp_path / 'm')
    (folder / 'model.safetensors').unlink()
    os.symlink('a.safetensors', folder / 'a.safetensors')
    (folder / 'model.safetensors.index.json').write_text(json.dumps(dict(weight_map={'x': 'a.safetensors'})))
    with pytest.raises(CheckpointError, match='is a link that leads nowhere|names a shard outside'):
        opened(folder)


def test_a_link_to_a_snapshot_of_the_hub_s_cache(tmp_path):
    snapshot = tmp_path / 'models--a--b' / 'snapshots' / 'abc'
    build_model('llama').save_pretrained(snapshot, max_shard_size='20KB')
    blobs = tmp_path / 'models--a--b' / 'blobs'
    blobs.mkdir()
    for number, path in enumerate(sorted(snapshot.iterdir())):
        path.rename(blobs / str(number))
        path.symlink_to(blobs / str(number))
    os.symlink(snapshot, tmp_path / 'model')
    opened(tmp_path / 'model')
    opened(snapshot)


def bin_of(folder: Path, change) -> Path:
    model = build_model('llama')
    model.save_pretrained(folder)
    (folder / 'model.safetensors').unlink()
    torch.save(change(model.state_dict()), folder / 'pytorch_model.bin')
    return folder


@pytest.mark.parametrize('change', [
    lambda sd: dict(state_dict=sd, loss=torch.tensor(0.1)),
    lambda sd: dict(state_dict={f'model.{name}': value for name, value in sd.items()}),
    lambda sd: {f'_fsdp_wrapped_module.{name}': value for name, value in sd.items()}])
def test_what_training_scripts_put_around_the_weights(change, tmp_path):
    opened(bin_of(tmp_path / 'm', change))


@pytest.mark.parametrize('change', [
    lambda sd: {name: value.to('meta') for name, value in sd.items()},
    lambda sd: {name: value.double() * 1e300 for name, value in sd.items()}])
def test_tensors_without_numbers_or_with_too_large_ones(change, tmp_path):
    with pytest.raises(CheckpointError):
        opened(bin_of(tmp_path / 'm', change))


def test_options_take_the_window_of_the_checkpoint(tmp_path):
    folder = saved(tmp_path / 'm', 'mistral', sliding_window=16)
    assert LanguageOptions.from_dict(dict(checkpoint=str(folder), blocks='0:1')).block('blocks').window == 16
