"""Features of texts: transformers' own, one text at a time without padding; neither batch nor padding counts."""
import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, BertConfig, BertModel

from lbbt_mm.language import CheckpointError
from lbbt_mm.language.text_encoder import TextEncoder
from tests.tiny_checkpoints import CONFIGS, build_model, hf_blocks
from tests.tiny_tokenizer import WORDS, write_tokenizer

TEXTS = ['a red cat', 'the blue dog runs there now', 'bird', 'a photo of the green bird', 'a cat', 'the red bird sits here']


@pytest.fixture
def folder(tmp_path):
    def write(name='llama', **options):
        build_model(name).save_pretrained(tmp_path / name)
        return str(write_tokenizer(tmp_path / name, **options))
    return write


@pytest.fixture
def encoder_folder(tmp_path):
    """A tiny BERT; its tokenizer puts a token in front, as that of a real one does."""
    torch.manual_seed(0)
    config = BertConfig(vocab_size=50, hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=64,
                        max_position_embeddings=64, initializer_range=0.5)
    BertModel(config, add_pooling_layer=False).save_pretrained(tmp_path / 'bert')
    return str(write_tokenizer(tmp_path / 'bert', bos='[BOS]'))


def tokens_of(text, bos=False):
    return torch.tensor([[*([0] if bos else []), *map(WORDS.index, text.split())]])


@torch.no_grad()
def written_out(location, layer, pool, texts=TEXTS, bos=False):
    """Features of each text by itself."""
    model, kept = AutoModel.from_pretrained(location).eval(), []
    if layer >= 0:
        blocks = model.encoder.layer if hasattr(model, 'encoder') else hf_blocks(model)
        blocks[layer].register_forward_hook(
            lambda block, args, output: kept.append(output[0] if isinstance(output, tuple) else output))
    else:
        model.register_forward_hook(lambda module, args, output: kept.append(output.last_hidden_state))
    for text in texts:
        model(input_ids=tokens_of(text, bos))
    return torch.stack([pool(states[0]) for states in kept])


def last(states):
    return states[-1]


def mean(states):
    return states.mean(0)


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('name', CONFIGS)
@pytest.mark.parametrize('layer, pooling, pool', [(-1, 'last', last), (-1, 'mean', mean), (1, 'last', last)])
def test_features_of_decoders_are_those_of_each_text_alone(folder, name, layer, pooling, pool):
    location = folder(name)
    encoder = TextEncoder(location, layer, pooling)
    expected = written_out(location, layer, pool)
    assert encoder.width == expected.shape[1]
    for batch_tokens in (1, 12, 1000):
        found = encoder.features(TEXTS, batch_tokens)
        assert found.dtype == torch.float32
        close(found, expected)


@pytest.mark.parametrize('layer', [-1, 0, 2])
@pytest.mark.parametrize('pooling, pool', [('first', lambda states: states[0]), ('mean', mean)])
def test_features_of_encoders_are_those_of_each_text_alone(encoder_folder, layer, pooling, pool):
    expected = written_out(encoder_folder, layer, pool, bos=True)
    for batch_tokens in (1, 1000):
        close(TextEncoder(encoder_folder, layer, pooling).features(TEXTS, batch_tokens), expected)


def test_company_and_order_of_texts_do_not_count(folder):
    encoder = TextEncoder(folder('gpt2'))
    together = encoder.features(TEXTS, 1000)
    close(encoder.features(TEXTS[::-1], 15), together.flip(0))
    close(torch.cat([encoder.features([text]) for text in TEXTS]), together)


def test_the_same_call_gives_the_same_bits(folder):
    encoder = TextEncoder(folder())
    assert torch.equal(encoder.features(TEXTS, 12), encoder.features(TEXTS, 12))


def test_layers_are_counted_from_both_ends(folder):
    location = folder()
    second = TextEncoder(location, 2)
    assert TextEncoder(location, -2).identity == second.identity and second.identity['layer'] == 2
    assert torch.equal(TextEncoder(location, -2).features(TEXTS), second.features(TEXTS))
    block, whole = TextEncoder(location, 3).features(TEXTS), TextEncoder(location).features(TEXTS)
    close(AutoModel.from_pretrained(location).norm(block), whole)


def test_blocks_behind_the_layer_are_not_computed(folder):
    encoder = TextEncoder(folder(), 1)
    ran = []
    for index, block in enumerate(encoder._model._blocks):
        block.register_forward_hook(lambda block, args, output, index=index: ran.append(index))
    encoder.features(['a cat'])
    assert 2 not in ran and 3 not in ran


def test_half_precision(folder):
    location = folder()
    encoder = TextEncoder(location, dtype='bfloat16')
    assert encoder._model._model.dtype == torch.bfloat16 and encoder.identity['dtype'] == 'bfloat16'
    found, plain = encoder.features(TEXTS), TextEncoder(location).features(TEXTS)
    assert found.dtype == torch.float32 and not torch.equal(found, plain)
    assert torch.nn.functional.cosine_similarity(found, plain).min() > 0.99


def test_a_long_text_is_cut(folder):
    encoder = TextEncoder(folder('gpt2'))
    text = ' '.join(WORDS[2 + number % 40] for number in range(100))
    close(encoder.features([text]), encoder.features([' '.join(text.split()[:64])]))


