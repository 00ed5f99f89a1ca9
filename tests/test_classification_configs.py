"""The configs of the paper's classification rows: the recipe's numbers, one key between arms, a table that names all."""
import re
from copy import deepcopy
from functools import lru_cache
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample

from lbbt_mm.config_keys import has_key
from lbbt_mm.language import read_spec
from lbbt_mm.launch.settings import apply_options
from tests.data_splits import assert_trains_and_tests_on_its_own_splits

REPO = Path(__file__).resolve().parent.parent
CONFIGS = REPO / 'configs'
STAGES = ('classify', 'bridge', 'probe', 'retrieval')
ROWS = {path.stem: path for folder in (CONFIGS, CONFIGS / 'classification') for path in sorted(folder.glob('*.py'))
        if path.stem.startswith(STAGES)}
TRAINED = {name: path for name, path in ROWS.items() if not name.startswith('retrieval')}
PAGE = REPO / 'docs' / 'classification.md'

CLASSES = {'cifar10': 10, 'cifar100': 100, 'tiny_imagenet': 200, 'imagenet': 1000}
# Blocks, width, and parameters of patch embedding (16 x 16 x 3), 196 positions, blocks and final norm
SIZES = {
    'gpt2_medium': (24, 1024, 302_309_376 + 787_456 + 200_704 + 2_048),
    'llama3_2_1b': (16, 2048, 973_144_064 + 1_574_912 + 401_408 + 2_048),
    'qwen3_8b': (36, 4096, 6_946_071_552 + 3_149_824 + 802_816 + 4_096),
    'qwen3_14b': (40, 5120, 13_212_477_440 + 3_937_280 + 1_003_520 + 5_120),
}


def load(name: str) -> Config:
    return deepcopy(_load(name))


@lru_cache(maxsize=None)
def _load(name: str) -> Config:
    """Read a config once: mmengine goes through all of mmpretrain's model index each time."""
    return Config.fromfile(ROWS[name])


def build(cfg: Config) -> torch.nn.Module:
    """Build the model without memory for its parameters."""
    with torch.device('meta'):
        return MODELS.build(cfg.model)


def data_of(name: str) -> str:
    return max((data for data in CLASSES if f'_{data}' in name), key=len)


def language_of(name: str) -> str:
    return next(language for language in SIZES if language in name)


def flat(value, prefix: str = '') -> dict:
    """Nested dicts and lists as one dict, with dotted keys."""
    if not isinstance(value, (dict, list, tuple)) or not value:
        return {prefix: value}
    items = value.items() if isinstance(value, dict) else enumerate(value)
    return {key: leaf for name, item in items for key, leaf in flat(item, f'{prefix}.{name}' if prefix else name).items()}


def differences(name: str, other: str) -> dict:
    """Key -> (value in one config, value in the other)."""
    one, two = flat(load(name).to_dict()), flat(load(other).to_dict())
    return {key: (one.get(key, 'absent'), two.get(key, 'absent')) for key in one.keys() | two.keys()
            if one.get(key, 'absent') != two.get(key, 'absent')}


@pytest.fixture(autouse=True)
def no_data_root(monkeypatch):
    monkeypatch.delenv('LBBT_DATA_ROOT', raising=False)


@pytest.mark.parametrize('name', ROWS)
def test_every_row_builds_without_weights(name):
    cfg = load(name)
    model = build(cfg)
    blocks, width, backbone_size = SIZES[language_of(name)]
    backbone = model.image_encoder if name.startswith('retrieval') else model.backbone
    assert (len(backbone.blocks), backbone.embed_dims, backbone.patch_resolution) == (blocks, width, (14, 14))
    assert sum(parameter.numel() for parameter in backbone.parameters()) == backbone_size
    assert read_spec(cfg.language.config) == backbone.language.spec
    if not name.startswith('retrieval'):
        num_classes = CLASSES[data_of(name)]
        assert model.head.fc.weight.shape == (num_classes, width)
        assert cfg.data_preprocessor.num_classes == num_classes
    assert cfg.default_scope == 'mmpretrain', 'the host decides where names without a scope are looked up'
    assert {'lbbt_mm.SeedingHook', 'lbbt_mm.LanguageConfigHook'} <= {hook.type for hook in cfg.custom_hooks}
    assert cfg.randomness.seed is not None


