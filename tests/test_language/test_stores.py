"""Stores: each format gives the tensors that were saved, reads those that are asked for, and refuses damaged files."""
import json
import os
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from lbbt_mm.language import FAMILIES, CheckpointError, open_checkpoint
from tests.edited_checkpoints import is_the_model, opened, saved
from tests.time_limit import time_limit
from tests.tiny_checkpoints import CONFIGS, IN_GGUF, build_model, hf_blocks


@pytest.fixture
def in_format(folders, sharded_folders, gguf_files, tmp_path):
    """Gives a family's checkpoint in one format."""

    def locate(model_type, form):
        given = {'safetensors': folders, 'sharded safetensors': sharded_folders, 'gguf': gguf_files}.get(form)
        if given:
            return given[model_type]
        size = '60KB' if 'sharded' in form else '5GB'
        build_model(model_type).save_pretrained(tmp_path, safe_serialization=False, max_shard_size=size)
        assert len(list(tmp_path.glob('*.bin'))) > 1 if 'sharded' in form else True
        return tmp_path

    return locate


def shards_of(folder, start, index_file='model.safetensors.index.json'):
    """Names of the shards that hold the tensors whose names start like this."""
    weight_map = json.loads((folder / index_file).read_text())['weight_map']
    return sorted({file for name, file in weight_map.items() if name.startswith(start)})


@pytest.fixture
def sharded_gpt2(sharded_folders, tmp_path):
    """A sharded GPT-2 that a test may damage."""
    return Path(shutil.copytree(sharded_folders['gpt2'], tmp_path / 'gpt2'))


@pytest.mark.parametrize('model_type, form', [
    (model_type, form) for model_type in FAMILIES
    for form in ('safetensors', 'sharded safetensors', 'bin', 'sharded bin', *(['gguf'] if model_type in IN_GGUF else []))])
def test_every_format_gives_the_blocks_that_were_saved(model_type, form, in_format):
    checkpoint = open_checkpoint(in_format(model_type, form))
    for index, block in enumerate(hf_blocks(build_model(model_type))):
        prefix = FAMILIES[model_type].block_prefix.format(i=index)
        read = checkpoint.read_block(index)
        saved = {prefix + name: parameter for name, parameter in block.named_parameters()}
        assert read.keys() == saved.keys()
        for name, tensor in read.items():
            assert torch.equal(tensor, saved[name]), name


def test_checkpoint_dtype_is_kept(tmp_path):
    build_model('gpt2').to(torch.bfloat16).save_pretrained(tmp_path)
    assert {tensor.dtype for tensor in open_checkpoint(tmp_path).read_block(0).values()} == {torch.bfloat16}


def test_only_the_shards_that_hold_the_block_are_opened(sharded_gpt2):
    needed = shards_of(sharded_gpt2, 'transformer.h.2.')
    for file in sharded_gpt2.glob('*.safetensors'):
        if file.name not in needed:
            file.unlink()
    checkpoint = open_checkpoint(sharded_gpt2)
    assert len(checkpoint.read_block(2)) == 12
    assert checkpoint.files_of_block(2) == needed


def test_only_the_pickled_shards_that_hold_the_block_are_opened(tmp_path):
    build_model('gpt2').save_pretrained(tmp_path, safe_serialization=False, max_shard_size='60KB')
    needed = shards_of(tmp_path, 'transformer.h.2.', 'pytorch_model.bin.index.json')
    for file in tmp_path.glob('*.bin'):
        if file.name not in needed:
            file.unlink()
    assert len(open_checkpoint(tmp_path).read_block(2)) == 12


