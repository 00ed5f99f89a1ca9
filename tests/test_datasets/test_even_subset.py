"""EvenSubset: samples spread over a dataset, which stay who they are."""
import pickle
from collections import Counter
from pathlib import Path

import pytest
from mmengine.dataset import RepeatDataset
from torch.utils.data import DataLoader, TensorDataset

from lbbt_mm.datasets import EvenSubset
from tests.image_folders import build, each, folder_config, labels, labels_by_path, random_label, write_image_folder

COUNTS = dict(a=10, b=10, c=10)


@pytest.fixture(scope='module')
def root(tmp_path_factory) -> Path:
    return write_image_folder(tmp_path_factory.mktemp('images') / 'train', COUNTS)


def subset(dataset: dict, num_samples: int = 6, **options) -> dict:
    return dict(type='lbbt_mm.EvenSubset', num_samples=num_samples, dataset=dataset, **options)


def indices(dataset) -> list:
    return indices_of(each(dataset))


def indices_of(samples) -> list:
    return [sample['data_samples'].sample_idx for sample in samples]


@pytest.mark.parametrize('num_samples, expected', [(1, [0]), (2, [0, 15]), (6, [0, 5, 10, 15, 20, 25]),
                                                   (7, [0, 4, 8, 12, 17, 21, 25]), (30, list(range(30)))])
def test_samples_are_evenly_spaced_and_keep_their_index(root, num_samples, expected):
    dataset = build(subset(folder_config(root), num_samples))
    assert len(dataset) == num_samples and indices(dataset) == expected


