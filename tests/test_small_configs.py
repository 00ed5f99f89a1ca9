"""The small and demo classification configs: each builds, with any language model, and fits its partner."""
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from lbbt_mm.checks.image_folders import check_labels
from lbbt_mm.registry import DATASETS, LOOPS, MODELS
from tests.data_splits import assert_trains_and_tests_on_its_own_splits
from tests.image_folders import write_image_folder

CONFIGS = Path(__file__).resolve().parent.parent / 'configs'
LANGUAGE_MODELS = sorted((CONFIGS / '_base_' / 'language').glob('*.py'))
RUNS = sorted(path for folder in ('small', 'demo') for path in (CONFIGS / folder).glob('*.py')
              if not path.stem.startswith(('detr_', 'segmenter_', 'deit_', 'rectifier_', 'resnet_', 'sharelock_',
                                          'zero_shot_')))


def build(cfg: Config) -> torch.nn.Module:
    """Build the model without memory for its parameters."""
    init_default_scope('mmpretrain')
    with torch.device('meta'):
        return MODELS.build(cfg.model)


def test_there_are_configs():
    assert {path.stem for path in RUNS} == {'bridge_gpt2_imagefolder', 'probe_gpt2_imagefolder', 'finetune_gpt2_imagefolder',
                                            'probe_patch_embed_gpt2_imagefolder', 'bridge_smollm2_digits',
                                            'probe_smollm2_digits'}


@pytest.mark.parametrize('path', RUNS, ids=lambda path: path.stem)
def test_every_config_builds_its_model_and_its_data(path, tmp_path, monkeypatch):
    counts = {f'class{index}': 3 for index in range(10)}
    for split in ('train', 'test'):
        write_image_folder(tmp_path / split, counts, size=8)
    monkeypatch.setenv('LBBT_DATA_ROOT', str(tmp_path))
    cfg = Config.fromfile(path)
    check_labels(cfg)
    model = build(cfg)
    assert model.head.fc.in_features == model.backbone.embed_dims and model.head.fc.out_features == 10
    if path.parent.name == 'demo' and 'bridge' in path.stem:
        cfg.train_dataloader.dataset.num_samples = 30  # it takes 500 of the digits, which are all there
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        sample = DATASETS.build(loader.dataset)[7]
        side = cfg.model.backbone.img_size
        assert sample['inputs'].shape == (3, side, side)
        random = loader is cfg.train_dataloader and path.stem.startswith('bridge')
        assert sample['data_samples'].get('true_label') == (2 if random else None)


@pytest.mark.parametrize('path', LANGUAGE_MODELS, ids=lambda path: path.stem)
def test_one_key_picks_the_language_model(path, tmp_path):
    (tmp_path / 'mine.py').write_text(
        f"_base_ = [{str(CONFIGS / '_base_' / 'language_classification.py')!r}, {str(path)!r}]\n"
        'model = dict(backbone=dict(language=dict(blocks=-1, **_base_.language)), head=dict(num_classes=3),\n'
        "             neck=dict(type='ClsBatchNormNeck', input_features=None))\n")
    model = build(Config.fromfile(tmp_path / 'mine.py'))
    assert model.head.fc.in_features == model.neck.bn.num_features == model.backbone.blocks[0].spec.embed_dims


@pytest.mark.parametrize('bridge, probe', (('small/bridge_gpt2_imagefolder', 'small/probe_gpt2_imagefolder'),
                                           ('small/bridge_gpt2_imagefolder', 'small/finetune_gpt2_imagefolder'),
                                           ('demo/bridge_smollm2_digits', 'demo/probe_smollm2_digits')))
def test_a_probe_has_its_bridges_backbone(bridge, probe):
    first, second = (Config.fromfile(CONFIGS / f'{name}.py') for name in (bridge, probe))
    stated = [first.model.backbone.language.pop(name) for name in ('arm', 'seed')]
    assert stated == ['language', 0] and not {'arm', 'seed'} & set(second.model.backbone.language), 'a probe claims none'
    assert first.model.backbone.to_dict() == {
        k: v for k, v in second.model.backbone.items() if k != 'init_cfg'}
    assert first.data_preprocessor == second.data_preprocessor
    assert second.model.backbone.init_cfg == dict(type='lbbt_mm.BridgeInit', checkpoint=None)
    frozen = second.default_hooks.partial_freeze
    assert (frozen.trainable, frozen.also) == (('all', None) if 'finetune' in probe else ('none', ('neck', 'head')))