def test_bytes_read_are_those_of_the_chosen_blocks(tmp_path):
    config = dict(CONFIGS['gpt2'], n_embd=128, n_layer=32)
    (tmp_path / 'config.json').write_text(json.dumps(config))
    block = hf_blocks(build_model('gpt2', n_embd=128))[0]
    weight_map = {}
    for shard in range(8):
        file = f'model-{shard + 1:05}-of-00008.safetensors'
        tensors = {f'h.{i}.{name}': torch.zeros(parameter.shape) for i in range(4 * shard, 4 * shard + 4)
                   for name, parameter in block.named_parameters()}
        save_file(tensors, tmp_path / file)
        weight_map.update(dict.fromkeys(tensors, file))
    (tmp_path / 'model.safetensors.index.json').write_text(json.dumps(dict(weight_map=weight_map)))
    checkpoint = open_checkpoint(tmp_path)
    assert checkpoint.bytes_read == 0
    blocks = [checkpoint.read_block(index) for index in (0, 31)]
    size = sum(tensor.nbytes for block in blocks for tensor in block.values())
    assert size <= checkpoint.bytes_read <= 1.05 * size


@pytest.mark.parametrize('share', [0.9, 0.5, 0.])
def test_truncated_safetensors_say_how_much_is_there(gpt2, share):
    file = gpt2 / 'model.safetensors'
    file.write_bytes(file.read_bytes()[:int(share * file.stat().st_size)])
    size = f'{file.stat().st_size:,}'
    with pytest.raises(CheckpointError, match=f'model.safetensors: not a complete safetensors file .* found {size} '
                                              'bytes.*fetch it again'):
        open_checkpoint(gpt2).read_block(0)


def test_truncated_shard_is_an_error_when_its_block_is_read(sharded_gpt2):
    file = sharded_gpt2 / shards_of(sharded_gpt2, 'transformer.h.1.ln_1.weight')[0]
    file.write_bytes(file.read_bytes()[:-100])
    assert file.name not in shards_of(sharded_gpt2, 'transformer.h.3.')
    checkpoint = open_checkpoint(sharded_gpt2)
    checkpoint.read_block(3)
    with pytest.raises(CheckpointError, match=f'{file.name}: not a complete safetensors file'):
        checkpoint.read_block(1)


def test_absent_shard_is_named(sharded_gpt2):
    file = sharded_gpt2 / shards_of(sharded_gpt2, 'transformer.h.1.')[0]
    file.unlink()
    with pytest.raises(CheckpointError, match=f"{file.name}: the index names the shard '{file.name}', which is not "
                                              'there; expected every shard that holds a chosen block. Fetch'):
        open_checkpoint(sharded_gpt2).read_block(1)


def test_shard_of_another_checkpoint_is_an_error(sharded_gpt2):
    file = sharded_gpt2 / shards_of(sharded_gpt2, 'transformer.h.1.ln_1.weight')[0]
    tensors = load_file(file)
    tensors.pop('transformer.h.1.ln_1.weight')
    save_file(tensors, file)
    with pytest.raises(CheckpointError, match=f"{file.name}: the index says that this shard holds "
                                              "'transformer.h.1.ln_1.weight', and it does not.*fetch both again"):
        open_checkpoint(sharded_gpt2).read_block(1)


@pytest.mark.parametrize('count', [10_000, 60_000])
def test_as_many_tensors_as_a_header_says_take_no_time(count, gpt2):
    data = (gpt2 / 'model.safetensors').read_bytes()
    begin = 8 + int.from_bytes(data[:8], 'little')
    more = {f't{index:06}': dict(dtype='F32', shape=[0], data_offsets=[0, 0]) for index in range(count)}
    header = json.dumps({**json.loads(data[8:begin]), **more}).encode()
    (gpt2 / 'model.safetensors').write_bytes(len(header).to_bytes(8, 'little') + header + data[begin:])
    checkpoint = open_checkpoint(gpt2)
    with time_limit(3):
        if count == 10_000:
            assert all(checkpoint.read_block(index) for index in range(4))
        else:
            with pytest.raises(CheckpointError, match='its header of [0-9,]+ bytes is longer than the 2,097,152'):
                checkpoint.read_block(0)


