"""Every way in which mmengine and its codebases name a checkpoint leads to a loader that runs no code from it."""
import json
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from mmengine.fileio.backends import BaseStorageBackend, registry_utils
from mmengine.model import BaseModule
from mmengine.runner import CheckpointLoader, FlexibleRunner, load_checkpoint
from mmengine.runner import checkpoint as mmengine_checkpoint
from torch import nn

from lbbt_mm.files.checkpoint_schemes import SafeLoaders
from lbbt_mm.launch.checkpoints import pretrained_files
from tests.hostile_files import config_that_runs, write_checkpoint
from tests.small_net import SmallNet, loader, train


class Quiet(SimpleHTTPRequestHandler):

    def log_message(self, *_) -> None:
        """Say nothing."""


class Files(BaseStorageBackend):
    """An object store that is a folder."""
    folder: Path

    def get(self, filepath: str) -> bytes:
        return (self.folder / Path(filepath).name).read_bytes()

    def get_text(self, filepath: str, encoding: str = 'utf-8') -> str:
        return self.get(filepath).decode(encoding)


@pytest.fixture(autouse=True)
def safe_loaders(monkeypatch):
    """Registered for a test, and mmengine's own again after it."""
    monkeypatch.setattr(CheckpointLoader, '_schemes', CheckpointLoader._schemes.copy())
    SafeLoaders(trust=False).register()


@pytest.fixture
def addresses(tmp_path, monkeypatch):
    """Places for one file name: the network, lists of models, an object store."""
    served = tmp_path / 'served'
    served.mkdir()
    server = ThreadingHTTPServer(('127.0.0.1', 0), partial(Quiet, directory=str(served)))
    threading.Thread(target=server.serve_forever, kwargs=dict(poll_interval=0.02), daemon=True).start()
    monkeypatch.setenv('NO_PROXY', '127.0.0.1')
    for variable in ('TORCH_HOME', 'MMENGINE_HOME'):
        monkeypatch.setenv(variable, str(tmp_path / variable))
    url = f'http://127.0.0.1:{server.server_address[1]}/x.pth'
    (tmp_path / 'MMENGINE_HOME').mkdir()
    (tmp_path / 'MMENGINE_HOME' / 'open_mmlab.json').write_text(json.dumps(dict(near='../served/x.pth', far=url)))
    monkeypatch.setattr(mmengine_checkpoint, 'get_torchvision_models', lambda: dict(net=url))
    monkeypatch.setattr(mmengine_checkpoint, 'get_mmcls_models', lambda: dict(net=url))
    Files.folder = served
    monkeypatch.setitem(registry_utils.backends, 'petrel', Files)
    yield dict(http=url, torchvision='torchvision://net', modelzoo='modelzoo://net', mmcls='mmcls://net',
               near='open-mmlab://near', far='openmmlab://far', s3='s3://bucket/x.pth', petrel='petrel://bucket/x.pth',
               named='cluster:s3://bucket/x.pth')
    server.shutdown()


WAYS = ['http', 'torchvision', 'modelzoo', 'mmcls', 'near', 'far', 's3', 'petrel', 'named']


@pytest.mark.parametrize('way', WAYS)
def test_what_is_fetched_runs_no_code(way, addresses, tmp_path, trace):
    write_checkpoint(tmp_path / 'served' / 'x.pth', trace, 'getattr')
    with pytest.raises(ValueError, match=r'x\.pth: holds more than tensors.*--trust-checkpoint'):
        load_checkpoint(nn.Linear(2, 2), addresses[way])
    assert not trace.exists()


@pytest.mark.parametrize('way', WAYS)
def test_what_is_fetched_is_loaded(way, addresses, tmp_path, trace):
    source, target = nn.Linear(2, 2), nn.Linear(2, 2)
    prefix = 'backbone.' if way == 'mmcls' else ''
    tensors = {prefix + name: tensor for name, tensor in source.state_dict().items()}
    torch.save(dict(state_dict=tensors, meta=dict(config=config_that_runs(trace))), tmp_path / 'served' / 'x.pth')
    loaded = load_checkpoint(target, addresses[way])
    assert torch.equal(source.weight, target.weight) and 'config' not in loaded.get('meta', {})


