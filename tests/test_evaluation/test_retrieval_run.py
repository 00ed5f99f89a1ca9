"""Table 11's config, run on tiny images with a tiny GPT-2: every metric equals its definition."""
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmpretrain.registry import MODELS

from tests.image_folders import write_image_folder
from tests.tiny_checkpoints import CONFIGS
from tests.tool_processes import run_tool

REPO = Path(__file__).resolve().parents[2]
GALLERY, QUERIES = dict(cat=6, dog=4, eel=5), dict(cat=3, dog=2, eel=3)


@pytest.fixture
def cfg(tmp_path, monkeypatch) -> Config:
    """The shipped config with another language model, image size and gallery."""
    write_image_folder(tmp_path / 'data' / 'train', GALLERY, size=16)
    write_image_folder(tmp_path / 'data' / 'test', QUERIES, size=16, seed=1)
    monkeypatch.setenv('LBBT_DATA_ROOT', str(tmp_path / 'data'))
    cfg = Config.fromfile(REPO / 'configs' / 'retrieval_gpt2_medium_tiny_imagenet.py')
    cfg.merge_from_dict({
        'work_dir': str(tmp_path / 'run'), 'model.image_encoder.img_size': 16, 'model.image_encoder.patch_size': 4,
        'model.image_encoder.language': dict(config=CONFIGS['gpt2'], arm='random', checkpoint=None),
        'test_evaluator.0.topk': sum(GALLERY.values())})
    for dataset in (cfg.model.prototype.dataset, cfg.test_dataloader.dataset.dataset, cfg.test_dataloader.dataset.gallery):
        dataset.pipeline[1].scale = (16, 16)
    for loader in (cfg.model.prototype, cfg.test_dataloader):
        loader.update(num_workers=0, persistent_workers=False)
    return cfg


@pytest.fixture
def bridge(cfg, tmp_path):
    """A classifier of the same backbone, as a bridge leaves it, and its checkpoint."""
    init_default_scope('mmpretrain')
    head = dict(type='LinearClsHead', num_classes=3, in_channels=None)
    model = MODELS.build(dict(type='lbbt_mm.LanguageClassifier', backbone=cfg.model.image_encoder, head=head))
    model.init_weights()
    torch.save(dict(state_dict=model.state_dict(), meta={}), tmp_path / 'bridge.pth')
    return model.eval(), tmp_path / 'bridge.pth'


def features(model, cfg, dataset) -> tuple:
    """Unit features (N, C) and classes (N,) of a dataset, computed without the retriever."""
    dataset = Runner.build_dataloader(dict(batch_size=1, num_workers=0, dataset=dataset,
                                           sampler=dict(type='DefaultSampler', shuffle=False))).dataset
    mean, std = (torch.tensor(cfg.data_preprocessor[key])[:, None, None] for key in ('mean', 'std'))
    images = torch.stack([(dataset[index]['inputs'].flip(0) - mean) / std for index in range(len(dataset))])
    with torch.no_grad():
        vectors = model.backbone(images)[-1]
    return torch.nn.functional.normalize(vectors).numpy(), np.array(dataset.get_gt_labels())


def by_definition(ranked: np.ndarray) -> dict:
    """The metrics of Table 11 from whether each image of a query's ranking is relevant."""
    ranks, hits = np.arange(1, len(ranked) + 1), int(ranked.sum())
    found = {f'mAP@{len(ranked)}': (ranked * np.cumsum(ranked) / ranks).sum() / hits}
    for k in (1, 5):
        gains = ranked[:k] / np.log2(ranks[:k] + 1)
        first = np.flatnonzero(ranked[:k])
        found[f'Recall@{k}'] = float(len(first) > 0)
        found[f'Precision@{k}'] = ranked[:k].mean()
        found[f'NDCG@{k}'] = gains.sum() / sum(1 / math.log2(rank + 1) for rank in range(1, min(k, hits) + 1))
        found[f'FirstHitNDCG@{k}'] = 1 / math.log2(first[0] + 2) if len(first) else 0.
    return found


def test_a_bridge_s_features_are_retrieved_and_scored(cfg, bridge):
    model, checkpoint = bridge
    cfg.load_from = str(checkpoint)
    result = Runner.from_cfg(cfg).test()
    gallery, gallery_labels = features(model, cfg, cfg.model.prototype.dataset)
    queries, labels = features(model, cfg, cfg.test_dataloader.dataset.dataset)
    order = np.argsort(-queries @ gallery.T, axis=1)
    scored = [by_definition((gallery_labels[row] == label).astype(float)) for row, label in zip(order, labels)]
    expected = {f'retrieval/{name}': 100 * np.mean([score[name] for score in scored]) for name in scored[0]}
    assert result == pytest.approx(expected, abs=1e-3)


def test_the_command_of_the_docs(cfg, bridge, tmp_path):
    cfg.dump(tmp_path / 'retrieval.py')
    status, output = run_tool('test.py', tmp_path / 'retrieval.py', bridge[1], '--work-dir', tmp_path / 'run')
    assert status == 0, output
    assert all(f'retrieval/{name}' in output for name in ('mAP@', 'Recall@1', 'NDCG@5'))


def test_a_bridge_of_another_width_is_refused(cfg, bridge):
    cfg.load_from = str(bridge[1])
    cfg.model.image_encoder.language.config.n_embd = 64
    with pytest.raises(ValueError, match='not the image_encoder of this config'):
        Runner.from_cfg(cfg).test()
