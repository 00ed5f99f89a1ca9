"""The paper's rows, run: their data, labels, loops, hooks and schedules with a tiny GPT-2 on a handful of images."""
import pickle
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from mmpretrain.datasets import CIFAR10

from lbbt_mm.files.checkpoint_schemes import SafeLoaders
from tests.image_folders import write_image_folder

CONFIGS = Path(__file__).resolve().parent.parent / 'configs'
LANGUAGE = dict(checkpoint=None, arm='random', seed=0, blocks=None,
                config=dict(model_type='gpt2', n_embd=32, n_head=4, n_layer=6, vocab_size=50, n_positions=64,
                            initializer_range=0.02))


def write_cifar10(root: Path, per_file: int = 4) -> None:
    """Write CIFAR-10's files with a few images of noise in each."""
    generator = np.random.default_rng(0)
    (root / CIFAR10.base_folder).mkdir(parents=True)
    for name, _ in CIFAR10.train_list + CIFAR10.test_list:
        entry = dict(data=generator.integers(0, 256, (per_file, 3 * 32 * 32), dtype=np.uint8),
                     labels=generator.integers(0, 10, per_file).tolist())
        (root / CIFAR10.base_folder / name).write_bytes(pickle.dumps(entry))


@pytest.fixture
def data_root(tmp_path, monkeypatch) -> Path:
    """Data of two sorts in one folder: CIFAR-10's files and an image folder."""
    root = tmp_path / 'data'
    write_cifar10(root)
    monkeypatch.setattr(CIFAR10, '_check_integrity', lambda self: True)  # the checksums are those of the real images
    write_image_folder(root / 'train', dict(cat=8, dog=8), size=16)
    write_image_folder(root / 'test', dict(cat=3, dog=3), size=16, seed=1)
    for split, index in product(('train', 'test'), range(198)):
        (root / split / f'empty{index:03d}').mkdir()  # the other classes of TinyImageNet
    monkeypatch.setenv('LBBT_DATA_ROOT', str(root))
    return root


def run(name: str, tmp_path: Path, checkpoint=None, resume=None, hooks=(), changes=None, **options) -> Runner:
    """Train a row for two epochs at 16 x 16 pixels with six tiny blocks."""
    cfg = Config.fromfile(next(path for folder in ('', 'classification', 'small', 'demo')
                               for path in (CONFIGS / folder).glob(f'{name}.py')))
    cfg.merge_from_dict({
        'work_dir': str(tmp_path / name), 'model.backbone.img_size': 16, 'model.backbone.patch_size': 4,
        'model.backbone.language': dict(_delete_=True, **LANGUAGE), 'train_cfg.max_epochs': 2, 'train_cfg.val_interval': 1,
        'default_hooks.checkpoint.interval': 1, **(changes or {})})
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.update(num_workers=0, persistent_workers=False)
        for step in loader.dataset.pipeline:
            if step.type == 'Resize':
                step.scale = (16, 16)
    if checkpoint:
        cfg.model.backbone.init_cfg.checkpoint = str(checkpoint)
    cfg.update(resume=bool(resume), load_from=resume, **options)
    SafeLoaders(trust=False).register()  # as our tools do
    runner = Runner.from_cfg(cfg)
    for hook in hooks:
        runner.register_hook(hook)
    runner.train()
    return runner


class LabelsSeen(Hook):
    """Path and label of each image of each epoch."""

    def __init__(self) -> None:
        self.epochs = {}

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        labels = {sample.img_path: sample.gt_label.item() for sample in data_batch['data_samples']}
        self.epochs.setdefault(runner.epoch, {}).update(labels)


def metrics(runner: Runner) -> set:
    """Names of the metrics of the last validation."""
    return {key.partition('/')[2] for key in runner.message_hub.log_scalars if key.startswith('val/') and 'accuracy' in key}