@pytest.mark.parametrize('url', ['http://127.0.0.1:9/vit.pth', 'https://no.such.host.invalid/vit.pth', 'absent'])
def test_a_network_that_is_not_there_is_one_line_that_says_where_the_file_goes(url, addresses, tmp_path):
    url = addresses['http'] if url == 'absent' else url
    with pytest.raises(ConnectionError) as caught:
        load_checkpoint(nn.Linear(2, 2), url)
    place = tmp_path / 'TORCH_HOME' / 'hub' / 'checkpoints' / url.split('/')[-1]
    assert str(caught.value).startswith(f'{url}: cannot be fetched (') and f'that file at {place}:' in str(caught.value)
    assert '\n' not in str(caught.value) and not list(place.parent.iterdir())


@pytest.mark.parametrize('way', WAYS)
def test_a_user_who_vouches_for_it_loads_it_all(way, addresses, tmp_path, trace):
    write_checkpoint(tmp_path / 'served' / 'x.pth', trace, 'code')
    SafeLoaders(trust=True).register()
    load_checkpoint(nn.Linear(2, 2), addresses[way])
    assert trace.is_dir()


@pytest.mark.parametrize('name', ['torchvision://none', 'open-mmlab://none', 'mmcls://none'])
def test_a_model_that_is_in_no_list_is_one_clear_error(name, addresses):
    with pytest.raises(ValueError, match='no such model; expected one of'):
        load_checkpoint(nn.Linear(2, 2), name)


def test_a_scheme_that_nothing_here_reads_is_refused():
    with pytest.raises(ValueError, match='Download the file and give its path'):
        load_checkpoint(nn.Linear(2, 2), 'pavi://x.pth')


def test_the_config_is_set_aside_from_schemes_of_other_code_too(trace):
    calls = []

    def load_from_elsewhere(filename, map_location=None):
        calls.append(filename)
        return dict(state_dict=nn.Linear(2, 2).state_dict(), meta=dict(config=config_that_runs(trace)))

    CheckpointLoader.register_scheme('elsewhere://', load_from_elsewhere)
    for _ in range(2):  # as when a process tests twice
        SafeLoaders(trust=False).register()
    loaded = load_checkpoint(nn.Linear(2, 2), 'elsewhere://x')
    assert list(loaded['meta']) == ['lbbt_mm_config_text'] and calls == ['elsewhere://x']


@pytest.mark.parametrize('kind', ['code', 'getattr'])
def test_an_initialisation_step_runs_no_code(kind, tmp_path, trace, monkeypatch):
    """mmdet, mmseg and mmpretrain turn ``pretrained=`` into this step."""
    monkeypatch.setenv('HOME', str(tmp_path))
    write_checkpoint(tmp_path / 'evil.pth', trace, kind)
    init_cfg = dict(type='Pretrained', checkpoint='~/evil.pth')
    with pytest.raises(ValueError, match='--trust-checkpoint'):
        BaseModule(init_cfg).init_weights()
    assert pretrained_files(dict(backbone=dict(init_cfg=init_cfg))) == ['~/evil.pth'] and not trace.exists()


def resumable(folder: Path, trace: Path) -> Path:
    """A checkpoint of a training, with a config that runs code in its meta."""
    train(folder, epochs=1)
    checkpoint = torch.load(folder / 'epoch_1.pth', weights_only=False)
    checkpoint['meta']['config'] = config_that_runs(trace)
    torch.save(checkpoint, folder / 'epoch_1.pth')
    return folder / 'epoch_1.pth'


def test_a_resumed_runner_does_not_run_the_config_in_its_checkpoint(tmp_path, trace):
    resumable(tmp_path, trace)
    assert train(tmp_path, epochs=2, resume=True).epoch == 2
    assert not trace.exists()


def test_nor_does_a_flexible_runner(tmp_path, trace):
    checkpoint = resumable(tmp_path, trace)
    runner = FlexibleRunner(model=SmallNet(), work_dir=str(tmp_path / 'again'), train_dataloader=loader(), resume=True,
                            load_from=str(checkpoint), train_cfg=dict(by_epoch=True, max_epochs=2), log_level='ERROR',
                            optim_wrapper=dict(optimizer=dict(type='AdamW', lr=1e-2)), experiment_name='flexible')
    runner.train()
    assert runner.epoch == 2 and not trace.exists()
