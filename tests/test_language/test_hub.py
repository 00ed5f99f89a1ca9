"""Files of the hub: only what is needed, all of one commit, each failure one clear error."""
import logging
import shutil
from pathlib import Path
from unittest import TestCase

import pytest
import torch

from lbbt_mm.language import CheckpointError, open_checkpoint
from lbbt_mm.language.hub import hub_fetcher


def test_a_token_that_the_hub_does_not_accept_is_the_named_cause(monkeypatch):
    import huggingface_hub
    import requests
    from huggingface_hub.errors import HfHubHTTPError
    response = requests.Response()
    response.status_code = 401

    def refuse(*args, **kwargs):
        raise HfHubHTTPError('401 Client Error', response=response)

    monkeypatch.setattr(huggingface_hub, 'hf_hub_download', refuse)
    with pytest.raises(CheckpointError, match='someone/model: the hub does not accept your token.*hf auth login'):
        open_checkpoint('someone/model')


HUB_ID = 'someone/tiny-gpt2'


def test_from_the_hub_only_the_shards_of_the_chosen_block_are_downloaded(local_hub, sharded_folders):
    folder = sharded_folders['gpt2']
    local_hub.add(HUB_ID, folder)
    checkpoint = open_checkpoint(HUB_ID)
    assert local_hub.downloads() == ['config.json']
    read = checkpoint.read_block(2)
    needed = open_checkpoint(folder).files_of_block(2)
    assert 0 < len(needed) < len(list(folder.glob('*.safetensors')))
    assert local_hub.downloads() == sorted(['config.json', 'model.safetensors.index.json', *needed])
    expected = open_checkpoint(folder).read_block(2)
    assert all(torch.equal(read[name], expected[name]) for name in expected)


def test_single_file_comes_from_the_hub(local_hub, folders):
    local_hub.add(HUB_ID, folders['llama'])
    assert len(open_checkpoint(HUB_ID).read_block(0)) == 9
    assert local_hub.downloads() == ['config.json', 'model.safetensors']


def test_gguf_file_comes_from_the_hub(local_hub, gguf_files):
    local_hub.add('someone/files', gguf_files['qwen3'].parent)
    assert open_checkpoint('someone/files/qwen3.gguf').spec.block.qk_norm
    assert local_hub.downloads() == ['qwen3.gguf']


def test_revision_reaches_the_hub(local_hub, folders, sharded_folders):
    local_hub.add(HUB_ID, folders['gpt2'])
    local_hub.add(HUB_ID, sharded_folders['gpt2'], revision='v2')
    open_checkpoint(HUB_ID, revision='v2').read_block(0)
    assert {revision for _, _, revision, _ in local_hub.requests} == {'v2', local_hub.commit(HUB_ID, 'v2')}
    assert 'model.safetensors.index.json' in local_hub.downloads()


def test_all_files_come_from_the_commit_that_the_config_came_from(local_hub, sharded_folders):
    local_hub.add(HUB_ID, sharded_folders['gpt2'])
    open_checkpoint(HUB_ID).read_block(0)
    revisions = [revision for _, _, revision, _ in local_hub.requests]
    assert revisions[0] == 'main' and set(revisions[2:]) == {local_hub.commit(HUB_ID, 'main')}


@pytest.mark.parametrize('form', ['single', 'sharded'])
def test_second_opening_works_without_a_network(local_hub, folders, sharded_folders, form):
    local_hub.add(HUB_ID, (folders if form == 'single' else sharded_folders)['gpt2'])
    expected = open_checkpoint(HUB_ID).read_block(1)
    local_hub.stop()
    read = open_checkpoint(HUB_ID).read_block(1)
    assert all(torch.equal(read[name], expected[name]) for name in expected)


def test_second_opening_asks_the_hub_for_its_commit_and_nothing_else(local_hub, folders):
    local_hub.add(HUB_ID, folders['gpt2'])
    open_checkpoint(HUB_ID).read_block(1)
    local_hub.requests.clear()
    open_checkpoint(HUB_ID).read_block(1)
    assert local_hub.requests == [('HEAD', HUB_ID, 'main', 'config.json')]


def test_without_a_network_what_another_program_cached_is_enough(local_hub, folders):
    from huggingface_hub import hf_hub_download
    local_hub.add(HUB_ID, folders['gpt2'])
    for file in ('config.json', 'model.safetensors'):  # as transformers does: it asks for no index
        hf_hub_download(HUB_ID, file)
    local_hub.stop()
    assert len(open_checkpoint(HUB_ID).read_block(0)) == 12


def test_shard_that_is_not_in_the_cache_needs_the_network(local_hub, sharded_folders):
    local_hub.add(HUB_ID, sharded_folders['gpt2'])
    open_checkpoint(HUB_ID).read_block(0)
    local_hub.stop()
    with pytest.raises(CheckpointError, match=r'\(model-0000.-of-0000..safetensors is missing\), and the hub cannot be '
                                              'reached'):
        open_checkpoint(HUB_ID).read_block(3)


def test_no_network_is_one_clear_error(local_hub):
    local_hub.stop()
    with pytest.raises(CheckpointError, match='someone/tiny-gpt2: neither a local path nor in the cache '
                                              r'\(config.json is missing\), and the hub cannot be reached \(.+\). '
                                              'Check the name and the network, or give language.checkpoint a '
                                              'folder') as raised:
        open_checkpoint(HUB_ID)
    assert raised.value.__cause__ is None, 'one error, not the chain of all that the http library tried'


