"""The shipped configs load and are in their metafiles; those of detectors build, as wide as their language model is."""
import re
from pathlib import Path

import pytest
import torch
import yaml
from mmdet.registry import MODELS
from mmengine.config import Config

from lbbt_mm.language import read_spec
from tests.checked import check_coco_datasets
from tests.data_splits import assert_trains_and_tests_on_its_own_splits
from tests.tiny_detection import REPO, write_dataset

CONFIGS = REPO / 'configs'
RUNS = sorted(path for path in CONFIGS.rglob('detr_*.py') if '_base_' not in path.parts)
FOLDERS = sorted({path.parent for path in CONFIGS.rglob('*.py') if '_base_' not in path.parts})
LANGUAGE_MODELS = sorted((CONFIGS / '_base_' / 'language').glob('*.py'))

# Published sizes: blocks, width, query heads, key/value heads, head width, feed-forward width
SIZES = {
    'gpt2': ('gpt2', 12, 768, 12, 12, 64, 3072),
    'gpt2_medium': ('gpt2', 24, 1024, 16, 16, 64, 4096),
    'smollm2_135m': ('llama', 30, 576, 9, 3, 64, 1536),
    'llama_7b': ('llama', 32, 4096, 32, 32, 128, 11008),
    'llama3_2_1b': ('llama', 16, 2048, 32, 8, 64, 8192),
    'opt_350m': ('opt', 24, 1024, 16, 16, 64, 4096),
    'opt_1_3b': ('opt', 24, 2048, 32, 32, 64, 8192),
    'opt_2_7b': ('opt', 32, 2560, 32, 32, 80, 10240),
    'opt_6_7b': ('opt', 32, 4096, 32, 32, 128, 16384),
    'qwen3_8b': ('qwen3', 36, 4096, 32, 8, 128, 12288),
    'qwen3_14b': ('qwen3', 40, 5120, 40, 8, 128, 17408),
}


def name_of(path: Path) -> str:
    return str(path.relative_to(CONFIGS).with_suffix(''))


def kind_of(path: Path) -> str:
    """``detr``, ``small/detr`` or ``demo/detr``."""
    return name_of(path).split('_')[0].replace('detection/', '')


def build(cfg: Config):
    """Build the model without memory for its parameters: shapes are all that is asked here."""
    with torch.device('meta'):
        return MODELS.build(cfg.model)


def test_configs_lie_in_a_folder_a_task():
    assert {folder.name for folder in FOLDERS} == {
        'configs', 'classification', 'detection', 'segmentation', 'small', 'demo', 'public_lbbt', 'rectifier', 'zero_shot'}
    assert {path.stem for path in CONFIGS.glob('*.py')} == {
        'detr_gpt2_coco', 'segmenter_gpt2_ade20k', 'classify_gpt2_medium_cifar10', 'bridge_gpt2_medium_cifar10',
        'probe_gpt2_medium_cifar10', 'retrieval_gpt2_medium_tiny_imagenet'}, 'the headline configs'


@pytest.mark.parametrize('folder', FOLDERS, ids=lambda folder: folder.name)
def test_every_config_of_a_folder_loads_and_is_in_its_metafile(folder):
    configs = sorted(folder.glob('*.py'))
    for path in configs:
        assert Config.fromfile(path).model.type, path
    listed = yaml.safe_load((folder / 'metafile.yml').read_text())['Models']
    assert [model['Config'] for model in listed] == [path.relative_to(REPO).as_posix() for path in configs]


def test_no_config_counts_the_steps_of_a_pipeline():
    for path in CONFIGS.rglob('*.py'):
        assert not re.search(r'(pipeline|images)\w*(\[|\.\d)', path.read_text()), path


@pytest.mark.parametrize('path', LANGUAGE_MODELS, ids=lambda path: path.stem)
def test_language_bases_describe_the_published_models(path):
    spec = read_spec(Config.fromfile(path).language.config)
    block = spec.block
    assert SIZES[path.stem] == (spec.model_type, spec.num_blocks, block.embed_dims, block.num_heads, block.num_kv_heads,
                                block.head_dims, block.ffn_dims)