@pytest.mark.parametrize('text', ['{"weight_map": ', '{}', '[]'])
def test_damaged_index_is_an_error(sharded_gpt2, text):
    (sharded_gpt2 / 'model.safetensors.index.json').write_text(text)
    with pytest.raises(CheckpointError, match="index.json: not a shard index .*expected JSON with a 'weight_map'"):
        open_checkpoint(sharded_gpt2).read_block(0)


@pytest.mark.parametrize('entry, message', [
    (dict(shape=[2, 3]), 'invalid shape, data type, or offset'),
    (dict(dtype='F64'), 'invalid shape, data type, or offset'),
    (dict(data_offsets=[16, 0]), 'invalid offset for tensor .t.'),
    (dict(data_offsets=[-16, 0]), 'integer .-16., expected'),
    (dict(data_offsets=['0', 16]), 'invalid type: string'),
    (dict(data_offsets=[0]), 'expected a tuple of size 2'),
    (dict(shape=[-2, -2]), 'integer .-2., expected'),
    (dict(shape=4), 'int'),
])
def test_headers_that_contradict_themselves_are_an_error(tmp_path, entry, message):
    header = json.dumps(dict(t={**dict(dtype='F32', shape=[2, 2], data_offsets=[0, 16]), **entry})).encode()
    (tmp_path / 'model.safetensors').write_bytes(len(header).to_bytes(8, 'little') + header + bytes(16))
    (tmp_path / 'config.json').write_text(json.dumps(CONFIGS['gpt2']))
    with pytest.raises(CheckpointError, match=f'model.safetensors: not a complete safetensors file .*{message}'):
        open_checkpoint(tmp_path).read_block(0)


INDEXES = dict(safetensors='model.safetensors.index.json', pickle='pytorch_model.bin.index.json')


def outsider(kind, folder, name):
    """A checkpoint whose index says that a block's shard is elsewhere, where it really is; ``{}`` stands for that place."""
    folder = folder / 'checkpoint'
    build_model('gpt2').save_pretrained(folder, max_shard_size='60KB', safe_serialization=kind == 'safetensors')
    index = folder / INDEXES[kind]
    content = json.loads(index.read_text())
    shard = content['weight_map']['transformer.h.1.ln_1.weight']
    (folder / shard).rename(folder.parent / shard)
    for tensor, file in content['weight_map'].items():
        if file == shard:
            content['weight_map'][tensor] = name.format(folder.parent, shard) if isinstance(name, str) else name
    index.write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize('kind', INDEXES)
@pytest.mark.parametrize('name', ['{}/{}', '../{1}', 'sub/../../{1}', './../{1}', '~/{1}', 'C:\\{1}', 'C:{1}', '..\\{1}', '',
                                  ' ', None, 3, ['x'], dict(a='b')])
