"""Rectified classifiers in whole runs: checkpoints without the frozen block, a frozen ViT, an averaged model."""
import pytest
import torch

from lbbt_mm.files.checkpoint_files import load_checkpoint_safely
from tests.image_folders import write_image_folder
from tests.tiny_checkpoints import build_model
from tests.tiny_rectified import run_config
from tests.tool_processes import run_tool


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp('images')
    for seed, split in enumerate(('train', 'test')):
        write_image_folder(root / split, dict(a=4, b=4, c=4), size=16, seed=seed)
    return root


def tool(name, folder, *arguments):
    return run_tool(name, folder / 'run.py', *arguments, '--work-dir', folder / 'work')


def train(folder, cfg, *arguments):
    cfg.dump(folder / 'run.py')
    returncode, output = tool('train.py', folder, *arguments)
    assert returncode == 0, output
    return folder / 'work'


def weights(work, epoch=3):
    return load_checkpoint_safely(work / f'epoch_{epoch}.pth')['state_dict']


def test_a_checkpoint_without_its_block_is_tested_and_resumed_with_the_language_models(data, folders, tmp_path):
    language = tmp_path / 'language'
    build_model('gpt2').save_pretrained(language)
    cfg = run_config(data, language, path='inserted', rectifier=dict(saves_blocks=False))
    del cfg.custom_hooks[-1]
    work = train(tmp_path, cfg)
    whole = weights(work)
    assert not any('rectifier.blocks' in name for name in whole) and 'rectifier.input.weight' in whole
    for epoch in (2, 3):
        (work / f'epoch_{epoch}.pth').unlink()
    (work / 'last_checkpoint').write_text(str(work / 'epoch_1.pth'))
    train(tmp_path, cfg, '--resume')
    resumed = weights(work)
    assert all(torch.equal(resumed[name], tensor) for name, tensor in whole.items())
    assert tool('test.py', tmp_path, work / 'epoch_3.pth').returncode == 0
    build_model('gpt2', seed=4).save_pretrained(language)
    returncode, output = tool('test.py', tmp_path, work / 'epoch_3.pth')
    assert returncode != 0 and 'leaves its frozen blocks out; expected blocks of checksum' in output.splitlines()[-1], output


def test_a_frozen_vit_trains_mappers_and_head_alone(data, folders, tmp_path):
    cfg = run_config(data, folders['gpt2'])
    cfg.custom_hooks.append(dict(type='lbbt_mm.PartialFreezeHook', module='backbone.layers', trainable='none',
                                 also=['rectifier', 'head']))
    work = train(tmp_path, cfg)
    first, last = weights(work, 1), weights(work)
    changed = {name for name in last if not torch.equal(first[name], last[name])}
    assert changed == {'rectifier.input.weight', 'rectifier.output.weight', 'head.fc.weight', 'head.fc.bias'}


def test_an_averaged_model_has_the_same_frozen_block(data, folders, tmp_path):
    cfg = run_config(data, folders['gpt2'])
    cfg.custom_hooks.append(dict(type='EMAHook', momentum=0.5))
    work = train(tmp_path, cfg)
    loaded = load_checkpoint_safely(work / 'epoch_3.pth')
    average, plain = loaded['state_dict'], loaded['ema_state_dict']  # mmengine swaps the two
    for name, tensor in average.items():
        same = torch.equal(plain[f'module.{name}'], tensor)
        assert same == ('rectifier.blocks' in name), name