@pytest.mark.parametrize('name', TRAINED)
def test_every_row_has_the_paper_s_recipe(name):
    cfg = load(name)
    backbone, optimizer = cfg.model.backbone, cfg.optim_wrapper.optimizer
    assert (backbone.img_size, backbone.patch_size, backbone.drop_path_rate) == (224, 16, 0.1)
    assert (optimizer.type, optimizer.lr, optimizer.weight_decay) == ('AdamW', 1e-3, 0.05)
    assert cfg.optim_wrapper.clip_grad.max_norm == 1.0
    imagenet = data_of(name) == 'imagenet'
    epochs, batch, gpus = 400, 64, 1
    if name.startswith('probe'):
        epochs, batch = 100, 128
    elif imagenet:
        batch, gpus = 32, 6
        epochs = 100 if name.startswith('bridge') else 50 if 'llama' in name else 150
    assert cfg.train_cfg.max_epochs == epochs
    schedule = cfg.param_scheduler
    assert (schedule.type, schedule.by_epoch, schedule.convert_to_iter_based) == ('CosineAnnealingLR', True, True)
    assert not schedule.keys() & {'eta_min', 'begin', 'end', 'T_max'}, 'to zero, over the whole run, however long it is'
    assert cfg.randomness.seed == 0
    assert cfg.model.head.loss == dict(type='CrossEntropyLoss', loss_weight=1.0)
    assert cfg.val_evaluator == cfg.test_evaluator == dict(type='Accuracy', topk=(1, ))
    assert cfg.train_cfg.val_interval == (5 if imagenet and not name.startswith('probe') else 10)
    assert cfg.train_dataloader.batch_size == batch
    assert cfg.auto_scale_lr.base_batch_size == batch * gpus
    resize = dict(type='Resize', scale=(224, 224), interpolation='bicubic')
    augmented = imagenet and name.startswith('classify')
    assert augmented or [step.type for step in cfg.train_dataloader.dataset.pipeline if 'Random' in step.type] in (
        [], ['lbbt_mm.RandomLabel']), 'images are only resized'
    assert augmented or resize in cfg.train_dataloader.dataset.pipeline


@pytest.mark.parametrize('name', ROWS)
def test_every_row_has_the_function_and_the_order_of_the_design(name):
    """Patches have no order, and are pooled by their mean; nothing is dropped but paths."""
    model = load(name).model
    backbone = build(load(name))
    backbone = backbone.image_encoder if name.startswith('retrieval') else backbone.backbone
    assert (backbone.attention, backbone.position, backbone.out_type) == ('bidirectional', 'learned', 'avg_featmap')
    assert isinstance(backbone.norm, (torch.nn.LayerNorm, torch.nn.RMSNorm)) and backbone.num_extra_tokens == 0
    rates = [getattr(block.drop_path, 'drop_prob', 0.) for block in backbone.blocks]
    last = 0. if name.startswith('retrieval') else 0.1
    assert rates == pytest.approx([last * index / (len(rates) - 1) for index in range(len(rates))])
    drops = {(block.attn.attn_drop, block.attn.proj_drop.p, block.mlp.drop.p) for block in backbone.blocks}
    assert drops == {(0., 0., 0.)}
    assert backbone.frozen_stages == -1
    language = (model.image_encoder if name.startswith('retrieval') else model.backbone).language
    start = {} if name.startswith(('probe', 'retrieval')) else dict(arm='language', seed=0)  # those take a bridge
    assert {key: language[key] for key in language.keys() - {'checkpoint', 'config'}} == dict(blocks=None, **start)


@pytest.mark.parametrize('name', TRAINED)
def test_every_row_trains_on_training_images_and_is_tested_on_the_others(name):
    assert_trains_and_tests_on_its_own_splits(load(name))


@pytest.mark.parametrize('name', [name for name in TRAINED if not name.startswith('probe')])
def test_random_labels_are_of_the_training_images_alone(name):
    cfg = load(name)
    labels = [step for step in cfg.train_dataloader.dataset.pipeline if step.type == 'lbbt_mm.RandomLabel']
    if name.startswith('classify') and data_of(name) == 'imagenet':
        assert not labels
        return
    ratio = 0. if name.startswith('classify') else 1.
    assert [(label.ratio, label.seed, label.num_classes) for label in labels] == [(ratio, 0, cfg.model.head.num_classes)]
    if 'cifar' in name:  # arrays without paths
        assert labels[0]['key'] == 'sample_idx'
    else:
        assert labels[0].data_root == cfg.train_dataloader.dataset.data_root
    for loader in (cfg.val_dataloader, cfg.test_dataloader):
        assert 'RandomLabel' not in str(loader)
    assert (cfg.val_cfg.type, cfg.val_cfg.num_train_samples) == ('lbbt_mm.BridgeValLoop', 10_000)
    pack = cfg.train_dataloader.dataset.pipeline[-1]
    assert 'true_label' in pack.meta_keys


