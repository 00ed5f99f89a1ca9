"""Bits per byte of a text: transformers' own logits, written out."""
import math

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, BertConfig, BertModel

from lbbt_mm.language import CheckpointError
from lbbt_mm.language.language_loss import _Decoder, _GGUFDecoder, _Read, _windows, language_loss
from lbbt_mm.language.text_files import TextFiles
from tests.tiny_checkpoints import CONFIGS, build_model
from tests.tiny_tokenizer import WORDS, write_tokenizer

TEXT = 'the red cat sits here a blue dog runs there now the green bird stands'


@pytest.fixture
def folder(tmp_path):
    def write(name='llama', **options):
        build_model(name).save_pretrained(tmp_path / name)
        return str(write_tokenizer(tmp_path / name, **options))
    return write


def tokens_of(text):
    return list(map(WORDS.index, text.split()))


@torch.no_grad()
def surprise(location, inputs, count):
    """Bits of the last tokens of a sequence, by transformers' logits."""
    model = AutoModelForCausalLM.from_pretrained(location).eval()
    chances = model(torch.tensor([inputs])).logits[0].double().log_softmax(-1)
    places = range(len(inputs) - count, len(inputs))
    return -sum(chances[place - 1, inputs[place]].item() for place in places) / math.log(2)


@pytest.mark.parametrize('name', CONFIGS)
def test_bits_of_a_text_over_its_bytes(folder, name):
    """A tokenizer that puts nothing in front still has a token for the beginning, which the first word is predicted from."""
    location, tokens = folder(name), tokens_of(TEXT)
    found = language_loss(location, TEXT)
    assert found.tokens == len(tokens) == 15 and found.bytes == len(TEXT) and found.unknown == 0
    assert found.bits_per_byte == pytest.approx(surprise(location, [0, *tokens], 15) / len(TEXT), rel=1e-5)


@pytest.mark.parametrize('bos', [None, '[BOS]'])
def test_windows_overlap_by_half(folder, bos):
    """With a context of 6, tokens 0 to 5 are read at once, and then two or three at a time."""
    location, tokens = folder(bos=bos), tokens_of(TEXT)
    front = [0] if bos else []
    bits, done = surprise(location, [0, *tokens[:6]], 6), 6
    room = 6 - len(front)
    while done < len(tokens):
        end = min(done + room // 2, len(tokens))
        bits += surprise(location, [*front, *tokens[end - 1 - room:end]], end - done)
        done = end
    found = language_loss(location, TEXT, context=6)
    assert found.context == 6 and found.bits_per_byte == pytest.approx(bits / len(TEXT), rel=1e-5)


@pytest.mark.parametrize('front', [[], [0]])
@pytest.mark.parametrize('count', [1, 2, 7, 8, 9, 40])
def test_each_token_is_predicted_once_from_those_before_it(front, count):
    tokens, seen = list(range(100, 100 + count)), []
    for inputs, targets in _windows(_Read(tokens, 1, [0], front), 8):
        assert len(inputs) <= 8 and len(targets) <= len(inputs)
        for place, target in enumerate(targets, len(inputs) - len(targets)):
            before = inputs[place]
            assert before == target - 1 or (target == 100 and before == 0)
        first = len(inputs) - len(targets) + 1
        assert 100 in inputs or targets[0] == 100 or first >= 4, 'half a window'
        seen += targets
    assert seen == tokens


def test_the_context_is_as_long_as_the_model_has_positions(folder):
    found = language_loss(folder('gpt2'), 'cat ' * 100, context=512)
    assert found.context == 64 and found.tokens == 100


def test_bytes_are_those_of_utf8_and_unknown_words_are_counted(folder):
    found = language_loss(folder(), 'a cat größer 猫')
    assert found.bytes == len('a cat größer 猫'.encode()) > 14 and found.unknown == 2


@torch.no_grad()
@pytest.mark.parametrize('name', ['gpt2', 'llama', 'qwen3'])
def test_the_head_of_a_gguf_file(name, folders, gguf_files):
    """Of its own, or the embedding where a model ties them."""
    if name not in CONFIGS:
        pytest.skip('not in the installed transformers')
    tokens = torch.tensor([[3, 20, 7, 41]])
    expected = AutoModelForCausalLM.from_pretrained(folders[name]).eval()(tokens).logits
    found = _GGUFDecoder(TextFiles('tiny', [gguf_files[name]], gguf_files[name], {})).eval()(tokens)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_a_text_has_no_loss_under_an_encoder(tmp_path):
    """transformers would give it a head for the next token, with weights drawn at random."""
    torch.manual_seed(0)
    config = BertConfig(vocab_size=50, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
                        max_position_embeddings=64, initializer_range=0.5)
    BertModel(config, add_pooling_layer=False).save_pretrained(tmp_path)
    assert language_loss(str(write_tokenizer(tmp_path)), TEXT) is None
    assert _Decoder(build_model('llama')).is_causal()


def test_a_decoder_whose_head_is_missing(folder):
    location = folder()
    path = f'{location}/model.safetensors'
    state = {name: tensor for name, tensor in load_file(path).items() if 'lm_head' not in name}
    save_file(state, path, dict(format='pt'))
    with pytest.raises(CheckpointError, match="1 tensors of a .* are missing .* 'lm_head.weight'"):
        language_loss(location, TEXT)


def test_a_text_without_a_token(folder):
    with pytest.raises(ValueError, match='0 tokens to be predicted'):
        language_loss(folder(), ' ')


def test_a_tokenizer_of_another_model(folder):
    with pytest.raises(CheckpointError, match='gives token 55, and the model has 50'):
        language_loss(folder(more=9), f'cat more{55 - len(WORDS)}')


def test_a_context_of_one(folder):
    with pytest.raises(ValueError, match='context 1: expected 2'):
        language_loss('nowhere', TEXT, context=1)


@pytest.mark.slow
def test_a_real_model_predicts_english_better_than_nonsense(smollm2):
    english = 'The cat sat on the mat, looked out of the window and saw a small bird in the tree behind the house.'
    found, shuffled = language_loss(str(smollm2), english), language_loss(str(smollm2), english[::-1])
    assert 0.5 < found.bits_per_byte < 1.5 < shuffled.bits_per_byte