@pytest.mark.parametrize('path', LANGUAGE_MODELS, ids=lambda path: path.stem)
def test_every_language_base_drops_into_every_detector_base(path, tmp_path):
    """One key picks the language model: the bases leave every width that depends on it None."""
    for base in ('language_detr_r50_coco', 'small_detr'):
        (tmp_path / 'mine.py').write_text(
            f"_base_ = [{str(CONFIGS / '_base_' / base) + '.py'!r}, {str(path)!r}]\n"
            "model = dict(language=dict(encoder_blocks='0:1', decoder_blocks='-1', **_base_.language))\n")
        model = build(Config.fromfile(tmp_path / 'mine.py'))
        width = read_spec(Config.fromfile(path).language.config).block.embed_dims
        assert model.embed_dims == model.bbox_head.embed_dims == model.neck.convs[0].conv.out_channels == width


def test_there_are_configs():
    names = {name_of(path) for path in RUNS}
    assert {'detr_gpt2_coco', 'detection/detr_smollm2_coco', 'small/detr_gpt2_coco'} <= names


@pytest.mark.parametrize('path', RUNS, ids=name_of)
def test_every_config_builds(path, monkeypatch):
    monkeypatch.delenv('LBBT_DATA_ROOT', raising=False)
    cfg = Config.fromfile(path)
    spec = read_spec(cfg.model.language.config)
    model = build(cfg)
    width = spec.block.embed_dims
    assert model.embed_dims == model.bbox_head.embed_dims == 2 * model.positional_encoding.num_feats == width
    assert model.neck.convs[0].conv.out_channels == width
    assert len(model.encoder.layers) == len(model.language.block_indices('encoder_blocks'))
    assert len(model.decoder.layers) == len(model.language.block_indices('decoder_blocks'))
    assert {'lbbt_mm.SeedingHook', 'lbbt_mm.LanguageConfigHook'} <= {hook.type for hook in cfg.custom_hooks}
    assert cfg.randomness.seed is not None
    assert cfg.default_scope == 'mmdet', 'the host decides where names without a scope are looked up'


@pytest.mark.parametrize('path', RUNS, ids=name_of)
def test_dropout_is_detr_s_where_there_is_data_for_it(path):
    """0.1 behind attention, on hidden units and outputs for COCO, none in minutes on a CPU; never on attention weights."""
    model = build(Config.fromfile(path))
    expected = 0. if path.parent.name in ('small', 'demo') else 0.1
    for layer in (*model.encoder.layers, *model.decoder.layers):
        parts = [part for part in (layer.attn, layer.cross_attn) if part is not None]
        assert {part.attn_drop for part in parts} == {0.} and isinstance(layer.drop_path, torch.nn.Identity)
        assert {*(part.proj_drop.p for part in parts), layer.mlp.drop.p} == {expected}
        assert layer.norm == 'pre' and not any(part.causal for part in parts)


@pytest.mark.parametrize('path', RUNS, ids=name_of)
def test_data_and_colours_are_those_of_mmdet_s_detr(path):
    cfg = Config.fromfile(path)
    assert_trains_and_tests_on_its_own_splits(cfg)
    colours = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True, pad_size_divisor=1)
    assert cfg.model.data_preprocessor == dict(type='DetDataPreprocessor', **colours)
    assert (cfg.model.language.seed, cfg.randomness.seed) == (0, 0)


#: Epochs, learning rates of transformer and backbone, images a step
RECIPES = {'detr': (150, 1e-4, 1e-5, 2), 'small/detr': (60, 2e-4, 2e-4, 8), 'demo/detr': (4, 3e-4, 15e-4, 16)}


@pytest.mark.parametrize('path', RUNS, ids=name_of)
def test_recipes_are_those_of_the_docs(path):
    cfg = Config.fromfile(path)
    optimizer = cfg.optim_wrapper.optimizer
    of_backbone = cfg.optim_wrapper.paramwise_cfg.get('custom_keys', {}).get('backbone', {}).get('lr_mult', 1.)
    found = (cfg.train_cfg.max_epochs, optimizer.lr, optimizer.lr * of_backbone, cfg.train_dataloader.batch_size)
    assert found == pytest.approx(RECIPES[kind_of(path)])
    assert (optimizer.type, optimizer.weight_decay) == ('AdamW', 1e-4)


#: Blocks of encoder and decoder
BLOCKS = {'detr': (range(12), range(12)), 'small/detr': (range(3), range(3)), 'demo/detr': ([10], [10, 11])}


@pytest.mark.parametrize('path', RUNS, ids=name_of)
def test_blocks_are_those_of_the_docs(path):
    language = build(Config.fromfile(path)).language
    found = [language.block_indices(f'{coder}_blocks') for coder in ('encoder', 'decoder')]
    assert found == [list(blocks) for blocks in BLOCKS[kind_of(path)]]


