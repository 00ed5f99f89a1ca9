"""Small image folders and datasets on them, for the tests of classification data."""
from copy import deepcopy
from pathlib import Path
from typing import Any, Dict, Iterator, List

import cv2
import numpy as np
from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope


def write_image_folder(root: Path, counts: Dict[str, int], size: int = 8, seed: int = 0) -> Path:
    """Write ``root/CLASS/NUMBER.png``, noise that differs from image to image."""
    rng = np.random.default_rng(seed)
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for number in range(count):
            cv2.imwrite(str(root / name / f'{number}.png'), rng.integers(0, 256, (size, size, 3), dtype=np.uint8))
    return root


def write_splits(root: Path) -> Path:
    """Write three classes of two images for training and one for the test."""
    for split, count in (('train', 2), ('test', 1)):
        write_image_folder(root / split, dict(a=count, b=count, c=count))
    return root


def random_label(root: Path, **options: Any) -> Dict[str, Any]:
    """Config of the transform."""
    return dict(type='lbbt_mm.RandomLabel', **{**dict(num_classes=5, seed=3, data_root=str(root)), **options})


def folder_config(root: Path, *labels: Dict[str, Any], **options: Any) -> Dict[str, Any]:
    """Config of mmpretrain's CustomDataset on an image folder, with label transforms behind the loading."""
    pack = dict(type='mmpretrain.PackInputs', meta_keys=('sample_idx', 'img_path', 'true_label', 'label_is_random'))
    return dict(type='mmpretrain.CustomDataset', data_root=str(root),
                pipeline=[dict(type='LoadImageFromFile'), *labels, pack], **options)


def run_config(root: Path, num_classes: int = 3, train_labels: tuple = None) -> Config:
    """A bridge run: random labels in training and in Train-acc1, true ones in the test."""
    train_labels = (random_label(root, num_classes=3), ) if train_labels is None else train_labels
    train = dict(dataset=folder_config(root, *train_labels, data_prefix='train'))
    return Config(dict(
        model=dict(type='ImageClassifier', head=dict(type='LinearClsHead', num_classes=num_classes)),
        train_dataloader=train,
        val_dataloader=dict(dataset=folder_config(root, data_prefix='test')),
        test_dataloader=dict(dataset=folder_config(root, data_prefix='absent')),
        val_cfg=dict(type='lbbt_mm.BridgeValLoop', train_dataloader=deepcopy(train))))


def build(config: Dict[str, Any]) -> Any:
    """Build a dataset as a runner of mmpretrain would."""
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return DATASETS.build(config)


def each(dataset: Any) -> Iterator[Any]:
    """All samples, once: mmengine's RepeatDataset would iterate for ever."""
    return (dataset[index] for index in range(len(dataset)))


def labels_by_path(samples: Any) -> Dict[str, int]:
    """CLASS/NUMBER.png -> label, over samples that may repeat; a sample with two labels is a failure."""
    found: Dict[str, int] = {}
    for sample in samples:
        sample = sample['data_samples']
        name = '/'.join(Path(sample.img_path).parts[-2:])
        label = int(sample.gt_label)
        assert found.setdefault(name, label) == label, f'{name} has two labels'
    return found


def labels(dataset: Any) -> List[int]:
    """Labels of all samples, through the pipeline."""
    return [int(sample['data_samples'].gt_label) for sample in each(dataset)]