def test_an_index_may_not_name_files_outside_of_its_folder(kind, name, tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    with pytest.raises(CheckpointError, match=f'{INDEXES[kind]}: names a shard outside its own folder: .*source that you'):
        open_checkpoint(outsider(kind, tmp_path, name)).read_block(0)


@pytest.mark.parametrize('kind', INDEXES)
def test_nor_by_a_link(kind, tmp_path):
    folder = outsider(kind, tmp_path, '{1}')
    shard = next(path for path in tmp_path.iterdir() if path.is_file())
    (folder / shard.name).symlink_to(shard)
    with pytest.raises(CheckpointError, match='is a link out of the folder'):
        open_checkpoint(folder).read_block(0)


def test_a_downloaded_snapshot_is_opened_as_a_folder(tmp_path):
    """Its shards are links to the cache's blobs."""
    snapshot, blobs = tmp_path / 'models--a--b' / 'snapshots' / 'abc', tmp_path / 'models--a--b' / 'blobs'
    build_model('gpt2').save_pretrained(snapshot, max_shard_size='60KB')
    blobs.mkdir()
    for number, file in enumerate(sorted(snapshot.iterdir())):
        file.rename(blobs / str(number))
        file.symlink_to(f'../../blobs/{number}')
    assert open_checkpoint(snapshot).read_block(1)


@pytest.mark.parametrize('text', ['{"weight_map": {}}', '{"weight_map": []}', '{"weight_map": null}', '[' * 100_000])
def test_an_index_without_a_map_is_an_error(sharded_gpt2, text):
    (sharded_gpt2 / 'model.safetensors.index.json').write_text(text)
    with pytest.raises(CheckpointError, match='index.json: not a shard index'):
        open_checkpoint(sharded_gpt2).read_block(0)


def shrink(file, share=0.3):
    with open(file, 'r+b') as opened:
        opened.truncate(int(share * file.stat().st_size))


@pytest.mark.parametrize('kind', ['safetensors', 'bin', 'gguf'])
def test_files_that_shrink_are_an_error_and_not_the_end_of_the_process(kind, tmp_path, gguf_files):
    if kind != 'gguf':
        build_model('llama').save_pretrained(tmp_path, safe_serialization=kind == 'safetensors')
        location = tmp_path
        file = tmp_path / ('model.safetensors' if kind == 'safetensors' else 'pytorch_model.bin')
    else:
        location = file = Path(shutil.copy(gguf_files['llama'], tmp_path))
    checkpoint = open_checkpoint(location)
    checkpoint.read_block(0)
    shrink(file)
    message = (rf"{file.name}: tensor '\S*layers.3\S+' is cut off: [\d,]+ of (its|the file's) [\d,]+ bytes are there, "
               '.*fetch the file again')
    with time_limit(20), pytest.raises(CheckpointError, match=message):
        checkpoint.read_block(3)


def test_a_state_dict_of_something_else_is_an_error(gpt2):
    (gpt2 / 'model.safetensors').unlink()
    tensors = build_model('gpt2').state_dict()
    torch.save({**tensors, 'transformer.h.0.ln_1.weight': 3}, gpt2 / 'pytorch_model.bin')
    with pytest.raises(CheckpointError, match="'transformer.h.0.ln_1.weight' is a int, no plain tensor"):
        open_checkpoint(gpt2).read_block(0)


def test_safetensors_are_preferred_to_pickle(gpt2):
    (gpt2 / 'pytorch_model.bin').write_bytes(pickle.dumps('never opened'))
    assert open_checkpoint(gpt2).files_of_block(0) == ['model.safetensors']


def test_pickle_of_something_else_is_an_error(gpt2):
    (gpt2 / 'model.safetensors').unlink()
    torch.save([torch.zeros(1)], gpt2 / 'pytorch_model.bin')
    with pytest.raises(CheckpointError, match='pytorch_model.bin: holds a list; expected a state dict'):
        open_checkpoint(gpt2).read_block(0)


def test_pickled_shard_of_another_checkpoint_is_an_error(tmp_path):
    build_model('gpt2').save_pretrained(tmp_path, safe_serialization=False, max_shard_size='60KB')
    index = tmp_path / 'pytorch_model.bin.index.json'
    content = json.loads(index.read_text())
    content['weight_map']['transformer.h.1.ln_1.weight'] = content['weight_map']['transformer.wte.weight']
    index.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match="this shard holds 'transformer.h.1.ln_1.weight', and it does not"):
        open_checkpoint(tmp_path).read_block(1)


@pytest.mark.parametrize('key', ['state_dict', 'model', 'module', 'model_state_dict'])
def test_a_state_dict_beside_other_things(key, tmp_path):
    model = build_model('llama')
    model.config.save_pretrained(tmp_path)
    torch.save({key: model.state_dict(), 'epoch': 3, 'args': ['x']}, tmp_path / 'pytorch_model.bin')
    assert is_the_model(tmp_path)


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


def test_a_shard_that_is_a_link_to_itself(tmp_path):
    folder = saved(tmp_path / 'm')
    (folder / 'model.safetensors').unlink()
    os.symlink('a.safetensors', folder / 'a.safetensors')
    (folder / 'model.safetensors.index.json').write_text(json.dumps(dict(weight_map={'x': 'a.safetensors'})))
    with pytest.raises(CheckpointError, match='is a link that leads nowhere|names a shard outside'):
        opened(folder)
