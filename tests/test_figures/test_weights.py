"""The weights of every kind of checkpoint are those that were saved, read in pieces; what is no checkpoint is refused."""
import json
import os
from functools import lru_cache

import pytest
import torch
from mmengine.logging import HistoryBuffer
from safetensors.torch import save_file

from lbbt_mm.figures import weights as module
from lbbt_mm.figures.weights import named_weights, open_weights, weights_of
from tests.hostile_files import runs_code
from tests.test_language.test_gguf_store import split
from tests.tiny_checkpoints import build_model, write_gguf


def read(location) -> dict:
    return {one.name: torch.cat(list(one.pieces())).view(one.shape) for one in open_weights(str(location)).tensors}


def assert_equal(found: dict, wanted: dict) -> None:
    assert found.keys() == wanted.keys()
    for name, tensor in found.items():
        assert torch.equal(tensor, wanted[name]), name


@pytest.fixture(params=[2**22, 1000])
def piece(request, monkeypatch):
    """Bytes that are read at once; the tiny models' tensors have some thousands."""
    monkeypatch.setattr(module, '_PIECE', request.param)


@pytest.mark.parametrize('form', ['safetensors', 'shards', 'bin', 'bin shards'])
def test_hugging_face_folders(form, piece, tmp_path):
    model = build_model('gpt2')
    size = '60KB' if 'shards' in form else '5GB'
    model.save_pretrained(tmp_path, safe_serialization='bin' not in form, max_shard_size=size)
    assert len(list(tmp_path.glob('*.bin')) + list(tmp_path.glob('*.safetensors'))) > 2 or 'shards' not in form
    assert_equal(read(tmp_path), {name: tensor for name, tensor in model.state_dict().items() if name != 'lm_head.weight'})


def test_the_hub(local_hub, sharded_folders, gguf_files):
    local_hub.add('someone/gpt2', sharded_folders['gpt2'])
    assert_equal(read('someone/gpt2'), read(sharded_folders['gpt2']))
    local_hub.stop()  # what has been fetched is in the cache
    assert_equal(read('someone/gpt2'), read(sharded_folders['gpt2']))


def test_a_gguf_file_on_the_hub(local_hub, gguf_files):
    local_hub.add('someone/ggufs', gguf_files['llama'].parent)
    assert_equal(read('someone/ggufs/llama.gguf'), read(gguf_files['llama']))
    assert 'the hub has the model, but no such weights' in refused('someone/ggufs/none.gguf')


def test_what_tells_a_split_file_from_others_are_all_of_its_parts(tmp_path):
    parts = split(tmp_path)
    before = open_weights(str(parts[0])).question
    assert {one['path'] for one in before} == set(map(str, parts))
    os.utime(parts[2], (1, 1))
    assert open_weights(str(parts[0])).question != before


def test_weights_that_are_known_by_name_are_built_when_one_is_read():
    built = []

    @lru_cache(maxsize=None)
    def build():
        built.append(1)
        return weights_of({'a': torch.ones(2, 3), 'b': torch.arange(4.)}, 'here', 'what')

    found = named_weights(build, 'here', 'what', dict(b=[4], a=[2, 3]), ['c'])
    assert [(one.name, one.shape) for one in found.tensors] == [('b', (4, )), ('a', (2, 3))] and not built
    assert (found.location, found.question, found.left_out) == ('here', 'what', ['c'])
    assert_equal({one.name: torch.cat(list(one.pieces())).view(one.shape) for one in found.tensors},
                 dict(a=torch.ones(2, 3), b=torch.arange(4.)))
    assert len(built) == 1


@pytest.mark.parametrize('kind', ['F32', 'Q8_0'])
def test_gguf_files_are_dequantised(kind, piece, tmp_path):
    model = build_model('llama')
    found = read(write_gguf(tmp_path / 'model.gguf', model, kind))
    assert len(found) == len(model.state_dict())
    wanted = model.model.layers[2].mlp.down_proj.weight
    assert found['blk.2.ffn_down.weight'].sub(wanted).abs().max() < (1e-2 if kind == 'Q8_0' else 1e-9)
    assert torch.equal(found['output_norm.weight'], model.model.norm.weight)


@pytest.mark.parametrize('name', [
    'model.safetensors', 'other.safetensors', 'plain.pth', 'old.pth', 'timm.bin', 'epoch_3.pth'])
def test_single_files(name, piece, tmp_path):
    state = {name: tensor.clone() for name, tensor in build_model('gpt2').transformer.state_dict().items()}
    if name.endswith('.safetensors'):
        save_file(state, tmp_path / name)
    elif name == 'old.pth':  # as torch before 1.6 wrote it, a pickle without an archive
        torch.save(state, tmp_path / name, _use_new_zipfile_serialization=False)
    else:
        torch.save({'plain.pth': state, 'timm.bin': dict(model=state, epoch=3, args=None), 'epoch_3.pth': dict(
            state_dict=state, meta=dict(epoch=3, cfg='x = 1'), message_hub=dict(loss=HistoryBuffer([1.], [1])),
            optimizer=dict(state={0: dict(exp_avg=torch.ones(3))}))}[name], tmp_path / name)
    assert_equal(read(tmp_path / name), state)


