"""What blocks give for texts: transformers' own hidden states, one text at a time, the mean over its tokens."""
import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel

from lbbt_mm.language import CheckpointError
from lbbt_mm.language.text_files import TextFiles, find_text_model
from lbbt_mm.language.text_loading import load_gguf
from lbbt_mm.language.text_model import TextModel
from tests.tiny_checkpoints import CONFIGS, build_model, write_gguf
from tests.tiny_tokenizer import WORDS, write_tokenizer

TEXTS = ['a red cat', 'the blue dog runs there now', 'bird', 'a photo of the green bird', 'a cat']


@pytest.fixture
def folder(tmp_path):
    def write(name='llama', **options):
        build_model(name).save_pretrained(tmp_path / name)
        return write_tokenizer(tmp_path / name, **options)
    return write


def opened(folder):
    return TextModel(find_text_model(str(folder)))


def read(folder, texts=TEXTS, **options):
    model = opened(folder)
    return model.read(model.encode(texts), **options)


@torch.no_grad()
def written_out(folder, texts=TEXTS, bos=False):
    """Hidden states of each text by itself, ``(states, N, C)``; the last is behind the final norm."""
    model = AutoModel.from_pretrained(folder).eval()
    tokens = [[*([0] if bos else []), *map(WORDS.index, text.split())] for text in texts]
    states = [model(input_ids=torch.tensor([found]), output_hidden_states=True).hidden_states for found in tokens]
    return torch.stack([torch.stack([state[0].mean(0) for state in of_text]) for of_text in states], dim=1)


@pytest.mark.parametrize('name', CONFIGS)
def test_features_are_the_means_of_hidden_states(folder, name):
    """Neither padding nor the other texts of a batch count."""
    path = folder(name)
    expected = written_out(path)
    for batch_size in (2, 5):
        found = read(path, batch_size=batch_size, last='normed')
        assert found.shape == (4, 5, 32) and found.dtype == torch.float32
        torch.testing.assert_close(found, expected[1:], rtol=1e-4, atol=1e-5)


