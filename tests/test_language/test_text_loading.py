"""Loading transformers' own models: nothing drawn anew, nothing said, errors in one line."""
import logging

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoTokenizer, BertConfig, BertModel
from transformers.utils import logging as hf_logging

from lbbt_mm.language import CheckpointError
from lbbt_mm.language.text_files import TextFiles, find_text_model
from lbbt_mm.language.text_loading import load_folder, load_gguf, load_tokenizer, missing_tensors, quiet_transformers
from tests.tiny_checkpoints import build_model
from tests.tiny_tokenizer import write_tokenizer


@pytest.fixture
def bert(tmp_path):
    """Writes an encoder, with or without a pooler; its files."""
    def write(pooler):
        torch.manual_seed(0)
        config = BertConfig(vocab_size=50, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64)
        BertModel(config, add_pooling_layer=pooler).save_pretrained(tmp_path / 'bert')
        return find_text_model(str(write_tokenizer(tmp_path / 'bert')))
    return write


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_weights_are_the_file_s_in_the_type_that_is_asked_for(tmp_path, dtype):
    build_model('gpt2').save_pretrained(tmp_path / 'gpt2')
    model = load_folder(find_text_model(str(write_tokenizer(tmp_path / 'gpt2'))), dtype)
    stored = load_file(tmp_path / 'gpt2' / 'model.safetensors')
    assert torch.equal(model.h[1].mlp.c_fc.weight, stored['transformer.h.1.mlp.c_fc.weight'].to(dtype))
    assert {parameter.dtype for parameter in model.parameters()} == {dtype}


@pytest.mark.parametrize('pooler', [True, False])
def test_an_encoder_that_was_trained_without_a_pooler_has_none(bert, pooler):
    model = load_folder(bert(pooler), torch.float32)
    assert (model.pooler is not None) == pooler
    assert torch.isfinite(model(torch.tensor([[1, 2]])).last_hidden_state).all()


def test_a_pooler_is_not_left_out_beside_other_tensors(bert):
    files = bert(False)
    path = files.folder / 'model.safetensors'
    tensors = load_file(path)
    tensors.pop('encoder.layer.1.output.dense.weight')
    save_file(tensors, path, metadata=dict(format='pt'))
    with pytest.raises(CheckpointError, match="bert: 3 tensors of a bert model .*first is 'encoder.layer.1.output.dense.w"):
        load_folder(files, torch.float32)


@pytest.mark.parametrize('missing, mismatched, expected', [
    (['b', 'a'], [('c', (1, ), (2, ))], ['a', 'b']), ([], [('c', (1, ), (2, ))], ['c']), ([], [], [])])
def test_missing_tensors_come_before_those_of_another_shape(missing, mismatched, expected):
    assert missing_tensors(dict(missing_keys=missing, mismatched_keys=mismatched, unexpected_keys=['d'])) == expected


@pytest.mark.parametrize('metadata, special', [({}, True), ({'tokenizer.ggml.add_bos_token': False}, False),
                                               ({'tokenizer.ggml.add_bos_token': True}, True)])
def test_a_gguf_file_says_whether_a_token_goes_in_front(tmp_path, monkeypatch, metadata, special):
    monkeypatch.setattr(AutoTokenizer, 'from_pretrained', lambda folder, **options: (folder, options))
    found = load_tokenizer(TextFiles('x', [tmp_path / 'x.gguf'], tmp_path / 'x.gguf', metadata))
    assert found == ((tmp_path, dict(gguf_file='x.gguf', local_files_only=True, trust_remote_code=False)), special)


def test_the_words_of_a_gguf_file_are_as_many_as_it_has(folders, gguf_files):
    """Its head does not say how many."""
    files = TextFiles('tiny', [gguf_files['gpt2']], gguf_files['gpt2'], {})
    model = load_gguf(files)
    expected = AutoModel.from_pretrained(folders['gpt2']).get_input_embeddings().weight
    torch.testing.assert_close(model.get_input_embeddings().weight, expected)


@pytest.mark.parametrize('raised', [CheckpointError('ours'), MemoryError('no room'), KeyboardInterrupt()])
def test_what_transformers_does_not_raise_itself_goes_on(raised):
    with pytest.raises(type(raised)) as error, quiet_transformers('x'):
        raise raised
    assert error.value is raised


@pytest.mark.parametrize('raised, says', [
    (OSError('two\n  lines'), r'x: transformers does not load its model or tokenizer \(OSError: two lines\). Correct its'),
    (KeyError(), r'\(KeyError: KeyError\)'), (ValueError('long' * 200), r'\(ValueError: (long){75}\)')])
def test_what_it_raises_is_one_line(raised, says):
    with pytest.raises(CheckpointError, match=says), quiet_transformers('x'):
        raise raised


def test_it_says_nothing_meanwhile_and_all_again_behind(capfd):
    before = hf_logging.get_verbosity()
    hf_logging.set_verbosity(logging.WARNING)
    hf_logging.enable_progress_bar()
    try:
        with pytest.raises(CheckpointError), quiet_transformers('x'):
            hf_logging.get_logger('transformers.x').warning('said')
            assert not hf_logging.is_progress_bar_enabled()
            raise OSError
        assert hf_logging.get_verbosity() == logging.WARNING and hf_logging.is_progress_bar_enabled()
        hf_logging.disable_progress_bar()
        with quiet_transformers('x'):
            pass
        assert not hf_logging.is_progress_bar_enabled()
    finally:
        hf_logging.set_verbosity(before)
        hf_logging.enable_progress_bar()
    assert 'said' not in ''.join(capfd.readouterr())
