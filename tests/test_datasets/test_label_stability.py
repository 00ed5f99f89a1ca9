"""A sample keeps its random label over epochs, workers, ranks, restarts, machines, subsets and wrappers."""
import json
import shutil
from pathlib import Path
from typing import Any, Dict, List

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS
from torch.utils.data import DataLoader

from tests.image_folders import build, each, folder_config, labels, labels_by_path, random_label, write_image_folder
from tests.tool_processes import REPO, finish, run_ranks, start

COUNTS = dict(a=3, b=6, c=4)
KEYS = ['img_path', 'sample_idx', 'pixels']


class Arrays(BaseDataset):
    """Images without paths, as CIFAR's are."""

    def __init__(self, seed: int = 0, size: int = 8, **options: Any) -> None:
        self.seed, self.size = seed, size
        super().__init__(**options)

    def load_data_list(self) -> List[dict]:
        rng = np.random.default_rng(self.seed)
        return [dict(img=rng.integers(0, 256, (4, 4, 3), dtype=np.uint8), gt_label=index % 3) for index in range(self.size)]


DATASETS.register_module(module=Arrays, name='ArraysWithoutPaths')


@pytest.fixture(scope='module')
def root(tmp_path_factory) -> Path:
    return write_image_folder(tmp_path_factory.mktemp('images') / 'train', COUNTS)


@pytest.fixture(scope='module')
def expected(root) -> Dict[str, Dict[str, int]]:
    """Key -> labels of the plain dataset, which are mostly not the true ones."""
    found = {key: labels_by_path(build(wide(root, key))) for key in KEYS}
    assert all(len(set(drawn.values())) == sum(COUNTS.values()) for drawn in found.values())
    return found


@pytest.fixture(scope='module')
def kinds(root, tmp_path_factory) -> dict:
    """All kinds of labels side by side, each of images of its own."""
    folder = tmp_path_factory.mktemp('kinds')
    exact = write_image_folder(folder / 'exact', dict(d=4, e=3))
    others = write_image_folder(folder / 'others', dict(f=2, g=1))
    share = dict(type='lbbt_mm.RandomLabelDataset', draw='uniform', ratio=0.5, exclude_true=True, num_classes=10**6, seed=3,
                 data_root=str(exact), dataset=folder_config(exact))
    without = folder_config(others, random_label(others, num_classes=3, exclude_true=True))
    return dict(type='ConcatDataset', ignore_keys=['classes'], datasets=[wide(root), share, without])


@pytest.fixture(scope='module')
def expected_of_kinds(expected, kinds) -> Dict[str, int]:
    """Labels of all of them, the exact share and those without the true one written down once."""
    found = labels_by_path(build(kinds))
    added = {path: label for path, label in found.items() if path not in expected['img_path']}
    assert added == {'d/0.png': 0, 'd/1.png': 0, 'd/2.png': 812190, 'd/3.png': 432489, 'e/0.png': 484516, 'e/1.png': 532748,
                     'e/2.png': 1, 'f/0.png': 2, 'f/1.png': 2, 'g/0.png': 0}
    return found


def wide(root: Path, key: str = 'img_path', **options: Any) -> dict:
    """A dataset with so many classes that no two samples have equal labels."""
    return folder_config(root, random_label(root, key=key, num_classes=10**6), **options)


def pathless(*datasets: dict, **options: Any) -> List[int]:
    """Labels in a concatenation of datasets without paths."""
    transforms = [dict(type='lbbt_mm.RandomLabel', num_classes=10**6, **options, **own) for own in datasets]
    config = dict(type='ConcatDataset', datasets=[
        dict(type='ArraysWithoutPaths', seed=index, pipeline=[transform]) for index, transform in enumerate(transforms)])
    return [sample['gt_label'] for sample in build(config)]


@pytest.mark.parametrize('num_workers', [0, 2])
@pytest.mark.parametrize('key', ['kinds', *KEYS[1:]])
def test_epochs_and_workers(root, expected, kinds, expected_of_kinds, key, num_workers):
    """Labels by path are among all kinds."""
    dataset, labelled = (kinds, expected_of_kinds) if key == 'kinds' else (wide(root, key), expected[key])
    loader = DataLoader(build(dataset), batch_size=2, shuffle=True, num_workers=num_workers,
                        persistent_workers=num_workers > 0, collate_fn=lambda samples: samples)
    for epoch in range(2):
        assert labels_by_path(sample for batch in loader for sample in batch) == labelled
        torch.manual_seed(epoch)


@pytest.fixture
def loader_config(kinds, tmp_path) -> Path:
    path = tmp_path / 'loader.py'
    Config(dict(dataset=kinds, batch_size=2, num_workers=0, persistent_workers=False,
                sampler=dict(type='DefaultSampler', shuffle=True), collate_fn=dict(type='pseudo_collate'))).dump(path)
    return path


