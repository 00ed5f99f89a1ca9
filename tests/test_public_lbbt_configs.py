"""The recipe of LBBT's public code: what differs from the paper's configs here, key by key, and nothing else."""
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmpretrain.registry import MODELS

from lbbt_mm.config_keys import ABSENT, differing
from tests.image_folders import write_image_folder

CONFIGS = Path(__file__).resolve().parent.parent / 'configs'
PUBLIC = CONFIGS / 'public_lbbt'
DATA = ('cifar10', 'cifar100', 'tiny_imagenet')
#: Keys at the top of a config that a run reads
READ = ('model', 'train_cfg', 'val_cfg', 'train_dataloader', 'val_dataloader', 'optim_wrapper', 'param_scheduler',
        'auto_scale_lr', 'default_hooks', 'data_preprocessor')
BACKBONE = {
    'model.backbone.attention': 'causal', 'model.backbone.out_type': 'last_token', 'model.backbone.position': 'language',
    'model.backbone.final_norm': 'language', 'model.backbone.attn_drop': 0.1, 'model.backbone.proj_drop': 0.1,
    'model.backbone.hidden_drop': 0., 'model.backbone.embed_drop': 0.1,
}


def differences(paper: Path, public: Path) -> dict:
    """Dotted key -> the public recipe's value, of keys that a run reads and that differ; lists of another length whole."""
    one, other = ({key: value for key, value in Config.fromfile(path).to_dict().items() if key in READ}
                  for path in (paper, public))
    return {key: there for key, _, there in differing(one, other)}


def check_whole_images(loader: dict, trained: list) -> None:
    """Train-acc1 is of the labels that are trained, on images that are not cropped."""
    dataset = loader['dataset']['dataset']
    pipeline = dataset.get('pipeline') or dataset['dataset']['pipeline']
    assert pipeline[0] == trained[0] and pipeline[0]['type'] == 'lbbt_mm.RandomLabel'
    assert [step['type'] for step in pipeline if step['type'] != 'LoadImageFromFile'] == [
        'lbbt_mm.RandomLabel', 'Resize', 'PackInputs']
    assert pipeline[-1] == trained[-1]


def paper_config(name: str) -> Path:
    return next(path for path in (CONFIGS / f'{name}.py', CONFIGS / 'classification' / f'{name}.py') if path.exists())


@pytest.mark.parametrize('data', DATA)
def test_the_bridge_differs_from_the_paper_s_config_in_these_keys_alone(data):
    found = differences(paper_config(f'bridge_gpt2_medium_{data}'), PUBLIC / f'bridge_gpt2_medium_{data}.py')
    pipeline = found.pop('train_dataloader.dataset.pipeline', None) or Config.fromfile(
        PUBLIC / f'bridge_gpt2_medium_{data}.py').train_dataloader.dataset.pipeline
    found = {key: value for key, value in found.items() if not key.startswith('train_dataloader.dataset.pipeline.')}
    warmup, cosine = found.pop('param_scheduler')
    check_whole_images(found.pop('val_cfg.train_dataloader'), pipeline)
    assert found == {
        **BACKBONE, 'model.backbone.drop_path_rate': 0., 'auto_scale_lr.base_batch_size': 256, 'auto_scale_lr.enable': True,
        'model.head.loss.type': 'LabelSmoothLoss', 'model.head.loss.loss_weight': ABSENT,
        'model.head.loss.label_smooth_val': 0.1, 'model.head.loss.mode': 'original'}
    assert (warmup['end'], cosine['begin'], cosine['eta_min']) == (5, 5, 1e-6)
    label, *steps = [step for step in pipeline if step['type'] != 'LoadImageFromFile']
    assert label['exclude_true'] is True and label['ratio'] == 1.0
    assert [step['type'] for step in steps] == ['RandomResizedCrop', 'RandomFlip', 'PackInputs']
    assert steps[0]['crop_ratio_range'] == (0.2, 1.0) and steps[0]['scale'] == 224
    assert Config.fromfile(PUBLIC / f'bridge_gpt2_medium_{data}.py').optim_wrapper.optimizer.lr == 1e-3, 'at a batch of 256'


@pytest.mark.parametrize('data', DATA)
def test_the_probe_trains_a_new_patch_embedding_on_augmented_images(data):
    found = differences(paper_config(f'probe_gpt2_medium_{data}'), PUBLIC / f'probe_gpt2_medium_{data}.py')
    assert {key: found[key] for key in BACKBONE} == BACKBONE
    assert found['model.backbone.init_cfg.leave_out'] == ['patch_embed']
    assert found['default_hooks.partial_freeze.also'] == ('head', 'backbone.patch_embed')
    assert found['train_cfg.max_epochs'] == 200 and found['model.neck'] is ABSENT
    assert 'train_dataloader.batch_size' not in found, 'nobody says which one the public code has'
    cfg = Config.fromfile(PUBLIC / f'probe_gpt2_medium_{data}.py')
    assert 'arm' not in cfg.model.backbone.language, 'it is the bridge that has one'
    assert cfg.model.head.loss == dict(type='CrossEntropyLoss', loss_weight=1.0)
    assert 'RandomLabel' not in str(cfg.train_dataloader) and 'RandomFlip' in str(cfg.train_dataloader)