@pytest.fixture
def waits(monkeypatch):
    """How often huggingface_hub waited before it asked again."""
    waits = []
    monkeypatch.setattr('huggingface_hub.utils._http.time.sleep', waits.append)
    return waits


def test_a_hub_that_does_not_answer_is_asked_for_one_file_and_said_once(local_hub, folders, waits, logged):
    local_hub.add(HUB_ID, folders['gpt2'])
    open_checkpoint(HUB_ID).read_block(0)
    local_hub.stop()
    for found in (True, False):
        waits.clear()
        logged.clear()
        fetch = hub_fetcher(HUB_ID)
        if found:
            assert fetch('config.json').is_file() and fetch('model.safetensors').is_file()
        for file in ('model.safetensors.index.json', 'pytorch_model.bin'):
            with pytest.raises((CheckpointError, FileNotFoundError)):
                fetch(file)
        assert len(waits) == 5
        assert logged == [f'{HUB_ID}: the hub does not answer; it is asked again for about half a minute.']


def test_what_it_failed_of_is_said_of_later_files_too(local_hub, folders, waits):
    local_hub.add(HUB_ID, folders['gpt2'])
    open_checkpoint(HUB_ID)
    local_hub.stop()
    fetch = hub_fetcher(HUB_ID)
    assert fetch('config.json').is_file()
    with pytest.raises(CheckpointError, match='hub cannot be reached .*Connection'):
        fetch('pytorch_model.bin')


def test_a_hub_that_answers_again_is_asked_on(local_hub, folders, waits):
    local_hub.add(HUB_ID, folders['gpt2'])
    local_hub.failures = 2
    fetch = hub_fetcher(HUB_ID)
    assert fetch('config.json').is_file() and len(waits) == 2
    assert fetch('model.safetensors').is_file()


@pytest.mark.parametrize('level', [logging.DEBUG, logging.WARNING])
def test_what_the_hub_s_library_says_besides_is_left_alone(local_hub, folders, monkeypatch, level):
    import huggingface_hub
    local_hub.add(HUB_ID, folders['gpt2'])
    download, logger = huggingface_hub.hf_hub_download, logging.getLogger('huggingface_hub.utils._http')

    def talks(*args, **kwargs):
        logger.log(level, 'You are sending unauthenticated requests')
        return download(*args, **kwargs)

    monkeypatch.setattr(huggingface_hub, 'hf_hub_download', talks)
    with TestCase().assertLogs(logger, logging.DEBUG) as said:
        fetch = hub_fetcher(HUB_ID)
        assert fetch('config.json').is_file() and fetch('model.safetensors').is_file()
    messages = [record.getMessage() for record in said.records]
    assert messages.count('You are sending unauthenticated requests') == 2
    assert not any('does not answer' in message for message in messages)


def test_unknown_hub_id_is_one_clear_error(local_hub):
    with pytest.raises(CheckpointError, match='someone/absent: the hub has no such model, and no such file or folder '
                                              'is here .*Correct language.checkpoint; if .* log in'):
        open_checkpoint('someone/absent')


def test_name_that_cannot_be_a_hub_id_is_one_clear_error(local_hub):
    with pytest.raises(CheckpointError, match='my gpt2!: the hub has no such model.*Correct language.checkpoint'):
        open_checkpoint('my gpt2!')


def test_unknown_revision_is_one_clear_error(local_hub, folders):
    local_hub.add(HUB_ID, folders['gpt2'])
    with pytest.raises(CheckpointError, match="at revision 'v9': the hub has the model but not this revision. Correct "
                                              'language.revision'):
        open_checkpoint(HUB_ID, revision='v9')


def test_hub_model_without_config_is_one_clear_error(local_hub, tmp_path):
    local_hub.add(HUB_ID, tmp_path)
    with pytest.raises(CheckpointError, match=f'{HUB_ID}: has no config.json'):
        open_checkpoint(HUB_ID)


def test_shard_that_the_hub_lacks_is_named(local_hub, sharded_folders, tmp_path):
    folder = Path(shutil.copytree(sharded_folders['gpt2'], tmp_path / 'gpt2'))
    absent = open_checkpoint(folder).files_of_block(2)[0]
    (folder / absent).unlink()
    local_hub.add(HUB_ID, folder)
    with pytest.raises(CheckpointError, match=f'{HUB_ID}/{absent}: the index names the shard .* which is not there'):
        open_checkpoint(HUB_ID).read_block(2)


def test_gguf_file_that_the_hub_lacks_is_named(local_hub, gguf_files):
    local_hub.add('someone/files', gguf_files['qwen3'].parent)
    with pytest.raises(CheckpointError, match='someone/files/absent.gguf: the hub has the model but not this file'):
        open_checkpoint('someone/files/absent.gguf')


@pytest.mark.parametrize('file', ['../x.gguf', 'sub/../../x.gguf', './x.gguf', '/x.gguf', 'C:x.gguf', '..\\x.gguf'])
def test_a_file_of_the_hub_lies_in_its_repository(local_hub, file):
    with pytest.raises(CheckpointError, match=r'a/b: .*; expected the name of a file of that repository'):
        open_checkpoint(f'a/b/{file}')
    assert local_hub.requests == []