@pytest.mark.parametrize('num_samples', [3, 12, 24, 27])
def test_classes_are_balanced(root, num_samples):
    assert set(Counter(labels(build(subset(folder_config(root), num_samples)))).values()) == {num_samples // 3}


@pytest.mark.parametrize('num_samples', [1, 2, 7, 29])
def test_no_sample_comes_twice(root, num_samples):
    assert len(set(indices(build(subset(folder_config(root), num_samples))))) == num_samples


def test_samples_are_those_of_the_dataset_inside(root):
    whole, part = build(folder_config(root)), build(subset(folder_config(root)))
    for index, sample in enumerate(part):
        theirs = whole[index * 5]
        assert (sample['inputs'] == theirs['inputs']).all()
        assert sample['data_samples'].img_path == theirs['data_samples'].img_path
        assert part.get_data_info(index) == whole.get_data_info(index * 5)
        assert part.get_cat_ids(index) == [int(sample['data_samples'].gt_label)]
    assert part.get_gt_labels().tolist() == labels(part) == [0, 0, 1, 1, 2, 2]
    assert indices_of([part[-1]]) == [25]
    with pytest.raises(IndexError):
        part[6]


def test_it_says_what_the_dataset_inside_says(root):
    part = build(subset(folder_config(root)))
    assert part.metainfo['classes'] == part.CLASSES == ('a', 'b', 'c') and part.class_to_idx == dict(a=0, b=1, c=2)
    assert part.pipeline is part.dataset.pipeline
    assert repr(part) == 'EvenSubset(6 samples of CustomDataset)'


@pytest.mark.parametrize('num_workers', [0, 2])
def test_workers(root, num_workers):
    loader = DataLoader(build(subset(folder_config(root))), batch_size=2, num_workers=num_workers,
                        collate_fn=lambda samples: samples)
    assert indices_of(sample for batch in loader for sample in batch) == [0, 5, 10, 15, 20, 25]


def test_it_is_pickled_to_workers(root):
    assert indices(pickle.loads(pickle.dumps(build(subset(folder_config(root)))))) == [0, 5, 10, 15, 20, 25]


def test_inside_wrappers(root):
    inner = subset(folder_config(root))
    assert indices(build(dict(type='RepeatDataset', times=2, dataset=inner))) == 2 * [0, 5, 10, 15, 20, 25]
    assert indices(build(dict(type='ConcatDataset', datasets=[inner, inner]))) == 2 * [0, 5, 10, 15, 20, 25]
    balanced = build(dict(type='ClassBalancedDataset', oversample_thr=0.5, dataset=inner))
    assert len(balanced) == 12
    assert len(RepeatDataset(build(inner), times=2)) == 12, 'mmengine takes it built too'


def test_around_wrappers(root):
    """Whatever a run trains on, a fixed part of it can be evaluated."""
    inner = folder_config(root)
    repeated = build(subset(dict(type='RepeatDataset', times=2, dataset=inner), 4))
    assert indices(repeated) == [0, 15, 0, 15]
    assert repeated.get_cat_ids(1) == [1] and repeated.CLASSES == ('a', 'b', 'c')
    assert not hasattr(repeated, 'pipeline'), 'so that hooks look for it in the dataset inside'
    assert indices(build(subset(dict(type='ConcatDataset', datasets=[inner, inner]), 4))) == [0, 15, 0, 15]
    balanced = dict(type='ClassBalancedDataset', oversample_thr=0.5, dataset=inner)
    assert indices(build(subset(balanced, 4))) == [0, 7, 15, 22]
    assert indices(build(subset(subset(inner, 6), 3))) == [0, 10, 20]


def test_around_random_labels_that_keep_the_histogram(root):
    inner = dict(type='lbbt_mm.RandomLabelDataset', dataset=folder_config(root))
    found = labels_by_path(build(subset(inner)))
    assert len(found) == 6 and found.items() <= labels_by_path(build(inner)).items()


def test_random_labels_are_those_of_the_whole_dataset(root):
    inner = folder_config(root, random_label(root, key='sample_idx', num_classes=1000))
    found = labels_by_path(build(subset(inner)))
    assert len(found) == 6 and found.items() <= labels_by_path(build(inner)).items()


def test_an_image_that_cannot_be_read_is_replaced_from_the_subset(tmp_path):
    root = write_image_folder(tmp_path / 'broken', COUNTS)
    (root / 'a' / '0.png').write_bytes(b'')
    inner = dict(folder_config(root), pipeline=[
        dict(type='LoadImageFromFile', ignore_empty=True), dict(type='mmpretrain.PackInputs')])
    part = build(subset(inner))
    assert set(indices_of(part[0] for _ in range(60))) == {5, 10, 15, 20, 25}
    with pytest.raises(Exception, match='Test time pipline should not get `None`'):
        build(subset(dict(inner, test_mode=True)))[0]


def test_lazy_initialisation(root):
    part = build(subset(folder_config(root, lazy_init=True), lazy_init=True))
    assert not part._fully_initialized and not part.dataset._fully_initialized
    assert indices(part) == [0, 5, 10, 15, 20, 25] and part._fully_initialized


def test_more_samples_than_there_are(root):
    with pytest.raises(ValueError, match='num_samples=31, but CustomDataset has 30 samples. Set num_samples to 30 or less, '
                       'or at_most=True to take all of them'):
        build(subset(folder_config(root), 31))


@pytest.mark.parametrize('num_samples, expected', [(6, [0, 5, 10, 15, 20, 25]), (30, range(30)), (31, range(30)),
                                                   (640, range(30))])
def test_at_most(root, num_samples, expected):
    """A dataset with fewer samples is taken whole."""
    part = build(subset(folder_config(root), num_samples, at_most=True))
    assert len(part) == len(expected) and indices(part) == list(expected)
    assert indices_of([part[-1]]) == [expected[-1]]
    with pytest.raises(IndexError):
        part[len(expected)]
    whole = labels(build(folder_config(root)))
    assert labels(part) == part.get_gt_labels().tolist() == [whole[index] for index in expected]


def test_at_most_around_wrappers_and_loaded_late(root):
    repeated = dict(type='RepeatDataset', times=2, dataset=folder_config(root))
    assert indices(build(subset(repeated, 100, at_most=True))) == 2 * list(range(30))
    late = build(subset(folder_config(root, lazy_init=True), 31, at_most=True, lazy_init=True))
    assert not late._fully_initialized and len(late) == 30


@pytest.mark.parametrize('num_samples', [0, -1, 2.0, True, '3', None])
def test_bad_sizes(root, num_samples):
    with pytest.raises(ValueError, match=f'EvenSubset: num_samples={num_samples!r}; expected a whole number, 1 or more'):
        build(subset(folder_config(root), num_samples))


def test_a_dataset_without_mmengine_s_interface():
    with pytest.raises(TypeError, match='a TensorDataset without full_init; expected a dataset with mmengine'):
        EvenSubset(TensorDataset(), 1)
