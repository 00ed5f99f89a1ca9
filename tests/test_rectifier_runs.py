"""Rectified classifiers in whole runs: checkpoints without the frozen block, a frozen ViT, an averaged model."""
import pytest
import torch
from mmpretrain.registry import MODELS

from lbbt_mm.files.checkpoint_files import load_checkpoint_safely
from lbbt_mm.language.errors import CheckpointError
from tests.image_folders import write_image_folder
from tests.tiny_checkpoints import build_model
from tests.tiny_rectified import VIT, run_config
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


def test_another_rectifier_starts_anew_on_a_trained_vit_whose_checkpoint_has_no_block(data, folders, tmp_path):
    (tmp_path / 'first').mkdir()
    work = train(tmp_path / 'first', run_config(data, folders['gpt2'], rectifier=dict(saves_blocks=False)))
    (tmp_path / 'second').mkdir()
    cfg = run_config(data, folders['gpt2'], arm='random', rectifier=dict(saves_blocks=False))
    cfg.update(load_from=str(work / 'epoch_3.pth'), leave_out=['rectifier'])
    cfg.optim_wrapper.optimizer.lr = 0.
    found, there = weights(train(tmp_path / 'second', cfg)), weights(work)
    assert torch.equal(found['head.fc.weight'], there['head.fc.weight'])
    assert not torch.equal(found['rectifier.input.weight'], there['rectifier.input.weight'])


def test_a_probe_of_a_backbone_with_blocks_inside_is_refused(data, folders, tmp_path):
    work = train(tmp_path, run_config(data, folders['gpt2'], path='inserted'))
    backbone = MODELS.build(dict(VIT, init_cfg=dict(type='lbbt_mm.BridgeInit', checkpoint=str(work / 'epoch_3.pth'))))
    with pytest.raises(CheckpointError, match="was trained with path='inserted': language blocks run inside its backbone"):
        backbone.init_weights()


@pytest.mark.parametrize(('arm', 'trained'), [('language', 'rectifier.input rectifier.output head.fc'),
                                              ('none', 'aux_head.layers.0 aux_head.layers.2 aux_head.head.fc head.fc')])
def test_a_frozen_vit_trains_what_is_behind_it_alone(data, folders, tmp_path, arm, trained):
    cfg = run_config(data, folders['gpt2'], arm=arm)
    cfg.custom_hooks.append(dict(type='lbbt_mm.PartialFreezeHook', module='backbone.layers', trainable='none',
                                 also=['[!b]*']))
    work = train(tmp_path, cfg)
    first, last = weights(work, 1), weights(work)
    changed = {name.rpartition('.')[0] for name in last if not torch.equal(first[name], last[name])}
    assert changed == set(trained.split())


def test_an_averaged_model_has_the_same_frozen_block(data, folders, tmp_path):
    cfg = run_config(data, folders['gpt2'])
    cfg.custom_hooks.append(dict(type='EMAHook', momentum=0.5))
    work = train(tmp_path, cfg)
    loaded = load_checkpoint_safely(work / 'epoch_3.pth')
    average, plain = loaded['state_dict'], loaded['ema_state_dict']  # mmengine swaps the two
    for name, tensor in average.items():
        same = torch.equal(plain[f'module.{name}'], tensor)
        assert same == ('rectifier.blocks' in name), name
