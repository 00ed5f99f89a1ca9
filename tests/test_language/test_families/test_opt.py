"""OPT: norms in either order, a position table that begins with rows for padding, and a final norm that not all have."""
import pytest
import torch
from mmengine.config import Config
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from lbbt_mm.language import CheckpointError, LanguageOptions, open_checkpoint, read_spec
from lbbt_mm.language.options import disagreements
from lbbt_mm.models.backbones import LLMBackbone
from tests.closeness import assert_close
from tests.edited_checkpoints import edit_weights
from tests.tiny_checkpoints import NUM_BLOCKS, build_model, config_of, copied_block
from tests.tiny_detection import REPO

#: OPT-350M's kind: norms after each residual sum, words embedded in half the width, no final norm
POST_NORM = dict(do_layer_norm_before=False, word_embed_proj_dim=16)


@pytest.fixture
def post_norm(tmp_path):
    """A model of OPT-350M's kind, and the folder that it is saved in."""
    model = build_model('opt', **POST_NORM)
    model.save_pretrained(tmp_path / 'post')
    return model, tmp_path / 'post'


def backbone_of(folder, **options):
    options = {**dict(img_size=16, patch_size=4, position='language', attention='causal', out_type='raw'), **options}
    backbone = LLMBackbone(dict(checkpoint=str(folder)), **options)
    backbone.init_weights()
    return backbone.eval()


def test_opt_is_a_plain_layernorm_block_without_rotary():
    spec = read_spec(dict(model_type='opt', hidden_size=2048, num_attention_heads=32, num_hidden_layers=24, ffn_dim=8192))
    block = spec.block
    assert (block.embed_dims, block.num_heads, block.head_dims, block.ffn_dims) == (2048, 32, 64, 8192)
    assert (block.norm, block.norm_order, block.activation) == ('layer', 'pre', 'relu')
    assert not block.gated and block.rotary is None
    assert block.qkv_bias and block.proj_bias and block.ffn_bias and block.attn_scale is None and block.norm_eps == 1e-5
    assert spec.num_positions == 2048 and spec.has_final_norm


def test_opt_350m_alone_has_its_norms_behind_and_no_final_one():
    specs = {path.stem: read_spec(Config.fromfile(path).language.config)
             for path in (REPO / 'configs' / '_base_' / 'language').glob('opt_*.py')}
    assert len(specs) == 4 and all(spec.initializer_range == 0.02 for spec in specs.values())
    for name, spec in specs.items():
        assert (spec.block.norm_order, spec.has_final_norm) == (('post', False) if name == 'opt_350m' else ('pre', True))


@torch.no_grad()
def test_a_post_norm_model_is_transformers_from_words_to_output(post_norm):
    """Through the backbone: positions from the third row of the table on, and no norm behind the last block."""
    model, folder = post_norm
    backbone = backbone_of(folder, final_norm=None)
    assert [block.norm for block in backbone.blocks] == ['post'] * NUM_BLOCKS
    words = torch.randn(2, 16, 16)
    decoder = model.model.decoder
    ours = backbone.run(decoder.project_in(words) + backbone.pos_embed)[NUM_BLOCKS - 1]
    expected = decoder(inputs_embeds=words).last_hidden_state
    assert_close(decoder.project_out(ours), expected, depth=NUM_BLOCKS)


@torch.no_grad()
def test_the_other_order_is_another_function_that_has_to_be_asked_for(post_norm):
    checkpoint, x = open_checkpoint(post_norm[1]), torch.randn(1, 5, 32)
    own, post, pre = (copied_block(checkpoint, 0, **options)(x) for options in ({}, dict(norm='post'), dict(norm='pre')))
    assert torch.equal(own, post) and not torch.allclose(own, pre)


def test_a_config_of_the_other_order_disagrees_with_the_checkpoint(post_norm, folders):
    written = read_spec(config_of('opt'))
    assert disagreements(written, open_checkpoint(folders['opt']).spec) == []
    assert disagreements(written, open_checkpoint(post_norm[1]).spec) == [
        "norm_order 'pre' in the config, 'post' in the checkpoint"]


def test_positions_begin_behind_the_rows_of_the_padding(folders):
    table = load_file(folders['opt'] / 'model.safetensors')['model.decoder.embed_positions.weight']
    assert table.shape == (66, 32)
    read = open_checkpoint(folders['opt']).read_block('position_table')
    assert torch.equal(read['embed_positions.weight'], table[2:])
    assert torch.equal(backbone_of(folders['opt']).pos_embed[0], table[2:18])