def test_the_folder_of_a_run_gives_its_latest_checkpoint(tmp_path):
    for epoch in (1, 2, 3):
        torch.save(dict(state_dict={'backbone.blocks.0.mlp.fc1.weight': torch.full((2, 2), float(epoch))}, meta={}),
                   tmp_path / f'epoch_{epoch}.pth')
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'epoch_2.pth'))
    assert read(tmp_path)['backbone.blocks.0.mlp.fc1.weight'].mean() == 2


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16, torch.float64])
def test_numbers_keep_their_type(dtype, tmp_path):
    state = dict(a=torch.randn(7, 3, dtype=dtype), b=torch.randn(5, 4, dtype=dtype).t())
    torch.save(state, tmp_path / 'a.pth')
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, tmp_path / 'a.safetensors')
    assert_equal(read(tmp_path / 'a.pth'), state)
    assert_equal(read(tmp_path / 'a.safetensors'), state)
    assert read(tmp_path / 'a.pth')['a'].dtype is dtype


@pytest.mark.parametrize('dtype', module._FLOATS_OF_8_BITS)
def test_numbers_of_8_bits_come_as_such_of_16_without_a_change(dtype, tmp_path):
    patterns = torch.arange(256).to(torch.uint8)
    stored = patterns[patterns.view(dtype).float().isfinite()].view(dtype)
    torch.save(dict(a=stored), tmp_path / 'a.pth')
    save_file(dict(a=stored), tmp_path / 'a.safetensors')
    for name in ('a.pth', 'a.safetensors'):
        found = read(tmp_path / name)['a']
        assert found.dtype is torch.float16 and torch.equal(found.float(), stored.float())


def test_what_no_training_changes_is_left_out_and_tied_tensors_are_there_once(tmp_path):
    weight = torch.randn(4, 4)
    torch.save({'module.wte.weight': weight, 'module.lm_head.weight': weight, 'module.steps': torch.tensor(3),
                'module.bn.running_var': torch.ones(4), 'module.h.0.attn.bias': torch.ones(1, 1, 4, 4),
                'module.part': weight[:2], 'module.empty': torch.zeros(0), 'module.name': 'x'}, tmp_path / 'a.pth')
    found = open_weights(str(tmp_path / 'a.pth'))
    assert [one.name for one in found.tensors] == ['wte.weight', 'part']
    assert found.left_out == ['bn.running_var', 'empty', 'h.0.attn.bias', 'steps']


# ------------------------------------------------------------------------------------------------------------ bad input
def refused(location) -> str:
    with pytest.raises(ValueError) as error:
        open_weights(str(location))
    assert '\n' not in str(error.value)
    return str(error.value)


def test_what_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setenv('HF_HUB_OFFLINE', '1')
    assert 'no such checkpoint file' in refused(tmp_path / 'none.pth')
    assert 'no such file or folder' in refused(tmp_path / 'none')
    assert 'holds no weights; expected model.safetensors' in refused(tmp_path)
    assert 'no such file or folder' in refused('./none')


def test_a_hub_that_cannot_be_reached(local_hub):
    local_hub.stop()
    assert 'nor is it in the cache of the hub' in refused('someone/nothing')


def test_files_that_would_run_code_are_refused(tmp_path):
    torch.save(dict(state_dict=runs_code(tmp_path / 'trace')), tmp_path / 'a.pth')
    assert 'holds more than tensors' in refused(tmp_path / 'a.pth')
    assert not (tmp_path / 'trace').exists()


@pytest.mark.parametrize('state', [{}, dict(steps=torch.tensor(3)), dict(state_dict=dict(name='x')),
                                   {'bn.running_mean': torch.ones(3)}])
def test_a_checkpoint_without_weights(state, tmp_path):
    torch.save(state, tmp_path / 'a.pth')
    found = sum(isinstance(value, torch.Tensor) for value in state.values())
    assert f'has no floating-point weights; found {found} tensors' in refused(tmp_path / 'a.pth')


@pytest.mark.parametrize('value', [torch.eye(3).to_sparse(), torch.zeros(3, device='meta')])
def test_tensors_that_are_no_plain_numbers(value):
    with pytest.raises(ValueError, match='expected plain numbers of torch.float32, torch.bfloat16'):
        module.weights_of(dict(a=value), 'model', None)


@pytest.mark.parametrize('dtype, size', [('F8_E8M0', 8), ('F4', 4), ('F6_E2M3', 6)])
def test_types_without_plain_numbers_are_refused_before_a_tensor_is_read(dtype, size, tmp_path):
    header = json.dumps(dict(a=dict(dtype='F32', shape=[1], data_offsets=[0, 4]), b=dict(
        dtype=dtype, shape=[8], data_offsets=[4, 4 + size]))).encode()
    (tmp_path / 'a.safetensors').write_bytes(len(header).to_bytes(8, 'little') + header + bytes(4 + size))
    said = refused(tmp_path / 'a.safetensors')
    assert f"tensor 'b' is stored as {dtype}; expected plain numbers, such as BF16" in said or 'not a complete' in said


def test_quantised_weights_and_adapters_are_refused(tmp_path):
    save_file({'model.layers.0.mlp.up_proj.qweight': torch.ones(3, dtype=torch.int32), 'a': torch.ones(3)},
              tmp_path / 'a.safetensors')
    assert 'its weights are quantised (GPTQ or AWQ' in refused(tmp_path / 'a.safetensors')


def test_a_shard_that_is_not_there_and_one_of_another_checkpoint(sharded_folders, tmp_path):
    import shutil
    folder = shutil.copytree(sharded_folders['gpt2'], tmp_path / 'gpt2')
    index = json.loads((folder / 'model.safetensors.index.json').read_text())
    first = min(index['weight_map'].values())
    index['weight_map']['other'] = first
    (folder / 'model.safetensors.index.json').write_text(json.dumps(index))
    assert "the index lists the tensor 'other', and no shard holds it" in refused(folder)
    (folder / first).unlink()
    assert 'the index names this shard, which is not there' in refused(folder)
