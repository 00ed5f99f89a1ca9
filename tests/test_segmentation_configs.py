"""The shipped Segmenter configs: each parses, builds and has the original's recipe; a baseline differs in one key."""
import re

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.datasets import ADE20KDataset, PascalContextDataset, PascalContextDataset59
from mmseg.registry import MODELS

from lbbt_mm.models.decode_heads import LanguageSegmenterHead
from tests.data_splits import assert_trains_and_tests_on_its_own_splits
from tests.tiny_detection import REPO

CONFIGS = REPO / 'configs'
RUNS = [CONFIGS / 'segmenter_gpt2_ade20k.py', *sorted((CONFIGS / 'segmentation').glob('*.py'))]
DATASETS = dict(ADE20KDataset=ADE20KDataset, PascalContextDataset=PascalContextDataset,
                PascalContextDataset59=PascalContextDataset59)

# Width, heads, key/value heads, hidden units and norm of the mask transformer
DECODERS = {
    'gpt2': (768, 12, 12, 3072, 'layer'),
    'select': (192, 3, 3, 768, 'layer'),
    'smollm2': (576, 9, 3, 1536, 'rms'),
}
ENCODERS = {'s': 384, 'b': 768}


def build(cfg: Config):
    init_default_scope('mmseg')
    return MODELS.build(cfg.model)  # mmseg's encoder asks tensors for numbers: the meta device will not do


def flat(config, prefix=''):
    """Dotted key -> value of every leaf."""
    if isinstance(config, dict):
        return {name: value for key, part in config.items() for name, value in flat(part, f'{prefix}{key}.').items()}
    return {prefix: config}


def test_the_rows_of_the_paper_are_there():
    assert {path.stem for path in RUNS} >= {
        'segmenter_gpt2_ade20k', 'segmenter_gpt2_pascal_context', 'segmenter_gpt2_pascal_context_59',
        'segmenter_s_gpt2_ade20k', 'segmenter_b_gpt2_ade20k', 'segmenter_smollm2_ade20k', 'segmenter_gpt2_encoder_ade20k',
        'segmenter_gpt2_select_ade20k'
    }


@pytest.mark.parametrize('path', [path for path in RUNS if 'encoder' not in path.stem], ids=lambda path: path.stem)
def test_a_segmenter_has_the_sizes_of_its_name(path):
    cfg = Config.fromfile(path)
    model = build(cfg)
    head = model.decode_head
    assert isinstance(head, LanguageSegmenterHead) and len(head.layers) == 2
    words = path.stem.split('_')
    spec = head.layers[0].spec
    expected = DECODERS['select' if 'select' in words else 'smollm2' if 'smollm2' in words else 'gpt2']
    assert (spec.embed_dims, spec.num_heads, spec.num_kv_heads, spec.ffn_dims, spec.norm) == expected
    assert model.backbone.pos_embed.shape[-1] == head.in_channels == ENCODERS.get(words[1], 192)


@pytest.mark.parametrize('path', RUNS, ids=lambda path: path.stem)
def test_the_recipe_is_the_original_s(path):
    cfg = Config.fromfile(path)
    pascal = 'pascal' in path.stem
    side = 480 if pascal else 512
    assert (cfg.train_dataloader.batch_size, cfg.train_cfg.max_iters) == ((16, 80000) if pascal else (8, 160000))
    assert tuple(cfg.model.data_preprocessor.size) == tuple(cfg.model.test_cfg.crop_size) == (side, side)
    assert tuple(cfg.model.test_cfg.stride) == ((320, 320) if pascal else (512, 512))
    assert cfg.optim_wrapper.optimizer == dict(type='SGD', lr=1e-3, momentum=0.9, weight_decay=0., nesterov=True)
    schedule, = cfg.param_scheduler
    assert schedule == dict(type='PolyLR', power=0.9, eta_min=1e-5, by_epoch=False), 'over the whole run'
    assert cfg.auto_scale_lr.base_batch_size == cfg.train_dataloader.batch_size
    assert cfg.model.data_preprocessor.mean == cfg.model.data_preprocessor.std == [127.5] * 3
    head, preprocessor = cfg.model.decode_head, cfg.model.data_preprocessor
    assert (cfg.model.test_cfg.mode, preprocessor.seg_pad_val, preprocessor.pad_val) == ('slide', 255, 0)
    assert cfg.randomness.seed == 0 and cfg.val_evaluator == dict(type='IoUMetric', iou_metrics=['mIoU'])
    assert head.drop_path_rate == 0. and head.loss_decode.avg_non_ignore and head.loss_decode.loss_weight == 1.
    if 'encoder' not in path.stem:
        assert head.attn_drop == head.proj_drop == 0.1 and head.projection_init == 'scaled_normal'
        assert (head.language.blocks, head.language.seed) == ('0:2', 0)
        # the published weights of the encoder that the name says
        size = dict(s='small', b='base').get(path.stem.split('_')[1], 'tiny')
        assert re.search(rf'/vit_{size}_p16_384_\w+-\w+\.pth$', cfg.model.pretrained)
    else:
        assert (cfg.model.backbone.language.blocks, cfg.model.backbone.language.seed) == (None, 0)
        assert cfg.model.pretrained is None