def test_the_small_detectors_differ_from_detr_where_they_say_so():
    for name in ('small/detr_gpt2_coco', 'demo/detr_smollm2_digits'):
        cfg = Config.fromfile(CONFIGS / f'{name}.py')
        wrapper = cfg.optim_wrapper
        assert (wrapper.paramwise_cfg.norm_decay_mult, wrapper.paramwise_cfg.bias_decay_mult) == (0., 0.)
        assert (wrapper.type, cfg.model.positional_encoding.temperature) == ('lbbt_mm.AutocastOptimWrapper', 20)
        assert cfg.model.backbone.norm_cfg == dict(type='BN', requires_grad=True) and not cfg.model.backbone.norm_eval
        assert cfg.model.bbox_head.loss_cls.loss_weight == (4. if 'demo' in name else 1.)
        flips = [step.prob for step in cfg.train_dataloader.dataset.pipeline if step.type == 'RandomFlip']
        assert flips == ([] if 'demo' in name else [0.5]), 'digits are not mirrored'


def test_table_6_of_the_paper(tmp_path):
    """DETR-R50, width 768, 12 heads, feed-forward 3072, 12 + 12 layers; data and schedule of mmdet's DETR."""
    cfg = Config.fromfile(CONFIGS / 'detr_gpt2_coco.py')
    model = build(cfg)
    assert model.backbone.depth == 50 and model.num_queries == 100
    for coder in (model.encoder, model.decoder):
        assert len(coder.layers) == 12
        block = coder.layers[0]
        assert block.attn.qkv.weight.shape == (3 * 768, 768) and block.attn.head_dims == 64
        assert block.mlp.fc1.weight.shape == (3072, 768)
    (tmp_path / 'stock.py').write_text("_base_ = 'mmdet::detr/detr_r50_8xb2-150e_coco.py'\n")
    stock = Config.fromfile(tmp_path / 'stock.py')
    for key in ('train_cfg', 'param_scheduler', 'optim_wrapper', 'auto_scale_lr', 'train_pipeline', 'test_pipeline'):
        assert cfg[key] == stock[key], key
    for key in ('backbone', 'data_preprocessor', 'train_cfg', 'test_cfg', 'num_queries'):
        assert cfg.model[key] == stock.model[key], key
    assert cfg.train_dataloader.batch_size == stock.train_dataloader.batch_size == 2


def test_the_language_model_changes_from_the_command_line(folders):
    """``--cfg-options model.language.checkpoint=PATH model.language.config=None``."""
    cfg = Config.fromfile(CONFIGS / 'detr_gpt2_coco.py')
    cfg.merge_from_dict({'model.language.checkpoint': str(folders['llama']), 'model.language.config': None,
                         'model.language.encoder_blocks': '::2', 'model.language.decoder_blocks': -1})
    model = build(cfg)
    assert model.embed_dims == 32 and len(model.encoder.layers) == 2 and len(model.decoder.layers) == 1
    assert model.language.spec.model_type == 'llama'


def test_one_field_of_it_changes_from_the_command_line():
    cfg = Config.fromfile(CONFIGS / 'detr_gpt2_coco.py')
    cfg.merge_from_dict({'model.language.config.n_embd': 1536})
    assert build(cfg).embed_dims == 1536


@pytest.mark.parametrize('path', [CONFIGS / 'detr_gpt2_coco.py', CONFIGS / 'small' / 'detr_gpt2_coco.py'], ids=name_of)
def test_the_data_root_comes_from_the_environment(path, monkeypatch, tmp_path):
    root = write_dataset(tmp_path / 'mine', 2, 2)
    monkeypatch.setenv('LBBT_DATA_ROOT', str(root))
    cfg = Config.fromfile(path)
    with pytest.raises(ValueError, match="classes 'person'"):  # every path was found, the classes are COCO's
        check_coco_datasets(cfg)
    assert cfg.val_evaluator.ann_file == cfg.test_evaluator.ann_file == f'{root}/annotations/instances_val2017.json'
    monkeypatch.delenv('LBBT_DATA_ROOT')
    cfg = Config.fromfile(path)
    assert cfg.train_dataloader.dataset.data_root == 'data/coco'
    assert cfg.val_evaluator.ann_file == 'data/coco/annotations/instances_val2017.json'
