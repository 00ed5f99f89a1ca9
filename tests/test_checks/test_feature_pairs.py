"""Stores of features that do not fit a run stop it before it starts."""
import pytest
import torch
from mmengine.config import Config

from lbbt_mm.checks import check_datasets, check_settings, find_problems
from lbbt_mm.checks.image_files import Budget
from tests.feature_stores import spoil, write_store
from tests.tiny_sharelock import run_config

ALL = ('train_dataloader', 'val_dataloader', 'test_dataloader')


@pytest.fixture
def cfg(tmp_path) -> Config:
    return run_config(tmp_path)


def test_a_run_that_fits_passes(cfg):
    check_settings(cfg, ALL)
    assert list(find_problems(cfg, ALL)) == []


@pytest.mark.parametrize('options, message', [
    ({'model.text_projection.in_channels': 12},
     r"model.text_projection.in_channels: is 12, and the features of .*texts \(a-text-model\) are 10 wide. Set it to 10"),
    ({'model.text_projection.out_channels': 5}, 'model: makes embeddings of images 6 wide, and of texts 5 wide'),
    ({'model.text_projection': None}, 'model: makes embeddings of images 6 wide, and of texts 10 wide'),
    ({'train_dataloader.batch_size': 40}, 'train_dataloader.batch_size: is 40, and the data set has 2. pairs; expected no'),
    ({'train_dataloader.batch_size': 1}, 'train_dataloader.batch_size: is 1; expected 2 or more: contrastive losses'),
    ({'model.batch': 'accumulate', 'model.accumulate_size': 3},
     "batch_size: is 8, with model.batch='accumulate' and model.accumulate_size=3; expected a whole number"),
    ({'train_dataloader.sampler.batch_size': 4}, 'sampler.batch_size: is 4, and that of the loader 8. Set both'),
    ({'train_dataloader.sampler': dict(type='InfiniteSampler', _delete_=True)},
     'train_dataloader.sampler: is InfiniteSampler, which does not say the epoch'),
    ({'train_cfg.by_epoch': True}, 'train_cfg.by_epoch: is True, and lbbt_mm.PairSampler has no end'),
    ({'val_dataloader.collate_fn.type': 'pseudo_collate'}, 'val_dataloader.collate_fn: is not that of batches'),
    ({'train_dataloader.dataset.text_expected': dict(model='other')},
     "train_dataloader.dataset: .*texts: holds other features: model 'a-text-model' where 'other'"),
    ({'train_dataloader.dataset.image_stores': 'x'}, "train_dataloader.dataset: .*'image_stores'; expected the settings"),
])
def test_what_does_not_fit(cfg, options, message):
    cfg.merge_from_dict(options)
    with pytest.raises(ValueError, match=message):
        check_datasets(cfg)


def test_a_store_that_is_not_there(cfg):
    cfg.val_dataloader.dataset.text_store = 'nowhere'
    with pytest.raises(FileNotFoundError, match='val_dataloader.dataset: nowhere'):
        check_datasets(cfg)


def test_shards_whose_bytes_changed_are_found_where_all_files_are_looked_at(cfg, tmp_path):
    """Each once, whichever data sets share the store; before a run no features are read."""
    for row in (3, 20, 4):  # of shards 0 and 2
        spoil(tmp_path / 'images', 1., row)
    seen = []
    budget = Budget(seconds=None, progress=lambda what, done, total: seen.append((what, total)))
    problems = list(find_problems(cfg, ALL, budget))
    assert [problem.fatal for problem in problems] == [True] * 2
    for problem, shard in zip(problems, ('shard-00000-of-00006', 'shard-00002-of-00006'), strict=True):
        assert problem.where == 'train_dataloader.dataset'
        assert problem.text.startswith(f'{tmp_path}/images/{shard}.safetensors: has another checksum than index.json says')
    assert set(seen) == {(f'{tmp_path}/images', 6), (f'{tmp_path}/texts', 12)}
    assert list(find_problems(cfg, ALL)) == []


def test_stores_of_other_lengths(cfg, tmp_path):
    short = write_store(tmp_path / 'short', 'text', ['0000.png', '0001.png'], torch.zeros(2, 10))
    cfg.train_dataloader.dataset.text_store = str(short)
    with pytest.raises(ValueError, match="train_dataloader.dataset: .* 40 images, and captions of 2; '0002.png' has no"):
        check_datasets(cfg)


def test_all_captions_in_training_are_only_said(cfg):
    cfg.train_dataloader.dataset.captions = 'all'
    problem, = find_problems(cfg)
    assert not problem.fatal and 'may be in a batch twice' in problem.text


@pytest.mark.parametrize('evaluator, monitor, is_there', [
    (dict(type='lbbt_mm.PairLoss'), 'pair/loss', True), (dict(type='lbbt_mm.PairLoss'), 'loss', False),
    (dict(type='lbbt_mm.PairRetrieval', topk=(2, )), 'pair/image_to_text_R@2', True),
    (dict(type='lbbt_mm.PairRetrieval'), 'pair/text_to_image_R@10', True),
    (dict(type='lbbt_mm.PairTest', quadruples='x'), 'pair/group_score', True),
    (dict(type='lbbt_mm.PairRetrieval', topk=(2, ), prefix='other'), 'pair/image_to_text_R@2', False)])
def test_what_is_watched_has_to_be_measured(cfg, evaluator, monitor, is_there):
    cfg.val_evaluator = evaluator
    cfg.default_hooks.checkpoint.save_best = monitor
    cfg.custom_hooks = []
    if is_there:
        check_settings(cfg)
    else:
        with pytest.raises(ValueError, match='the validation has no such metric'):
            check_settings(cfg)
