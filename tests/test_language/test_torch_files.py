"""Files of torch.save are opened without running code from them, and without unpacking what is packed."""
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from safetensors.torch import load_file

from lbbt_mm.language import CheckpointError, open_checkpoint
from tests.bombs import BOMBS, write_bomb
from tests.hostile_files import OBJECTS, write_checkpoint
from tests.time_limit import time_limit
from tests.tiny_checkpoints import CONFIGS


def test_a_packed_pickle_is_not_unpacked(tmp_path):
    import zipfile
    (tmp_path / 'config.json').write_text(json.dumps(CONFIGS['llama']))
    torch.save(dict(x=torch.zeros(4)), tmp_path / 'plain.bin')
    with zipfile.ZipFile(tmp_path / 'plain.bin') as source, zipfile.ZipFile(
            tmp_path / 'pytorch_model.bin', 'w', zipfile.ZIP_DEFLATED) as packed:
        for name in source.namelist():
            packed.writestr(name, source.read(name) + bytes(50_000_000 if name.endswith('data/0') else 0))
    with pytest.raises(CheckpointError, match='compressed entries'):
        open_checkpoint(tmp_path).read_block(0)


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker, )


@pytest.mark.parametrize('kind', OBJECTS)
def test_no_hostile_object_is_loaded(kind, gpt2, tmp_path):
    """Whatever other code in the process has allowed torch to load, as mmengine's loader does with getattr."""
    (gpt2 / 'model.safetensors').unlink()
    write_checkpoint(gpt2 / 'pytorch_model.bin', tmp_path / 'trace', kind)
    with torch.serialization.safe_globals([getattr, HistoryBuffer, np.dtype, np.ndarray]):
        with pytest.raises(CheckpointError, match='cannot be opened as plain tensors'):
            open_checkpoint(gpt2).read_block(0)
    assert not (tmp_path / 'trace').exists()


@pytest.mark.parametrize('legacy', [False, True])
@pytest.mark.parametrize('name', BOMBS)
def test_a_pickle_that_would_never_end_is_refused_at_once(name, legacy, gpt2):
    (gpt2 / 'model.safetensors').unlink()
    write_bomb(gpt2 / 'pytorch_model.bin', name, legacy)
    with time_limit(1), pytest.raises(CheckpointError, match='cannot be opened as plain tensors .*(make|nested|filled)'):
        open_checkpoint(gpt2).read_block(0)


def test_pickle_that_would_run_code_is_refused_and_does_not_run(gpt2, tmp_path):
    marker = tmp_path / 'ran'
    weights = load_file(gpt2 / 'model.safetensors')
    (gpt2 / 'model.safetensors').unlink()
    torch.save(dict(weights, payload=Payload(marker)), gpt2 / 'pytorch_model.bin')
    with pytest.raises(CheckpointError, match='pytorch_model.bin: cannot be opened as plain tensors.*Only files that '
                                              'weights_only=True accepts.*convert the checkpoint to safetensors'):
        open_checkpoint(gpt2).read_block(0)
    assert not marker.exists()
    torch.load(gpt2 / 'pytorch_model.bin', weights_only=False)
    assert marker.exists(), 'the payload is harmless, so this test would prove nothing'


def test_pickle_in_the_format_before_torch_1_6_is_read(gpt2):
    weights = load_file(gpt2 / 'model.safetensors')
    (gpt2 / 'model.safetensors').unlink()
    torch.save(weights, gpt2 / 'pytorch_model.bin', _use_new_zipfile_serialization=False)
    read = open_checkpoint(gpt2).read_block(0)
    assert torch.equal(read['h.0.ln_1.weight'], weights['transformer.h.0.ln_1.weight'])