def test_the_last_block_is_as_the_others_or_behind_the_final_norm(folder):
    path = folder()
    plain, normed = read(path), read(path, last='normed')
    assert torch.equal(plain[:-1], normed[:-1]) and not torch.allclose(plain[-1], normed[-1], atol=0.1)
    one = read(path, ['bird'])[-1]
    torch.testing.assert_close(AutoModel.from_pretrained(path).norm(one), read(path, ['bird'], last='normed')[-1],
                               rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('bos', [None, '[BOS]'])
def test_the_token_in_front_counts(folder, bos):
    path = folder(bos=bos)
    model = opened(path)
    tokens = model.encode(TEXTS)
    assert model.first_token(tokens) == (bos or '') and len(tokens[2]) == (2 if bos else 1)
    torch.testing.assert_close(model.read(tokens, last='normed'), written_out(path, bos=bool(bos))[1:],
                               rtol=1e-4, atol=1e-5)
    assert opened(path).first_token(model.encode(['cat', 'cat'])) == (bos or ''), 'a word is no special token'


def test_progress_is_over_the_batches(folder):
    seen = []
    read(folder(), batch_size=2, track=lambda batches: (seen.append(batch) or batch for batch in batches))
    assert [len(batch) for batch in seen] == [2, 2, 1]


def test_the_weights_may_be_of_another_type(folder, tmp_path):
    path = folder()
    plain = read(path)
    AutoModel.from_pretrained(path).to(torch.bfloat16).save_pretrained(path)
    assert opened(path)._model.dtype == torch.float32
    torch.testing.assert_close(read(path), plain, rtol=0.1, atol=0.1)


@torch.no_grad()
@pytest.mark.parametrize('name', ['gpt2', 'llama', 'qwen2', 'qwen3'])
def test_a_gguf_file_is_the_model_in_it(name, folders, gguf_files):
    if name not in CONFIGS:
        pytest.skip('not in the installed transformers')
    model = load_gguf(TextFiles('tiny', [gguf_files[name]], gguf_files[name], {})).eval()
    tokens = torch.tensor([[3, 20, 7, 41]])
    expected = AutoModel.from_pretrained(folders[name]).eval()(tokens).last_hidden_state
    torch.testing.assert_close(model(tokens).last_hidden_state, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_a_real_gguf_file_with_its_tokenizer(smollm2):
    model = opened(smollm2)
    texts = ['a photo of a dog', 'a photo of a puppy', 'a photo of a red lorry in the rain']
    tokens = model.encode(texts)
    assert model._tokenizer.convert_ids_to_tokens(tokens[0]) == ['a', 'Ġphoto', 'Ġof', 'Ġa', 'Ġdog']
    assert model.first_token(tokens) == '', 'the file says that no token is put in front'
    found = model.read(tokens)
    assert model.num_parameters == 134_515_008 and found.shape == (30, 3, 576)
    near, far = ((found[20, 0] - found[20, other]).norm() for other in (1, 2))
    assert near < far


def test_no_code_of_a_checkpoint_is_run(folder, tmp_path, monkeypatch):
    path, trace = folder(), tmp_path / 'trace'
    config = json.loads((path / 'config.json').read_text())
    for name in ('modeling_evil.py', 'tokenization_evil.py'):
        (path / name).write_text(f'import os\nos.mkdir({str(trace)!r})\n')
    auto = dict(AutoConfig='modeling_evil.Evil', AutoModel='modeling_evil.Evil')
    (path / 'config.json').write_text(json.dumps({**config, 'model_type': 'evil', 'auto_map': auto}))
    monkeypatch.setattr('builtins.input', lambda *args: 'y')  # transformers would ask
    with pytest.raises(CheckpointError, match='transformers does not load its model or tokenizer'):
        opened(path)
    (path / 'config.json').write_text(json.dumps(config))
    tokenizer = json.loads((path / 'tokenizer_config.json').read_text())
    tokenizer.update(tokenizer_class='EvilTokenizer', auto_map=dict(AutoTokenizer=['tokenization_evil.Evil', None]))
    (path / 'tokenizer_config.json').write_text(json.dumps(tokenizer))
    try:
        opened(path)
    except CheckpointError:
        pass
    assert not os.path.exists(trace)


def edited(path: Path, change) -> Path:
    tensors = load_file(path / 'model.safetensors')
    change(tensors)
    save_file(tensors, path / 'model.safetensors', metadata=dict(format='pt'))
    return path


def test_weights_that_are_missing_are_not_drawn_anew(folder):
    path = edited(folder(), lambda tensors: tensors.pop('model.layers.2.mlp.up_proj.weight'))
    with pytest.raises(CheckpointError, match='1 tensors of a llama model .* are missing .*layers.2.mlp.up_proj.weight'):
        opened(path)


def test_features_that_are_no_numbers(folder):
    path = edited(folder(), lambda tensors: tensors['model.layers.2.mlp.up_proj.weight'].fill_(float('nan')))
    with pytest.raises(CheckpointError, match='llama: block 2 gives features that are not finite'):
        read(path)


def test_a_tokenizer_of_another_model(folder):
    model = opened(folder(more=3))
    with pytest.raises(CheckpointError, match='its tokenizer gives token 51, and the model has 50'):
        model.encode(['a cat', 'a more1'])


def test_a_text_without_tokens(folder):
    with pytest.raises(CheckpointError, match="its tokenizer makes no token of the text ' '"):
        opened(folder()).encode(['cat', ' '])


def test_long_texts_are_cut_at_the_last_position_and_that_is_said(folder, monkeypatch):
    said = []
    monkeypatch.setattr('lbbt_mm.language.text_model.print_log', lambda message, *where: said.append(message))
    model = opened(folder('gpt2'))
    assert [len(found) for found in model.encode(['cat ' * 64, 'cat'])] == [64, 1] and not said, 'just as long as may be'
    assert [len(found) for found in model.encode(['cat ' * 65, 'cat', 'cat ' * 100])] == [64, 1, 64]
    assert len(said) == 1 and '2 of 3 texts are longer than the 64 tokens' in said[0]


def test_frequency_factors_that_transformers_would_leave_out(tmp_path):
    scaling = dict(rope_type='llama3', factor=8., low_freq_factor=1., high_freq_factor=4.,
                   original_max_position_embeddings=32)
    path = write_gguf(tmp_path / 'tiny.gguf', build_model('llama', rope_scaling=scaling))
    with pytest.raises(CheckpointError, match='has frequency factors of rotary positions'):
        load_gguf(TextFiles('tiny', [path], path, {}))