@pytest.mark.parametrize('path', RUNS, ids=lambda path: path.stem)
def test_images_are_scaled_cropped_and_augmented_as_the_original_s(path):
    cfg = Config.fromfile(path)
    scale, side = ((4160, 520), 480) if 'pascal' in path.stem else ((2048, 512), 512)
    _, _, resize, crop, flip, distortion, _ = cfg.train_dataloader.dataset.pipeline
    assert resize == dict(type='RandomResize', scale=scale, ratio_range=(0.5, 2.0), keep_ratio=True)
    assert crop == dict(type='RandomCrop', crop_size=(side, side), cat_max_ratio=0.75)
    assert flip == dict(type='RandomFlip', prob=0.5) and distortion == dict(type='PhotoMetricDistortion')
    for loader in (cfg.val_dataloader, cfg.test_dataloader):
        assert [step.type for step in loader.dataset.pipeline] == [
            'LoadImageFromFile', 'Resize', 'LoadAnnotations', 'PackSegInputs']
        assert loader.dataset.pipeline[1] == dict(type='Resize', scale=scale, keep_ratio=True)
    assert_trains_and_tests_on_its_own_splits(cfg)


@pytest.mark.parametrize('path', RUNS, ids=lambda path: path.stem)
def test_the_encoder_is_the_original_s(path):
    """Stochastic depth of 0.1 and no dropout; the published ViT's norms and positions."""
    cfg = Config.fromfile(path)
    config, side = cfg.model.backbone, 480 if 'pascal' in path.stem else 512
    blocks = build(cfg).backbone
    if 'encoder' in path.stem:
        assert (config.img_size, config.patch_size) == (side, 16)
        assert (blocks.attention, blocks.position) == ('bidirectional', 'learned')
        drop_paths = [getattr(block.drop_path, 'drop_prob', 0.) for block in blocks.blocks]
        assert {(block.attn.attn_drop, block.attn.proj_drop.p) for block in blocks.blocks} == {(0., 0.)}
    else:
        assert (tuple(config.img_size), config.patch_size, config.interpolate_mode) == ((side, side), 16, 'bilinear')
        assert config.norm_cfg.eps == 1e-5 and config.final_norm and config.with_cls_token
        assert config.embed_dims == 64 * config.num_heads and config.drop_rate == config.attn_drop_rate == 0.
        # mmseg's encoder has it behind the feed-forward network only
        drop_paths = [getattr(layer.ffn.dropout_layer, 'drop_prob', 0.) for layer in blocks.layers]
    assert drop_paths == pytest.approx([0.1 * index / 11 for index in range(12)])


@pytest.mark.parametrize('path', RUNS, ids=lambda path: path.stem)
def test_classes_are_those_of_the_data_set_everywhere(path):
    cfg = Config.fromfile(path)
    kinds = {cfg[f'{name}_dataloader'].dataset.type for name in ('train', 'val', 'test')}
    assert len(kinds) == 1
    classes = DATASETS[kinds.pop()].METAINFO['classes']
    assert len(classes) == cfg.model.decode_head.num_classes == {'59': 59, 'context': 60}.get(path.stem.split('_')[-1], 150)


@pytest.mark.parametrize('path', RUNS, ids=lambda path: path.stem)
def test_multi_scale_tests_multiply_the_single_scale_test_s_size(path):
    cfg = Config.fromfile(path)
    single = next(step for step in cfg.test_dataloader.dataset.pipeline if step.type == 'Resize').scale
    resizes, flips, *_ = cfg.tta_pipeline[1].transforms
    assert [step.scale[1] / single[1] for step in resizes] == [0.5, 0.75, 1.0, 1.25, 1.5, 1.75]
    assert [flip.prob for flip in flips] == [0., 1.] and cfg.tta_model.type == 'SegTTAModel'


@pytest.mark.parametrize('name', ['small/segmenter_gpt2_ade20k', 'demo/segmenter_smollm2_digits'])
def test_so_do_those_of_small_images_in_smaller_steps(name):
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    resizes = cfg.tta_pipeline[1].transforms[0]
    if 'demo' in name:  # the canvases are tested as they are
        assert not any(step.type == 'Resize' for step in cfg.test_dataloader.dataset.pipeline)
        ratios = [step.scale_factor for step in resizes]
    else:
        single = next(step for step in cfg.test_dataloader.dataset.pipeline if step.type == 'Resize').scale
        ratios = [step.scale[1] / single[1] for step in resizes]
    assert ratios == [0.75, 1.0, 1.25]