@pytest.mark.parametrize('name', [name for name in TRAINED if name.startswith('classify') and 'imagenet' in name])
def test_true_labels_of_imagenet_are_learnt_from_crops_and_flips(name):
    """As mmpretrain trains and tests on ImageNet."""
    cfg = load(name)
    load_image, pack = dict(type='LoadImageFromFile'), dict(type='PackInputs')
    assert cfg.train_dataloader.dataset.pipeline == [
        load_image, dict(type='RandomResizedCrop', scale=224, interpolation='bicubic'),
        dict(type='RandomFlip', prob=0.5, direction='horizontal'), pack]
    for loader in (cfg.val_dataloader, cfg.test_dataloader):
        assert loader.dataset.pipeline == [
            load_image, dict(type='ResizeEdge', scale=256, edge='short', interpolation='bicubic'),
            dict(type='CenterCrop', crop_size=224), pack]


@pytest.mark.parametrize('data', ['cifar10', 'cifar100'])
def test_true_labels_are_random_ones_at_ratio_0(data):
    key = 'train_dataloader.dataset.pipeline.0.ratio'
    assert differences(f'bridge_gpt2_medium_{data}', f'classify_gpt2_medium_{data}') == {key: (1.0, 0.)}


@pytest.mark.parametrize('name', [name for name in TRAINED if name.startswith('bridge')])
def test_one_key_sets_the_share_of_random_labels(name):
    """``RandomLabel.ratio=0.15``: Table 2."""
    cfg = load(name)
    apply_options(cfg, {'RandomLabel.ratio': 0.15})
    assert cfg.train_dataloader.dataset.pipeline[0].ratio == 0.15


@pytest.mark.parametrize('name', [name for name in TRAINED if not name.startswith('probe')])
def test_one_key_picks_the_blocks_that_train(name):
    """``default_hooks.partial_freeze.trainable=first:5``: Tables 8 and 12."""
    assert load(name).default_hooks.partial_freeze == dict(type='lbbt_mm.PartialFreezeHook', trainable='all')


@pytest.mark.parametrize('name', [name for name in ROWS if name.startswith('probe')])
def test_probes_train_a_linear_layer_on_standardised_features_of_a_frozen_backbone(name):
    cfg = load(name)
    hook = cfg.default_hooks.partial_freeze
    assert (hook.type, hook.trainable) == ('lbbt_mm.PartialFreezeHook', 'none') and 'module' not in hook
    model = build(cfg)
    trained = [name for name, _ in model.named_parameters() if name.startswith(tuple(hook.also))]
    assert trained == ['head.fc.weight', 'head.fc.bias']
    assert model.neck.bn.num_features == model.backbone.embed_dims and not model.neck.bn.affine
    assert 'neck' in hook.also, 'the running statistics of the features are gathered'
    assert 'RandomLabel' not in str(cfg.train_dataloader)


def without_start(language: dict) -> dict:
    """A ``language`` dict as those have it that take a bridge: what blocks start from is the bridge's to say."""
    return {key: value for key, value in language.items() if key not in ('arm', 'seed')}


@pytest.mark.parametrize('data', CLASSES)
def test_one_key_of_a_probe_leaves_the_bridge_out(data):
    """``model.backbone.init_cfg=None``."""
    cfg = load(f'probe_gpt2_medium_{data}')
    assert cfg.model.backbone.init_cfg == dict(type='lbbt_mm.BridgeInit', checkpoint=None)
    cfg.merge_from_dict({'model.backbone.init_cfg': None})
    copies = [build(one).backbone.init_cfg[-1] for one in (cfg, load(f'bridge_gpt2_medium_{data}'))]
    assert copies[0].pop('language') == without_start(copies[1].pop('language')) and copies[0] == copies[1]


@pytest.mark.parametrize('data', CLASSES)
def test_a_probe_has_the_backbone_of_its_bridge(data):
    bridge, probe = (load(f'{stage}_gpt2_medium_{data}').model.backbone.to_dict() for stage in ('bridge', 'probe'))
    assert probe.pop('init_cfg') and probe == dict(bridge, language=without_start(bridge['language']))


def test_a_probe_without_a_checkpoint_says_what_to_do():
    cfg = load('probe_gpt2_medium_cifar10')
    cfg.merge_from_dict({'model.backbone.language.config': dict(model_type='gpt2', n_embd=32, n_head=4, n_layer=24)})
    with pytest.raises(Exception, match='checkpoint=None.*tools/lbbt.py CONFIG --probe'):
        MODELS.build(cfg.model).init_weights()