def test_a_bridge_and_its_probe_on_an_image_folder(data_root, tmp_path):
    bridge = run('bridge_gpt2_medium_tiny_imagenet', tmp_path)
    assert metrics(bridge) == {'train/accuracy/top1', 'test/accuracy/top1'}
    images = bridge.train_dataloader.dataset
    assert len(images) == 16 and {images[index]['data_samples'].true_label for index in range(16)} == {0, 1}
    assert len({images[index]['data_samples'].gt_label.item() for index in range(16)}) > 2, 'labels of 200 classes'
    rates, _ = bridge.message_hub.get_scalar('train/lr').data
    assert rates == pytest.approx([1e-3, 5e-4]), 'a cosine over the whole run, by iteration'

    probe = run('probe_gpt2_medium_tiny_imagenet', tmp_path, tmp_path / 'bridge_gpt2_medium_tiny_imagenet' / 'epoch_2.pth')
    assert metrics(probe) == {'accuracy/top1'}
    for name, tensor in bridge.model.backbone.state_dict().items():
        assert torch.equal(tensor, probe.model.backbone.state_dict()[name]), f'{name} is the bridge\'s, and frozen'
    assert probe.model.neck.bn.num_batches_tracked == 2 and not torch.equal(
        probe.model.neck.bn.running_mean, torch.zeros(32)), 'features are standardised by what was gathered'


def test_a_resumed_bridge_goes_on_with_the_same_random_labels(data_root, tmp_path):
    name, whole, rest = 'bridge_gpt2_medium_tiny_imagenet', LabelsSeen(), LabelsSeen()
    run(name, tmp_path, hooks=[whole], experiment_name='whole')
    assert len(whole.epochs[0]) == 16 and len(set(whole.epochs[0].values())) > 8
    assert whole.epochs[1] == whole.epochs[0]
    checkpoint = tmp_path / name / 'epoch_1.pth'
    run(name, tmp_path / 'resumed', resume=str(checkpoint), hooks=[rest], experiment_name='resumed')
    assert rest.epochs == {1: whole.epochs[1]}


def test_a_probe_takes_the_averaged_weights_of_a_bridge_with_ema(data_root, tmp_path):
    name, ema = 'bridge_gpt2_medium_tiny_imagenet', dict(type='EMAHook', momentum=0.5, update_buffers=True)
    hook = HOOKS.build(ema)
    bridge = run(name, tmp_path, hooks=[hook])
    probe = run('probe_gpt2_medium_tiny_imagenet', tmp_path, tmp_path / name / 'epoch_2.pth')
    averaged, last = hook.ema_model.module.backbone.state_dict(), bridge.model.backbone.state_dict()
    assert not torch.equal(averaged['pos_embed'], last['pos_embed'])
    for name, tensor in probe.model.backbone.state_dict().items():
        assert torch.equal(tensor, averaged[name]), name


def test_a_partial_bridge_on_cifar10(data_root, tmp_path):
    runner = run('bridge_gpt2_medium_cifar10', tmp_path, changes={'default_hooks.partial_freeze.trainable': 'first:5'})
    assert metrics(runner) == {'train/accuracy/top1', 'test/accuracy/top1'}
    backbone = runner.model.backbone
    trains = [any(parameter.requires_grad for parameter in block.parameters()) for block in backbone.blocks]
    assert trains == [True] * 5 + [False]
    for parameter in (backbone.patch_embed.projection.weight, backbone.pos_embed, backbone.norm.weight,
                      runner.model.head.fc.weight):
        assert parameter.requires_grad
    assert len(runner.train_dataloader.dataset) == 20


def test_true_labels_on_cifar10(data_root, tmp_path):
    runner = run('classify_gpt2_medium_cifar10', tmp_path)
    samples = [runner.train_dataloader.dataset[index]['data_samples'] for index in range(20)]
    assert all(sample.gt_label.item() == sample.true_label and not sample.label_is_random for sample in samples)


def test_a_probe_without_a_bridge_starts_from_the_language_model_s_blocks(data_root, tmp_path):
    runner = run('probe_gpt2_medium_cifar10', tmp_path, changes={'model.backbone.init_cfg': None})
    assert metrics(runner) == {'accuracy/top1'}
    assert [name for name, parameter in runner.model.named_parameters() if parameter.requires_grad] == [
        'head.fc.weight', 'head.fc.bias']
