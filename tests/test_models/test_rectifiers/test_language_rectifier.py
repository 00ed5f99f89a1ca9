"""LanguageRectifier: Eq. 6, the forerunner's norm, and what trains, is held and is saved."""
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.model import BaseModule
from mmengine.model.weight_init import trunc_normal_
from torch import nn

from lbbt_mm.language.errors import CheckpointError
from lbbt_mm.models.rectifiers import LanguageRectifier
from lbbt_mm.models.rectifiers.held_weights import checksum
from tests.closeness import assert_close
from tests.tiny_checkpoints import build_model, hf_blocks

WIDTH = 32  # of the tiny language models


def rectifier(folder, arm='language', in_channels=12, **options):
    torch.manual_seed(0)
    language = {**dict(checkpoint=str(folder), blocks=-1, arm=arm, seed=0), **options.pop('language', {})}
    made = LanguageRectifier(language, in_channels=in_channels, **options)
    made.init_weights()
    return made


def tokens():
    return torch.randn(2, 5, 12, generator=torch.Generator().manual_seed(1))


def unit_norm(x, kind):
    x = x - x.mean(-1, keepdim=True) if kind == 'layer' else x
    return x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt()


@pytest.mark.parametrize('family', ('gpt2', 'llama', 'qwen3'))
def test_it_is_equation_6_with_the_hugging_face_block_in_the_middle(folders, family):
    """Linear in, the last block without positions and mask, a norm of unit weight, linear out."""
    made = rectifier(folders[family], attention='bidirectional')
    block = hf_blocks(build_model(family))[-1]
    hidden = tokens() @ made.input.weight.T
    length = hidden.shape[1]
    dims = 16 if family == 'qwen3' else 8
    angles = torch.ones(1, length, dims), torch.zeros(1, length, dims)
    arguments = {} if family == 'gpt2' else dict(position_embeddings=angles)
    hidden = block(hidden, attention_mask=torch.zeros(1, 1, length, length), **arguments)
    hidden = hidden[0] if isinstance(hidden, tuple) else hidden
    expected = unit_norm(hidden, 'layer' if family == 'gpt2' else 'rms') @ made.output.weight.T
    assert_close(made(tokens()), expected, depth=4)


def test_without_blocks_the_mappers_and_the_norm_are_left(folders):
    made = rectifier(folders['llama'], arm='mappers')
    expected = unit_norm(tokens() @ made.input.weight.T, 'rms') @ made.output.weight.T
    assert_close(made(tokens()), expected, depth=2)
    assert not list(made.buffers())
    assert made.input.weight.shape == rectifier(folders['llama']).input.weight.shape


def test_options(folders):
    plain = rectifier(folders['llama'])
    assert_close(rectifier(folders['llama'], residual=True)(tokens()), tokens() + plain(tokens()), depth=4)
    assert not torch.allclose(rectifier(folders['llama'], position='rotary')(tokens()), plain(tokens()), atol=1e-4)
    assert not torch.allclose(rectifier(folders['llama'], attention='causal')(tokens()), plain(tokens()), atol=1e-4)
    several = rectifier(folders['llama'], language=dict(blocks=[0, 2]))
    assert len(several.blocks) == 2
    mlp = rectifier(folders['llama'], mapper='mlp', mapper_bias=True)
    assert [type(layer) for layer in mlp.input] == [nn.Linear, nn.GELU, nn.Linear] and mlp.input[0].bias is not None
    assert isinstance(rectifier(folders['llama'], final_norm=None).norm, nn.Identity)


def test_the_language_models_own_norm_is_copied_and_held(folders):
    made = rectifier(folders['llama'], final_norm='language')
    assert torch.equal(made.norm.weight, build_model('llama').model.norm.weight)
    assert 'norm.weight' in dict(made.named_buffers())


@pytest.mark.parametrize('arm', ('language', 'random', 'shuffled', 'moment_matched'))
def test_frozen_blocks_of_every_arm_are_no_parameters_and_stay_in_evaluation_mode(folders, arm):
    made = rectifier(folders['gpt2'], arm=arm).train()
    assert {name for name, _ in made.named_parameters()} == {'input.weight', 'output.weight'}
    assert made.training and not any(part.training for part in made.blocks.modules())
    before = checksum(made.blocks)
    made(tokens()).square().sum().backward()
    assert made.input.weight.grad.abs().sum() > 0
    assert checksum(made.blocks) == before


def test_blocks_may_train_whole_or_by_low_rank_updates(folders):
    whole = rectifier(folders['gpt2'], trains='all')
    assert {name.split('.')[0] for name, _ in whole.named_parameters()} == {'input', 'output', 'blocks'}
    low = rectifier(folders['gpt2'], trains='low_rank:2')
    assert torch.equal(low(tokens()), rectifier(folders['gpt2'])(tokens()))
    low(tokens()).square().sum().backward()
    assert {name.split('.')[0] for name, _ in low.named_parameters()} == {'input', 'output', 'low_rank'}
    assert all(value.grad.abs().sum() > 0 for name, value in low.named_parameters() if 'down' not in name)
    assert low.low_rank.up['0_mlp_fc2'].shape == (WIDTH, 2)