def test_one_key_of_the_bridge_picks_the_blocks_that_train():
    """``default_hooks.partial_freeze.trainable=first:5``."""
    hook = Config.fromfile(CONFIGS / 'small' / 'bridge_gpt2_imagefolder.py').default_hooks.partial_freeze
    assert hook == dict(type='lbbt_mm.PartialFreezeHook', trainable='all')


@pytest.mark.parametrize('classes', [None, 3])
def test_the_number_of_classes_comes_from_the_environment(classes, monkeypatch):
    if classes:
        monkeypatch.setenv('LBBT_NUM_CLASSES', str(classes))
    else:
        monkeypatch.delenv('LBBT_NUM_CLASSES', raising=False)
    for path in RUNS:
        cfg = Config.fromfile(path)
        expected = classes if classes and path.parent.name == 'small' else 10  # there are ten digits
        assert cfg.model.head.num_classes == cfg.data_preprocessor.num_classes == expected
        labels = [step for step in cfg.train_dataloader.dataset.get('dataset', {}).get('pipeline', [])
                  if step.type == 'lbbt_mm.RandomLabel']
        assert [label.num_classes for label in labels] == [expected] * path.stem.startswith('bridge')


def test_bridges_report_both_accuracies_and_the_first_of_all_that_they_learn():
    for path in RUNS:
        if path.stem.startswith('bridge'):
            cfg = Config.fromfile(path)
            assert LOOPS.get(cfg.val_cfg.type).__name__ == 'BridgeValLoop'
            assert cfg.val_cfg.num_train_samples == cfg.train_dataloader.dataset.num_samples == (
                500 if path.parent.name == 'demo' else 640)


#: Epochs, learning rate and batch of each stage, as docs/classification.md and the demo have them
RECIPES = {'small/bridge': (12, 3e-4, 32), 'small/probe': (15, 1e-3, 32), 'small/finetune': (15, 3e-4, 32),
           'demo/bridge': (12, 3e-4, 32), 'demo/probe': (5, 2e-3, 32)}


@pytest.mark.parametrize('path', RUNS, ids=lambda path: path.stem)
def test_recipes_are_those_of_the_docs(path):
    cfg = Config.fromfile(path)
    optimizer = cfg.optim_wrapper.optimizer
    epochs, lr, batch = RECIPES[f'{path.parent.name}/{path.stem.split("_")[0]}']
    assert (cfg.train_cfg.max_epochs, optimizer.lr, cfg.train_dataloader.batch_size) == (epochs, lr, batch)
    assert (optimizer.type, optimizer.weight_decay, cfg.optim_wrapper.clip_grad.max_norm) == ('AdamW', 0.05, 1.0)
    assert cfg.optim_wrapper.type == 'lbbt_mm.AutocastOptimWrapper' and cfg.val_cfg.fp16
    cosine = cfg.param_scheduler[-1]
    assert cosine == dict(type='CosineAnnealingLR', by_epoch=True, convert_to_iter_based=True), 'over the whole run'
    backbone = cfg.model.backbone
    assert backbone.get('drop_path_rate', 0.) == 0., 'memorising is the objective'
    assert (backbone.attention, backbone.position, backbone.out_type) == ('bidirectional', 'learned', 'avg_featmap')
    assert (backbone.language.get('seed', 0), cfg.randomness.seed) == (0, 0)
    assert backbone.language.blocks == ('0:4' if path.parent.name == 'demo' else None)
    assert cfg.model.head.loss == dict(type='CrossEntropyLoss', loss_weight=1.0)
    assert cfg.val_evaluator == dict(type='Accuracy', topk=(1, ))
    if path.parent.name == 'small':
        assert cfg.train_dataloader.dataset.num_samples == 640
    if path.stem.startswith('bridge'):
        warm_up = cfg.param_scheduler[0]
        assert (warm_up.type, warm_up.start_factor, warm_up.by_epoch) == ('LinearLR', 0.05, False)
        assert warm_up.end == (16 if path.parent.name == 'demo' else 20)
        assert cfg.val_dataloader.dataset.get('num_samples', 500) == 500
        label, = (step for step in cfg.train_dataloader.dataset.dataset.pipeline if step.type == 'lbbt_mm.RandomLabel')
        assert (label.ratio, label.seed) == (1.0, 0)


@pytest.mark.parametrize('path', RUNS, ids=lambda path: path.stem)
def test_training_images_are_not_those_of_the_test(path):
    assert_trains_and_tests_on_its_own_splits(Config.fromfile(path))
