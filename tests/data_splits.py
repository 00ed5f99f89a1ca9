"""Which images a run trains on and which it is tested on: written down once, for all configs."""
from typing import Any, Dict, Mapping, Tuple

from mmengine.config import Config

from lbbt_mm.registry import type_name

_ADE20K = (dict(data_prefix=dict(img_path='images/training', seg_map_path='annotations/training')),
           dict(data_prefix=dict(img_path='images/validation', seg_map_path='annotations/validation')))
_PASCAL_CONTEXT = (dict(ann_file='ImageSets/SegmentationContext/train.txt'),
                   dict(ann_file='ImageSets/SegmentationContext/val.txt'))
#: Type of dataset -> what picks its training images, and what picks those that no model has been trained on
SPLITS: Dict[str, Tuple[Dict[str, Any], Dict[str, Any]]] = {
    'CIFAR10': (dict(split='train'), dict(split='test')),
    'CIFAR100': (dict(split='train'), dict(split='test')),
    'ImageNet': (dict(split='train'), dict(split='val')),
    'CustomDataset': (dict(data_prefix='train'), dict(data_prefix='test')),
    'ADE20KDataset': _ADE20K,
    'BaseSegDataset': _ADE20K,
    'PascalContextDataset': _PASCAL_CONTEXT,
    'PascalContextDataset59': _PASCAL_CONTEXT,
    'CocoDataset': (dict(ann_file='annotations/instances_train2017.json', data_prefix=dict(img='train2017/')),
                    dict(ann_file='annotations/instances_val2017.json', data_prefix=dict(img='val2017/'))),
}


def innermost(dataset: Mapping) -> Mapping:
    """The dataset inside all wrappers."""
    while 'dataset' in dataset:
        dataset = dataset['dataset']
    return dataset


def assert_trains_and_tests_on_its_own_splits(cfg: Config) -> None:
    """The training loader has the training images; those for validation and test, and what scores them, the others."""
    for name in ('train', 'val', 'test'):
        loader = cfg.get(f'{name}_dataloader')
        if loader is None:
            continue
        dataset = innermost(loader['dataset'])
        expected = SPLITS[type_name(dataset)][name != 'train']
        assert {key: dataset.get(key) for key in expected} == expected, f'{name}_dataloader'
        assert loader['sampler'].get('shuffle', True) == (name == 'train'), f'{name}_dataloader.sampler'
        if type_name(dataset) == 'CocoDataset' and name != 'train':
            evaluator = cfg[f'{name}_evaluator']
            assert evaluator['ann_file'] == f"{dataset['data_root']}/{expected['ann_file']}", f'{name}_evaluator'
