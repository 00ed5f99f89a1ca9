"""The tensors of the arms."""
import pytest
import torch

from lbbt_mm.language import ARMS, FAMILIES, block_tensors, open_checkpoint, read_arm_block
from tests.tiny_checkpoints import IN_GGUF, build_model

DRAWN_FROM_WEIGHTS = ['shuffled', 'moment_matched']


def arm_block(arm, source, index=0, seed=0):
    checkpoint = open_checkpoint(source)
    return read_arm_block(arm, checkpoint.spec, checkpoint, index, seed)


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_language_is_the_checkpoint_itself(folders):
    assert equal(arm_block('language', folders['llama']), open_checkpoint(folders['llama']).read_block(0))


@pytest.mark.parametrize('arm', [arm for arm in ARMS if ARMS[arm].reads_weights or ARMS[arm].is_drawn])
@pytest.mark.parametrize('model_type', FAMILIES)
def test_every_arm_has_the_names_and_shapes_of_the_block(arm, model_type, folders):
    block = arm_block(arm, folders[model_type], 1)
    assert {name: tuple(tensor.shape) for name, tensor in block.items()} == block_tensors(
        open_checkpoint(folders[model_type]).spec, 1)


@pytest.mark.parametrize('model_type', FAMILIES)
def test_shuffled_keeps_the_entries_and_not_their_places(model_type, folders):
    shuffled, original = arm_block('shuffled', folders[model_type]), arm_block('language', folders[model_type])
    for name, tensor in original.items():
        assert torch.equal(shuffled[name].flatten().sort().values, tensor.flatten().sort().values), name
        assert not torch.equal(shuffled[name], tensor), name


def test_shuffled_keeps_the_checkpoint_dtype(tmp_path):
    build_model('gpt2').to(torch.bfloat16).save_pretrained(tmp_path)
    assert {tensor.dtype for tensor in arm_block('shuffled', tmp_path).values()} == {torch.bfloat16}


def test_moment_matched_keeps_mean_and_std(tmp_path):
    build_model('llama', hidden_size=128, intermediate_size=256).save_pretrained(tmp_path)
    matched, original = arm_block('moment_matched', tmp_path), arm_block('language', tmp_path)
    for name, tensor in original.items():
        # a sample of n entries misses the moments by about std / sqrt(n); four times that is far out
        tolerance = 4 * tensor.std().item() / tensor.numel()**0.5
        assert matched[name].mean().item() == pytest.approx(tensor.mean().item(), abs=tolerance), name
        assert matched[name].std().item() == pytest.approx(tensor.std().item(), abs=tolerance), name
        assert not torch.equal(matched[name], tensor), name


def test_moment_matched_leaves_a_constant_tensor_as_it_is(tmp_path):
    model = build_model('llama')
    torch.nn.init.constant_(model.model.layers[0].input_layernorm.weight, 0.75)
    model.save_pretrained(tmp_path)
    assert (arm_block('moment_matched', tmp_path)['layers.0.input_layernorm.weight'] == 0.75).all()


@pytest.mark.parametrize('arm', ['random', *DRAWN_FROM_WEIGHTS])
def test_a_draw_depends_on_the_seed_and_on_nothing_else(arm, folders):
    first = arm_block(arm, folders['gpt2'], index=2, seed=7)
    torch.manual_seed(99)
    checkpoint = open_checkpoint(folders['gpt2'])
    for index in (3, 0):  # other blocks, read before and in another order
        read_arm_block(arm, checkpoint.spec, checkpoint, index, 7)
    assert equal(read_arm_block(arm, checkpoint.spec, checkpoint, 2, 7), first)
    other = arm_block(arm, folders['gpt2'], index=2, seed=8)
    assert not any(torch.equal(other[name], first[name]) for name in first if first[name].ndim == 2)


@pytest.mark.parametrize('arm', ['random', *DRAWN_FROM_WEIGHTS])
def test_blocks_and_tensors_are_drawn_independently(arm, folders):
    one, other = (arm_block(arm, folders['llama'], index) for index in (0, 1))
    matrices = [tensor for block in (one, other) for tensor in block.values() if tensor.shape == (64, 32)]
    assert len(matrices) == 4
    assert not any(torch.equal(matrices[i], matrices[j]) for i in range(4) for j in range(i))


def test_drawing_leaves_the_global_random_state_alone(folders):
    before = torch.get_rng_state()
    for arm in ('random', *DRAWN_FROM_WEIGHTS):
        arm_block(arm, folders['gpt2'])
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize('arm', [arm for arm in ARMS if ARMS[arm].reads_weights or ARMS[arm].is_drawn])
@pytest.mark.parametrize('model_type', FAMILIES)
def test_every_format_of_the_same_weights_gives_the_same_arm(arm, model_type, folders, sharded_folders, gguf_files):
    expected = arm_block(arm, folders[model_type], 3)
    assert equal(arm_block(arm, sharded_folders[model_type], 3), expected)
    if model_type not in IN_GGUF:
        return
    if ARMS[arm].reads_weights:  # a GGUF file does not say what the others are drawn with
        assert equal(arm_block(arm, gguf_files[model_type], 3), expected)
    else:
        assert open_checkpoint(gguf_files[model_type]).spec.initializer_range is None


def test_random_needs_no_checkpoint(folders):
    spec = open_checkpoint(folders['gpt2']).spec
    assert equal(read_arm_block('random', spec, None, 0, 0), arm_block('random', folders['gpt2']))