def test_a_text_is_cut_where_the_tokenizer_says_if_that_is_sooner(encoder_folder):
    path = f'{encoder_folder}/tokenizer_config.json'
    with open(path, encoding='utf-8') as file:
        config = json.load(file)
    with open(path, 'w', encoding='utf-8') as file:
        json.dump({**config, 'model_max_length': 6}, file)
    assert [len(found) for found in TextEncoder(encoder_folder, pooling='mean').tokens(['cat ' * 9, 'cat'])] == [6, 2]


def test_a_model_is_known_by_its_content(folder, tmp_path):
    location = folder()
    identity = TextEncoder(location).identity
    assert identity['model'] == 'llama' and set(identity) == {'model', 'revision', 'layer', 'pooling', 'dtype'}
    shutil.copytree(location, tmp_path / 'elsewhere' / 'llama')
    assert TextEncoder(str(tmp_path / 'elsewhere' / 'llama')).identity == identity
    for file, change in ((f'{location}/model.safetensors', negate), (f'{location}/tokenizer.json', rename_a_word)):
        change(file)
        changed = TextEncoder(location).identity
        assert changed['revision'] != identity['revision']
        identity = changed


def negate(path):
    tensors = load_file(path)
    tensors['embed_tokens.weight' if 'embed_tokens.weight' in tensors else 'model.embed_tokens.weight'].neg_()
    save_file(tensors, path, metadata=dict(format='pt'))


def rename_a_word(path):
    with open(path, encoding='utf-8') as file:
        text = file.read()
    with open(path, 'w', encoding='utf-8') as file:
        file.write(text.replace('"cat"', '"hat"'))


def test_a_model_of_the_hub_is_known_by_its_commit(folder, tmp_path, monkeypatch):
    from lbbt_mm.language import text_files
    commit = '0123456789abcdef' * 2 + '01234567'
    snapshot = tmp_path / 'models--owner--name' / 'snapshots' / commit
    shutil.copytree(folder(), snapshot)
    found = text_files.find_text_model(str(snapshot))._replace(location='owner/name')
    monkeypatch.setattr('lbbt_mm.language.text_encoder.find_text_model', lambda location, revision: found)
    identity = TextEncoder('owner/name').identity
    assert (identity['model'], identity['revision']) == ('owner/name', commit)


@pytest.mark.parametrize('options, says', [
    (dict(layer=4), 'layer 4; expected the number of one of its 4 blocks, 0 to 3, or -1'),
    (dict(layer=-5), 'layer -5; expected'),
    (dict(pooling='max'), "pooling='max'; expected one of 'auto', 'last', 'mean', 'first'"),
    (dict(dtype='float16'), "dtype='float16'; expected one of 'float32', 'bfloat16'"),
    (dict(pooling='first'), 'is a decoder, whose first token has seen no other; expected pooling last or mean')])
def test_what_a_model_does_not_have(folder, options, says):
    with pytest.raises(ValueError, match=says):
        TextEncoder(folder(), **options)


def test_the_last_token_of_an_encoder(encoder_folder):
    with pytest.raises(ValueError, match='is an encoder, whose last token stands for nothing; expected pooling first'):
        TextEncoder(encoder_folder)


def test_the_pooling_that_suits_a_model(folder, encoder_folder):
    found = [TextEncoder(location, pooling='auto') for location in (folder(), encoder_folder)]
    assert [(encoder.is_causal, encoder.identity['pooling']) for encoder in found] == [(True, 'last'), (False, 'mean')]


def test_an_empty_text(folder):
    encoder = TextEncoder(folder(bos='[BOS]'))
    with pytest.raises(ValueError, match='text 1 of 3 is empty'):
        encoder.features(['a cat', ' \n', 'cat'])
    assert encoder.features([]).shape == (0, 32)


def test_features_that_are_no_numbers(folder):
    location = folder()
    path = f'{location}/model.safetensors'
    tensors = load_file(path)
    name = next(name for name in tensors if name.endswith('embed_tokens.weight'))
    tensors[name][WORDS.index('dog')] = float('nan')
    save_file(tensors, path, metadata=dict(format='pt'))
    encoder = TextEncoder(location)
    assert torch.isfinite(encoder.features(['a cat'])).all()
    with pytest.raises(CheckpointError, match="the features of the text 'the blue dog runs there now' are not finite"):
        encoder.features(TEXTS)


def test_progress_is_over_the_batches(folder):
    seen = []
    TextEncoder(folder()).features(TEXTS, 12, lambda batches: (seen.append(batch) or batch for batch in batches))
    assert sorted(index for indices, _ in seen for index in indices) == [0, 1, 2, 3, 4, 5] and len(seen) > 1


def test_half_precision_does_not_make_an_encoder_of_a_decoder(folder, encoder_folder):
    assert TextEncoder(folder(), dtype='bfloat16').is_causal
    assert not TextEncoder(encoder_folder, pooling='mean', dtype='bfloat16').is_causal


@pytest.mark.slow
def test_company_does_not_count_with_a_real_model(smollm2):
    encoder = TextEncoder(str(smollm2))
    texts = ['a dog', 'a photo of a puppy that sits on a red sofa', '一只猫', 'grapes: fruit, food, and many other words']
    together, alone = encoder.features(texts, 1000), torch.cat([encoder.features([text]) for text in texts])
    assert encoder.is_causal and encoder.width == 576
    assert float((together - alone).abs().max()) < 1e-4 * float(alone.std())