def test_blocks_may_be_held_in_bfloat16_while_the_rest_is_float32(folders):
    made = rectifier(folders['llama'], dtype='bfloat16')
    assert {tensor.dtype for tensor in made.blocks.buffers()} == {torch.bfloat16}
    out = made(tokens())
    assert out.dtype == torch.float32
    assert_close(out, rectifier(folders['llama'])(tokens()), depth=2, dtype=torch.bfloat16, terms=1)


def test_a_given_type_is_the_one_that_it_runs_in_under_autocast_too(folders):
    kept, given = (rectifier(folders['llama'], dtype=dtype) for dtype in (None, 'float32'))
    seen = []
    for made in (kept, given):
        made.blocks[0].attn.qkv.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
        with torch.autocast('cpu', torch.bfloat16):
            made(tokens())
    assert seen == [torch.bfloat16, torch.float32]


def test_the_language_models_norm_is_held_whatever_trains(folders):
    made = rectifier(folders['llama'], final_norm='language', trains='all')
    assert 'norm.weight' not in dict(made.named_parameters())


class TestWithoutBlocksInTheCheckpoint:
    """saves_blocks=False: they are built again from the language model, and have to be the same."""

    def test_they_come_back_to_the_bit(self, folders):
        made = rectifier(folders['gpt2'], arm='shuffled', saves_blocks=False)
        saved = made.state_dict()
        assert set(saved) == {'input.weight', 'output.weight'}
        torch.manual_seed(3)
        fresh = LanguageRectifier(made_language(folders, 'shuffled'), in_channels=12, saves_blocks=False)
        fresh.load_state_dict(saved)
        assert checksum(fresh.blocks) == checksum(made.blocks) and torch.equal(fresh(tokens()), made(tokens()))

    def test_another_language_model_is_refused(self, folders, tmp_path):
        saved = rectifier(folders['gpt2'], saves_blocks=False).state_dict()
        build_model('gpt2', seed=5).save_pretrained(tmp_path)
        other = LanguageRectifier(dict(checkpoint=str(tmp_path), blocks=-1), in_channels=12, saves_blocks=False)
        with pytest.raises(CheckpointError, match='leaves its frozen blocks out; expected blocks of checksum .* Give the '
                           'language model, blocks, arm, seed and dtype that it was trained with'):
            other.load_state_dict(saved)

    def test_a_model_that_saves_them_takes_them_too(self, folders):
        made = rectifier(folders['gpt2'], saves_blocks=False)
        other = LanguageRectifier(made_language(folders, 'language'), in_channels=12)
        other.load_state_dict(made.state_dict())
        assert torch.equal(other(tokens()), made(tokens()))


def made_language(folders, arm):
    return ConfigDict(checkpoint=str(folders['gpt2']), blocks=-1, arm=arm, seed=0)


@pytest.mark.parametrize(('options', 'message'), [
    (dict(in_channels=None), 'in_channels=None; expected the width of the tokens'),
    (dict(position='learned'), "position='learned'; expected one of 'none', 'rotary'"),
    (dict(position='rotary'), 'has no rotary positions'),
    (dict(final_norm='new'), "final_norm='new'; expected one of 'unit', 'language', None"),
    (dict(mapper='conv'), "mapper='conv'; expected one of 'linear', 'mlp'"),
    (dict(trains='low_rank:0'), "trains='low_rank:0': expected 'none', 'all' or 'low_rank:R'"),
    (dict(trains='all', dtype='bfloat16'), 'expected blocks that are frozen'),
    (dict(dtype='int8'), "dtype='int8'; expected one of None, 'float32', 'bfloat16', 'float16'"),
    (dict(arm='host'), "language.arm='host': expected an arm with blocks from a language model or with mappers alone"),
    (dict(arm='none'), "language.arm='none': expected an arm")])
def test_what_does_not_fit_is_refused(folders, options, message):
    with pytest.raises(ValueError, match=message):
        rectifier(folders['gpt2'], **options)


def log_of_initialisation(module, monkeypatch):
    """What mmengine's log says of each parameter."""
    found = {}
    monkeypatch.setattr(BaseModule, '_dump_init_info', lambda self: found.update(
        {name: self._params_init_info[parameter]['init_info'] for name, parameter in self.named_parameters()}))
    module.init_weights()
    return found


@pytest.mark.parametrize('arm', ('language', 'mappers'))
@pytest.mark.parametrize('mapper, parts', [('linear', ('', )), ('mlp', ('.0', '.2'))])
def test_mappers_are_drawn_as_a_vit_s_linear_layers_and_the_log_says_so(folders, monkeypatch, arm, mapper, parts):
    language = dict(checkpoint=str(folders['gpt2']), blocks=-1, arm=arm, seed=0)
    made = LanguageRectifier(language, in_channels=12, mapper=mapper, mapper_bias=True)
    torch.manual_seed(5)
    said = log_of_initialisation(made, monkeypatch)
    names = [f'{side}{part}' for side in ('input', 'output') for part in parts]
    assert sorted(said) == sorted(f'{name}.{kind}' for name in names for kind in ('weight', 'bias'))
    for name in names:
        assert said[f'{name}.weight'] == 'TruncNormalInit: a=-2, b=2, mean=0, std=0.02, bias=0'
    torch.manual_seed(5)
    for name in names:
        layer = made.get_submodule(name)
        assert torch.equal(layer.weight, trunc_normal_(torch.empty_like(layer.weight), std=0.02)), name
        assert not layer.bias.any()