def test_retrieval_has_the_backbone_of_the_bridge_and_disjoint_images():
    cfg = load('retrieval_gpt2_medium_tiny_imagenet')
    encoder, bridge = cfg.model.image_encoder, load('bridge_gpt2_medium_tiny_imagenet').model.backbone
    bridge.language = without_start(bridge.language)
    assert {key: value for key, value in bridge.items() if key in encoder} == encoder
    queries = cfg.test_dataloader.dataset
    assert queries.gallery == cfg.model.prototype.dataset
    assert (queries.gallery.data_prefix, queries.dataset.data_prefix) == ('train', 'test')
    assert [(metric.type.split('.')[-1], metric.topk, metric.get('first_hit', False)) for metric in cfg.test_evaluator] == [
        ('RetrievalAveragePrecision', 100_000, False), ('RetrievalRecall', (1, 5), False),  # the whole gallery is ranked
        ('RetrievalPrecision', (1, 5), False), ('RetrievalNDCG', (1, 5), False), ('RetrievalNDCG', (1, 5), True)]


@pytest.mark.parametrize('name', [name for name in ROWS if 'qwen3' in name])
def test_two_blocks_of_qwen3_run_at_a_shrunken_width(name):
    cfg = load(name)
    cfg.merge_from_dict({
        'model.backbone.language.blocks': '0:2', 'model.backbone.language.arm': 'random', 'model.backbone.img_size': 32,
        'model.backbone.language.config': dict(hidden_size=64, intermediate_size=96, num_attention_heads=4,
                                               num_key_value_heads=2, head_dim=32)})
    check_a_step(cfg)


@pytest.mark.slow
@pytest.mark.parametrize('language', ['qwen3_8b', 'qwen3_14b'])
def test_two_blocks_of_qwen3_run_at_their_real_width(language):
    cfg = load(f'bridge_{language}_cifar10')
    # the arm that draws nothing: how a billion numbers are drawn is not what is tested
    cfg.merge_from_dict({'model.backbone.language.blocks': '0:2', 'model.backbone.language.arm': 'host'})
    check_a_step(cfg)


def check_a_step(cfg: Config) -> None:
    """One forward and backward pass: every parameter gets a finite gradient."""
    init_default_scope('mmpretrain')
    model = MODELS.build(cfg.model)
    assert len(model.backbone.blocks) == 2
    model.init_weights()
    size = cfg.model.backbone.img_size
    loss = model.eval()(torch.rand(1, 3, size, size), [DataSample().set_gt_label(3)], mode='loss')['loss']
    loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name


@pytest.mark.parametrize('name', [f'{stage}_gpt2_medium_{data}' for data in CLASSES for stage in ('bridge', 'probe')]
                         + ['classify_gpt2_medium_imagenet', 'retrieval_gpt2_medium_tiny_imagenet'])
def test_the_data_root_comes_from_the_environment(name, monkeypatch):
    assert f"'data/{data_of(name)}'" in str(load(name).to_dict())
    monkeypatch.setenv('LBBT_DATA_ROOT', '/mine')
    found = str(Config.fromfile(ROWS[name]).to_dict())
    assert "'/mine'" in found and "'data/" not in found


def named_in(text: str) -> set:
    """Configs that a page names, ``DATA`` replaced by the data sets of its section."""
    found = set()
    for section in text.split('\n### '):
        listed = re.search(r'`DATA` one of ((?:`\w+`(?:, )?)+)', section)
        data_sets = re.findall(r'`(\w+)`', listed.group(1)) if listed else []
        for name in re.findall(rf'\b(?:{"|".join(STAGES)})_\w+', section):
            found |= {name.replace('DATA', data) for data in data_sets} if 'DATA' in name else {name}
    return found


def test_the_table_names_every_row_and_nothing_else():
    rows, = PAGE.read_text().split('\n## Paper rows\n')[1:]
    assert set(ROWS) == named_in(rows)


def test_keys_that_rows_of_the_table_name_are_there():
    rows, = PAGE.read_text().split('\n## Paper rows\n')[1:]
    keys = set(re.findall(r'\b((?:model|optim_wrapper|default_hooks)\.[\w.]+)=', rows))
    assert {key.split('.')[-1] for key in keys} >= {'arm', 'init_cfg', 'trainable', 'type', 'lr', 'weight_decay'}
    for name in ('bridge_gpt2_medium_cifar10', 'probe_gpt2_medium_cifar10'):
        for key in keys - {'model.backbone.init_cfg' if name.startswith('bridge') else 'model.backbone.language.arm'}:
            assert has_key(load(name), key), key