def test_a_table_of_another_length_shows_the_length_that_is_stored(folders, tmp_path):
    build_model('opt').save_pretrained(tmp_path)
    edit_weights(tmp_path, lambda tensors: tensors.update({'model.decoder.embed_positions.weight': torch.ones(64, 32)}))
    with pytest.raises(CheckpointError, match=r'embed_positions.weight. has shape \(64, 32\); the config says \(66, 32\)'):
        open_checkpoint(tmp_path).read_block('position_table')


@pytest.mark.parametrize('arm', ['random', 'shuffled', 'moment_matched'])
def test_arms_have_as_many_positions_as_the_model(arm, folders):
    backbone = LLMBackbone(dict(checkpoint=str(folders['opt']), arm=arm), img_size=32, patch_size=4, position='language')
    backbone.init_weights()
    rows = load_file(folders['opt'] / 'model.safetensors')['model.decoder.embed_positions.weight'][2:]
    assert backbone.pos_embed.shape == (1, 64, 32)
    if arm == 'shuffled':
        assert torch.equal(backbone.pos_embed.flatten().sort().values, rows.flatten().sort().values)
    with pytest.raises(ValueError, match="with 81 tokens, but the language model's table has 64 positions"):
        LLMBackbone(dict(config=config_of('opt')), img_size=36, patch_size=4, position='language')


@pytest.mark.parametrize('fields', [POST_NORM, dict(_remove_final_layer_norm=True)])
def test_a_final_norm_that_the_model_does_not_have(fields, tmp_path):
    build_model('opt', **fields).save_pretrained(tmp_path)
    assert open_checkpoint(tmp_path).read_block('final_norm') == {}
    with pytest.raises(ValueError, match="LLMBackbone: final_norm='language', but this opt model has no norm behind its "
                                         'last block. Choose another final_norm'):
        backbone_of(tmp_path, final_norm='language')


def test_the_final_norm_is_not_that_of_a_block(folders):
    norm = backbone_of(folders['opt'], final_norm='language').norm
    tensors = load_file(folders['opt'] / 'model.safetensors')
    assert torch.equal(norm.weight, tensors['model.decoder.final_layer_norm.weight'])
    assert torch.equal(norm.bias, tensors['model.decoder.final_layer_norm.bias'])


def test_the_opt_in_a_blip_2_is_found(folders, tmp_path):
    build_model('opt').save_pretrained(tmp_path)
    tensors = load_file(tmp_path / 'model.safetensors')
    save_file({f'language_model.{name}': tensor for name, tensor in tensors.items()}, tmp_path / 'model.safetensors')
    read = open_checkpoint(tmp_path).read_block(0)
    assert torch.equal(read['layers.0.fc1.weight'], tensors['model.decoder.layers.0.fc1.weight'])


@pytest.mark.parametrize('fields, message', [
    (dict(hidden_size=30), 'width 30 does not divide into 4 heads. Correct hidden_size or num_attention_heads'),
    (dict(layer_norm_elementwise_affine=False), 'layer_norm_elementwise_affine=False is not supported'),
    (dict(do_layer_norm_before='false'), "do_layer_norm_before='false'; expected True or False"),
    (dict(enable_bias=1), 'qkv_bias=1; expected True or False'),
    (dict(init_std=-1), 'language.config: init_std=-1; expected a standard deviation'),
])
def test_fields_that_no_block_can_have(fields, message):
    with pytest.raises(CheckpointError, match=message):
        read_spec(config_of('opt', **fields))


def test_its_own_words_for_what_is_left_out_and_what_differs():
    config = config_of('opt')
    del config['ffn_dim']
    with pytest.raises(ValueError, match='language.config has no ffn_dim, .* expected the sizes of a opt model'):
        LanguageOptions.from_dict(dict(config=config))
    config = config_of('opt')
    del config['init_std']
    with pytest.raises(ValueError, match='does not state init_std, the standard deviation'):
        LanguageOptions.from_dict(dict(config=config, arm='random')).drawn_spec()
    with pytest.raises(ValueError, match="the language model's own init_std is 0.02"):
        LanguageOptions.from_dict(dict(config=config_of('opt'), arm='random', init_std=0.04))
    assert disagreements(read_spec(config_of('opt', init_std=0.04)), read_spec(config_of('opt'))) == [
        'init_std 0.04 in the config, 0.02 in the checkpoint']


@torch.no_grad()
def test_logits_are_transformers_with_the_final_norm(folders):
    model = AutoModelForCausalLM.from_pretrained(folders['opt']).eval()
    backbone, tokens = backbone_of(folders['opt'], final_norm='language'), torch.randint(3, 50, (2, 16))
    x = backbone.run(model.model.decoder.embed_tokens(tokens) + backbone.pos_embed)[NUM_BLOCKS - 1]
    assert_close(model.lm_head(backbone.norm(x)), model(tokens).logits, depth=NUM_BLOCKS + 1)