def test_the_small_recipe_is_that_of_the_docs():
    cfg = Config.fromfile(CONFIGS / 'small' / 'segmenter_gpt2_ade20k.py')
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr, optimizer.weight_decay) == ('AdamW', 3e-4, 0.01)
    assert (cfg.train_cfg.max_iters, cfg.optim_wrapper.clip_grad.max_norm) == (400, 1.0)
    warm_up, decay = cfg.param_scheduler
    assert (warm_up.type, warm_up.start_factor, warm_up.end) == ('LinearLR', 0.05, 20)
    assert decay == dict(type='PolyLR', power=0.9, eta_min=1e-5, begin=20, by_epoch=False)
    assert cfg.train_dataloader.dataset.pipeline[2:5] == [
        dict(type='RandomResize', scale=(768, 192), ratio_range=(0.75, 1.5), keep_ratio=True),
        dict(type='RandomCrop', crop_size=(128, 128), cat_max_ratio=0.75), dict(type='RandomFlip', prob=0.5)]
    head, backbone, preprocessor = cfg.model.decode_head, cfg.model.backbone, cfg.model.data_preprocessor
    assert head.attn_drop == head.proj_drop == head.drop_path_rate == backbone.drop_path_rate == 0.
    assert (head.language.blocks, head.language.seed, cfg.randomness.seed) == ('0:2', 0, 0)
    assert (tuple(preprocessor.size), tuple(cfg.model.test_cfg.stride)) == ((128, 128), (96, 96))


@pytest.mark.parametrize('name', ['small/segmenter_gpt2_ade20k', 'demo/segmenter_smollm2_digits'])
def test_small_masks_count_from_one_and_keep_their_size(name):
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        assert loader.dataset.type == 'BaseSegDataset' and loader.dataset.reduce_zero_label
    for loader in (cfg.val_dataloader, cfg.test_dataloader):
        steps = [step.type for step in loader.dataset.pipeline]
        assert steps[-2:] == ['LoadAnnotations', 'PackSegInputs'], 'the truth is not resized'
    assert_trains_and_tests_on_its_own_splits(cfg)


@pytest.mark.parametrize('language', ['gpt2_medium', 'llama3_2_1b', 'smollm2_135m'])
def test_one_key_picks_the_language_model(language, tmp_path):
    for name in ('segmenter_gpt2_ade20k', 'segmentation/segmenter_gpt2_select_ade20k'):
        cfg = Config.fromfile(CONFIGS / f'{name}.py')
        cfg.model.decode_head.language.update(Config.fromfile(CONFIGS / '_base_' / 'language' / f'{language}.py').language)
        if language == 'llama3_2_1b':  # its query heads come in groups of four
            cfg.model.decode_head.update(num_heads=4 if 'select' in name else None)
        head = build(cfg).decode_head
        assert head.embed_dims == (192 if 'select' in name else head.language.spec.block.embed_dims)


def test_a_language_model_as_encoder():
    model = build(Config.fromfile(CONFIGS / 'segmentation' / 'segmenter_gpt2_encoder_ade20k.py'))
    assert len(model.backbone.blocks) == 12 and model.decode_head.in_channels == 768
    for layer in model.decode_head.layers:  # Segmenter's dropout
        assert layer.attn.attn.dropout == layer.attn.proj_drop.p == 0.1
        assert [module.p for module in layer.ffn.layers.modules() if isinstance(module, torch.nn.Dropout)] == [0.1, 0.1]


@pytest.mark.parametrize('classes', [None, 11])
def test_the_small_config_takes_its_number_of_classes_from_the_environment(classes, monkeypatch):
    if classes:
        monkeypatch.setenv('LBBT_NUM_CLASSES', str(classes))
    else:
        monkeypatch.delenv('LBBT_NUM_CLASSES', raising=False)
    cfg = Config.fromfile(CONFIGS / 'small' / 'segmenter_gpt2_ade20k.py')
    assert cfg.model.decode_head.num_classes == len(cfg.train_dataloader.dataset.metainfo.classes) == (classes or 150)
    assert build(cfg).decode_head.embed_dims == 768


def test_the_demo_s_config_labels_whole_canvases_with_middle_blocks():
    cfg = Config.fromfile(CONFIGS / 'demo' / 'segmenter_smollm2_digits.py')
    model = build(cfg)
    head = model.decode_head
    assert isinstance(head, LanguageSegmenterHead) and list(head.language.block_indices('blocks')) == [10, 11]
    with torch.no_grad():
        features = model.extract_feat(torch.zeros(2, 3, 64, 64))
        assert head(features).shape == (2, 11, 16, 16)
        assert model.eval().encode_decode(torch.zeros(2, 3, 64, 64), [dict(img_shape=(64, 64))] * 2).shape == (2, 11, 64, 64)
    names = [name for name, _ in model.named_parameters()]
    rates = cfg.optim_wrapper.paramwise_cfg.custom_keys
    for key in rates:
        assert any(key in name for name in names), f'{key} has a learning rate of its own'
    assert {key: rate.lr_mult for key, rate in rates.items()} == {'backbone': 5., 'decode_head.mask_norm': 30.}
    optimizer = cfg.optim_wrapper.optimizer
    assert (cfg.train_cfg.max_iters, optimizer.type, optimizer.lr, optimizer.weight_decay) == (1200, 'AdamW', 3e-4, 0.01)