def test_the_small_bridge_differs_from_ours_in_these_keys_alone():
    """Of those of the large one it lacks the learning rate's scaling; its drop path is 0 already."""
    name = 'bridge_gpt2_imagefolder.py'
    found = differences(CONFIGS / 'small' / name, PUBLIC / name)
    pipeline = found.pop('train_dataloader.dataset.dataset.pipeline')
    check_whole_images(found.pop('val_cfg.train_dataloader'), pipeline)
    warmup, cosine = Config.fromfile(PUBLIC / name).param_scheduler
    assert {key: value for key, value in found.items() if not key.startswith('param_scheduler.')} == {
        **BACKBONE, 'model.head.loss.type': 'LabelSmoothLoss', 'model.head.loss.loss_weight': ABSENT,
        'model.head.loss.label_smooth_val': 0.1, 'model.head.loss.mode': 'original'}
    assert (warmup['end'], cosine['begin'], cosine['eta_min']) == (5, 5, 1e-6)
    assert pipeline[0]['exclude_true'] is True and pipeline[2]['scale'] == 32


def test_the_small_probe_differs_from_ours_in_these_keys_alone():
    name = 'probe_gpt2_imagefolder.py'
    found = differences(CONFIGS / 'small' / name, PUBLIC / name)
    steps = [step['type'] for step in found.pop('train_dataloader.dataset.dataset.pipeline')]
    warmup, cosine = found.pop('param_scheduler')
    assert (warmup['end'], cosine['begin'], cosine['eta_min']) == (5, 5, 1e-6)
    assert steps == ['LoadImageFromFile', 'RandomResizedCrop', 'RandomFlip', 'PackInputs']
    assert found == {**BACKBONE, 'model.neck': None, 'model.backbone.init_cfg.leave_out': ['patch_embed'],
                     'default_hooks.partial_freeze.also': ('head', 'backbone.patch_embed')}


@pytest.mark.parametrize('path', sorted(PUBLIC.glob('*.py')), ids=lambda path: path.stem)
def test_every_config_builds(path):
    cfg = Config.fromfile(path)
    init_default_scope('mmpretrain')
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    assert model.backbone.blocks[0].attn.attn_drop == 0.1 and model.backbone.pos_embed.shape[1] in (64, 196)


@pytest.mark.parametrize('folder', ['small', 'public_lbbt'])
def test_a_probe_s_patch_embedding_starts_anew_and_trains_while_the_blocks_do_not(folder, tmp_path, folders, monkeypatch):
    """A bridge of two iterations, then both probes from its checkpoint."""
    for split in ('train', 'test'):
        write_image_folder(tmp_path / 'images' / split, dict(a=4, b=4), size=32)
    monkeypatch.setenv('LBBT_DATA_ROOT', str(tmp_path / 'images'))
    monkeypatch.setenv('LBBT_NUM_CLASSES', '2')

    def train(name: str, **model) -> Runner:
        cfg = Config.fromfile(CONFIGS / folder / f'{name}.py')
        cfg.merge_from_dict({
            'model.backbone.language': dict(checkpoint=str(folders['gpt2']), config=None, blocks='0:2', _delete_=True),
            **model, 'train_dataloader.batch_size': 4, 'train_dataloader.num_workers': 0,
            'train_dataloader.persistent_workers': False, 'train_cfg.max_epochs': 1,
            'train_cfg.val_interval': 9, 'work_dir': str(tmp_path / name), 'default_hooks.checkpoint.save_best': None})
        cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
        cfg.test_dataloader = cfg.test_cfg = cfg.test_evaluator = None
        cfg.param_scheduler = None
        runner = Runner.from_cfg(cfg)
        runner.train()
        return runner

    bridge = train('bridge_gpt2_imagefolder', **{'model.backbone.patch_size': 8}).model.state_dict()
    name = 'probe_gpt2_imagefolder' if folder == 'public_lbbt' else 'probe_patch_embed_gpt2_imagefolder'
    checkpoint = {'model.backbone.init_cfg.checkpoint': str(tmp_path / 'bridge_gpt2_imagefolder' / 'epoch_1.pth')}
    runner = train(name, **checkpoint, **{'model.backbone.patch_size': 8})
    trained = {key for key, parameter in runner.model.named_parameters() if parameter.requires_grad}
    assert trained == {'backbone.patch_embed.projection.weight', 'backbone.patch_embed.projection.bias', 'head.fc.weight',
                       'head.fc.bias'}
    for key, tensor in runner.model.backbone.state_dict().items():
        same = torch.equal(tensor, bridge[f'backbone.{key}'])
        assert same != key.startswith('patch_embed'), key