def test_two_ranks_together_see_the_labels_of_one(loader_config, tmp_path, expected_of_kinds):
    returncode, output = run_ranks('../tests/label_recorder.py', 2, loader_config, tmp_path)
    assert returncode == 0, output
    ranks = [json.loads((tmp_path / f'rank{rank}.json').read_text()) for rank in range(2)]
    for first, second in zip(*ranks):
        assert len(first) == len(second) == 12, '23 images, one of them on both ranks'
        assert {**first, **second} == expected_of_kinds and {**second, **first} == expected_of_kinds
    assert set(ranks[0][0]) != set(ranks[0][1]), 'the epochs share the images out differently'


@pytest.mark.slow
def test_a_restart_with_another_hash_seed(loader_config, tmp_path, expected_of_kinds):
    """``hash`` of Python, which differs from process to process, has no part in it."""
    returncode, output = finish(start('python', REPO / 'tests' / 'label_recorder.py', loader_config, tmp_path, cwd=tmp_path,
                                      PYTHONHASHSEED='12345', PYTHONPATH=REPO))
    assert returncode == 0, output
    assert json.loads((tmp_path / 'rank0.json').read_text()) == [expected_of_kinds] * 2


@pytest.mark.parametrize('key', KEYS)
def test_another_machine_has_the_images_elsewhere(root, tmp_path, expected, key):
    copy = shutil.copytree(root, tmp_path / 'other' / 'place')
    assert labels_by_path(build(wide(copy, key))) == expected[key]


@pytest.mark.parametrize('key', ['img_path', 'pixels'])
def test_subsets_by_indices(root, expected, key):
    """Which renumber ``sample_idx``."""
    found = labels_by_path(build(wide(root, key, indices=[12, 3, 7])))
    assert len(found) == 3 and found.items() <= expected[key].items()
    found = labels_by_path(build(wide(root, key, indices=-4)))
    assert len(found) == 4 and found.items() <= expected[key].items()


def test_sample_idx_and_indices(root, expected):
    """Indices number the samples anew; only the first N keep their numbers."""
    found = labels_by_path(build(wide(root, 'sample_idx', indices=[12, 3, 7])))
    assert len(found) == 3 and not found.items() & expected['sample_idx'].items()
    assert not labels_by_path(build(wide(root, 'sample_idx', indices=-4))).items() & expected['sample_idx'].items()
    first = labels_by_path(build(wide(root, 'sample_idx', indices=4)))
    assert len(first) == 4 and first.items() <= expected['sample_idx'].items()


@pytest.mark.parametrize('key', KEYS)
def test_even_subsets(root, expected, key):
    found = labels_by_path(build(dict(type='lbbt_mm.EvenSubset', num_samples=5, dataset=wide(root, key))))
    assert len(found) == 5 and found.items() <= expected[key].items()


@pytest.mark.parametrize('key', KEYS)
@pytest.mark.parametrize('wrapper, length', [(dict(type='RepeatDataset', times=3), 39),
                                             (dict(type='ClassBalancedDataset', oversample_thr=0.3), 13 + 3)])
def test_wrappers_that_repeat_samples(root, expected, key, wrapper, length):
    dataset = build(dict(wrapper, dataset=wide(root, key)))
    assert len(dataset) == length
    assert labels_by_path(each(dataset)) == expected[key]


@pytest.mark.parametrize('key', ['img_path', 'pixels'])
def test_concatenated_datasets_with_paths(root, expected, key):
    parts = [wide(root, key, indices=[5, 6, 7]), wide(root, key)]
    assert labels_by_path(build(dict(type='ConcatDataset', datasets=parts))) == expected[key]


def test_a_salt_tells_concatenated_datasets_without_paths_apart():
    first = pathless({}, {}, key='sample_idx')
    assert first[:8] == first[8:], 'equal indices, so equal labels'
    salted = pathless(dict(salt='a'), dict(salt='b'), key='sample_idx')
    assert not set(salted[:8]) & set(salted[8:]) and len(set(salted)) == 16
    assert pathless(dict(salt='b'), dict(salt='a'), key='sample_idx') == salted[8:] + salted[:8]


def test_pixels_tell_concatenated_datasets_without_paths_apart():
    assert len(set(pathless({}, {}, key='pixels'))) == 16


def test_a_dataset_without_paths_says_what_to_choose():
    with pytest.raises(ValueError, match="key='img_path' needs 'img_path', which the sample does not have; found img, "
                       "gt_label, sample_idx. Choose key='pixels' or key='sample_idx'"):
        pathless({}, key='img_path', data_root='/data')


def test_multi_label_data_is_refused(root, tmp_path):
    annotations = dict(metainfo=dict(classes=['a', 'b', 'c']), data_list=[dict(img_path='a/0.png', gt_label=[0, 2])])
    (tmp_path / 'annotations.json').write_text(json.dumps(annotations))
    dataset = build(dict(type='mmpretrain.MultiLabelDataset', data_root=str(root), data_prefix='',
                         ann_file=str(tmp_path / 'annotations.json'), pipeline=[random_label(root)]))
    with pytest.raises(ValueError, match=r'gt_label=\[0, 2\]; expected one whole number per image'):
        dataset[0]


def test_unlabelled_data_is_refused(root):
    with pytest.raises(ValueError, match="no 'gt_label'.*with_label=True"):
        labels(build(folder_config(root, random_label(root), with_label=False)))
