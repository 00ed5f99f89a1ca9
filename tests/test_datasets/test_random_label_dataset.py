"""RandomLabelDataset: labels change hands, the class histogram does not change."""
import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from mmengine.dataset import BaseDataset, RepeatDataset, sampler
from torch.utils.data import DataLoader

from lbbt_mm.datasets import RandomLabel, RandomLabelDataset
from tests.image_folders import build, each, folder_config, labels, labels_by_path, random_label, write_image_folder

COUNTS = dict(a=5, b=30, c=15)


@pytest.fixture(scope='module')
def root(tmp_path_factory) -> Path:
    return write_image_folder(tmp_path_factory.mktemp('images') / 'train', COUNTS)


def config(root: Path, dataset: dict = None, **options) -> dict:
    return dict(type='lbbt_mm.RandomLabelDataset', dataset=dataset or folder_config(root), **options)


@pytest.mark.parametrize('ratio', [0, 0.15, 0.3, 1.0])
@pytest.mark.parametrize('seed', [0, 1])
def test_the_histogram_is_kept_exactly(root, ratio, seed):
    dataset = build(config(root, ratio=ratio, seed=seed))
    assert Counter(labels(dataset)) == {0: 5, 1: 30, 2: 15}
    assert np.bincount(dataset.get_gt_labels()).tolist() == [5, 30, 15]


@pytest.mark.parametrize('ratio, count', [(0, 0), (0.15, 8), (0.3, 15), (1.0, 50)])
def test_the_ratio_of_the_samples_take_part(root, ratio, count):
    samples = [sample['data_samples'] for sample in build(config(root, ratio=ratio))]
    assert sum(sample.label_is_random for sample in samples) == count
    for sample in samples:
        assert sample.true_label == 'abc'.index(Path(sample.img_path).parent.name)
        assert sample.label_is_random or int(sample.gt_label) == sample.true_label


def test_all_labels_change_hands_at_random(root):
    """At ratio 1 a label says nothing about the true one: it agrees as often as the histogram makes two samples agree."""
    inner = build(folder_config(root))
    chance = sum((count / 50)**2 for count in COUNTS.values())
    agreement = [
        np.mean([info['gt_label'] == info['true_label'] for info in map(dataset.get_data_info, range(50))])
        for dataset in (RandomLabelDataset(inner, seed=seed) for seed in range(40))
    ]
    assert np.mean(agreement) == pytest.approx(chance, abs=0.05)


def test_ratios_are_nested(root):
    chosen = [{index for index in range(50) if dataset.get_data_info(index)['label_is_random']}
              for dataset in (build(config(root, ratio=ratio)) for ratio in (0.15, 0.3, 1.0))]
    assert chosen[0] < chosen[1] < chosen[2]


def test_labels_are_a_function_of_the_seed(root):
    first, again, other = (labels(build(config(root, seed=seed))) for seed in (4, 4, 5))
    assert first == again != other
    assert first[:20] == [1, 1, 0, 2, 1, 2, 2, 1, 2, 2, 1, 2, 1, 1, 1, 2, 1, 2, 2, 1], 'on every machine'


@pytest.mark.parametrize('num_workers', [0, 2])
def test_epochs_and_workers(root, num_workers):
    dataset = build(config(root, ratio=0.5))
    expected = labels_by_path(dataset)
    loader = DataLoader(dataset, batch_size=8, shuffle=True, num_workers=num_workers, collate_fn=lambda samples: samples)
    for _ in range(2):
        assert labels_by_path(sample for batch in loader for sample in batch) == expected


def test_it_is_pickled_to_workers(root):
    dataset = build(config(root))
    assert labels(pickle.loads(pickle.dumps(dataset))) == labels(dataset)


def test_lists_that_are_not_serialised(root):
    assert labels(build(config(root, folder_config(root, serialize_data=False)))) == labels(build(config(root)))


@pytest.mark.parametrize('wrapper, length', [(dict(type='RepeatDataset', times=2), 100),
                                             (dict(type='ClassBalancedDataset', oversample_thr=0.2), 50 + 5)])
def test_inside_wrappers(root, wrapper, length):
    dataset = build(dict(wrapper, dataset=config(root)))
    assert len(dataset) == length and dataset.metainfo['classes'] == ('a', 'b', 'c')
    assert labels_by_path(each(dataset)) == labels_by_path(build(config(root)))


def test_class_balancing_goes_by_the_permuted_labels(root):
    dataset = build(dict(type='ClassBalancedDataset', oversample_thr=0.2, dataset=config(root)))
    assert Counter(labels(dataset)) == {0: 10, 1: 30, 2: 15}


def test_inside_a_concatenation(root):
    dataset = build(dict(type='ConcatDataset', datasets=[config(root), config(root, seed=1)]))
    assert labels(dataset) == labels(build(config(root))) + labels(build(config(root, seed=1)))


def test_mmengine_s_wrappers_take_it_built(root):
    assert len(RepeatDataset(build(config(root)), times=2)) == 100


def test_around_a_dataset_that_is_built(root):
    inner = build(folder_config(root))
    true = labels(inner)
    assert Counter(labels(RandomLabelDataset(inner))) == Counter(true)
    assert labels(inner) == true, 'the dataset inside keeps its labels'


def test_around_an_even_subset_it_keeps_the_subset_s_histogram(root):
    subset = dict(type='lbbt_mm.EvenSubset', num_samples=10, dataset=folder_config(root))
    samples = [sample['data_samples'] for sample in build(config(root, subset))]
    assert Counter(int(sample.gt_label) for sample in samples) == {0: 1, 1: 6, 2: 3}
    assert [sample.sample_idx for sample in samples] == list(range(0, 50, 5))


def test_lazy_initialisation(root):
    dataset = build(config(root, folder_config(root, lazy_init=True), lazy_init=True))
    assert not dataset._fully_initialized and not dataset.dataset._fully_initialized
    assert labels(dataset) == labels(build(config(root)))
    assert dataset.metainfo['classes'] == dataset.CLASSES == ('a', 'b', 'c')
    assert dataset.class_to_idx == dict(a=0, b=1, c=2)


def test_an_image_that_cannot_be_read_is_replaced_by_one_with_its_own_label(root, tmp_path):
    broken = write_image_folder(tmp_path / 'broken', COUNTS)
    (broken / 'b' / '7.png').write_bytes(b'')
    load = [dict(type='LoadImageFromFile', ignore_empty=True)]
    pack = dict(type='mmpretrain.PackInputs')
    inner = dict(folder_config(broken), pipeline=load + [pack])
    expected = labels_by_path(build(config(root)))
    dataset = build(config(broken, inner))
    index = next(index for index in range(50) if dataset.get_data_info(index)['img_path'].endswith('b/7.png'))
    found = labels_by_path(dataset[index] for _ in range(20))
    assert len(found) > 1 and 'b/7.png' not in found and found.items() <= expected.items()
    with pytest.raises(Exception, match='Test time pipline should not get `None`'):
        build(config(broken, dict(inner, test_mode=True)))[index]
    with pytest.raises(Exception, match='Cannot find valid image after 0!'):
        build(config(broken, dict(inner, max_refetch=0)))[index]


def test_a_pipeline_that_a_hook_switches_reaches_the_dataset_inside(root):
    dataset = build(config(root))
    dataset.pipeline = lambda info: info['gt_label']
    assert [dataset[index] for index in range(50)] == dataset.get_gt_labels().tolist()


def test_random_labels_are_not_drawn_twice(root):
    inner = folder_config(root, random_label(root, key='sample_idx'))
    with pytest.raises(ValueError, match="has a 'true_label'.*lbbt_mm.RandomLabelDataset"):
        build(config(root, inner))[0]
    with pytest.raises(TypeError, match='a RandomLabelDataset too; labels are replaced once'):
        build(config(root, config(root)))
    with pytest.raises(ValueError, match="a sample has a 'true_label'.*replaced once; remove one"):
        build(config(root, dict(type='lbbt_mm.EvenSubset', num_samples=3, dataset=config(root))))


@pytest.mark.parametrize('wrapper', [
    lambda inner: dict(type='RepeatDataset', times=2, dataset=inner),
    lambda inner: dict(type='ConcatDataset', datasets=[inner, inner]),
    lambda inner: dict(type='ClassBalancedDataset', oversample_thr=0.2, dataset=inner),
])
def test_wrappers_inside_are_refused(root, wrapper):
    inner = wrapper(folder_config(root))
    message = f"dataset is a {inner['type']}; expected one dataset .*Wrap the datasets inside it instead"
    with pytest.raises(TypeError, match=message):
        build(config(root, inner))
    subset = dict(type='lbbt_mm.EvenSubset', num_samples=3, dataset=inner)
    with pytest.raises(TypeError, match='dataset is a EvenSubset; expected one dataset'):
        build(config(root, subset))


@pytest.mark.parametrize('options, message', [
    (dict(ratio=1.5), 'ratio=1.5; expected a number from 0'),
    (dict(ratio=float('nan')), 'ratio=nan'),
    (dict(ratio=True), 'ratio=True'),
    (dict(seed=0.5), 'seed=0.5; expected a whole number'),
])
def test_bad_arguments(root, options, message):
    with pytest.raises(ValueError, match=f'RandomLabelDataset: {message}'):
        build(config(root, **options))


def test_data_without_labels_is_refused(root):
    with pytest.raises(ValueError, match="a sample has no 'gt_label', only img_path, sample_idx. Use a dataset with labels"):
        build(config(root, folder_config(root, with_label=False)))


def test_subsets_of_it_are_refused(root):
    for method in ('get_subset', 'get_subset_'):
        with pytest.raises(NotImplementedError, match='wrap this one in lbbt_mm.EvenSubset'):
            getattr(build(config(root)), method)(3)


class TestUniform:
    """``draw='uniform'``: the labels of RandomLabel, for an exact share."""

    @staticmethod
    def infos(root: Path, dataset: dict = None, **options) -> list:
        made = build(config(root, dataset, **{**dict(draw='uniform', num_classes=7), **options}))
        return [made.get_data_info(index) for index in range(len(made))]

    @pytest.mark.parametrize('ratio, count', [(0, 0), (0.15, 8), (0.3, 15), (0.5, 25), (1.0, 50)])
    @pytest.mark.parametrize('seed', [0, 1])
    def test_the_share_is_exact(self, root, ratio, count, seed):
        assert sum(info['label_is_random'] for info in self.infos(root, ratio=ratio, seed=seed)) == count

    @pytest.mark.parametrize('samples, count', [(20, 6), (33, 10), (50, 15)])
    def test_it_is_exact_in_subsets_and_their_labels_are_the_same(self, root, samples, count):
        subset = dict(type='lbbt_mm.EvenSubset', num_samples=samples, dataset=folder_config(root))
        infos = self.infos(root, subset, ratio=0.3)
        assert sum(info['label_is_random'] for info in infos) == count
        whole = {info['img_path']: info['gt_label'] for info in self.infos(root)}
        assert all(info['gt_label'] == whole[info['img_path']] for info in infos if info['label_is_random'])

    @pytest.mark.parametrize('key', [dict(), dict(data_root=True)])
    def test_the_labels_are_those_of_the_transform(self, root, key):
        key = dict(data_root=str(root)) if key else {}
        transform = RandomLabel(num_classes=7, seed=3, key='img_path' if key else 'sample_idx', exclude_true=True, **key)
        for info in self.infos(root, seed=3, exclude_true=True, **key):
            sample = transform({name: info[name] for name in ('img_path', 'sample_idx')} | dict(gt_label=info['true_label']))
            assert info['gt_label'] == sample['gt_label'] != info['true_label']

    def test_ratios_are_nested_with_the_same_labels(self, root):
        few, many = (self.infos(root, ratio=ratio) for ratio in (0.3, 0.6))
        chosen = [index for index, info in enumerate(few) if info['label_is_random']]
        assert all(many[index] == few[index] for index in chosen)

    def test_paths_make_the_order_of_the_list_indifferent(self, root):
        samples = {folder: sorted((root / folder).iterdir()) for folder in 'abc'}
        listed = [(str(path.relative_to(root)), 'abc'.index(folder)) for folder, paths in samples.items() for path in paths]
        found = []
        for order in (listed, listed[::-1]):
            made = RandomLabelDataset(_Listed(root, order), ratio=0.3, draw='uniform', num_classes=7, data_root=str(root))
            found.append({info['img_path']: info['gt_label'] for info in map(made.get_data_info, range(len(made)))})
        assert found[0] == found[1]

    def test_workers_get_the_same_labels(self, root):
        dataset = build(config(root, draw='uniform', ratio=0.3))
        assert labels(pickle.loads(pickle.dumps(dataset))) == labels(dataset)
        assert labels(dataset) == labels(build(config(root, draw='uniform', ratio=0.3)))

    def test_classes_are_those_of_the_dataset_unless_given(self, root):
        assert set(info['gt_label'] for info in self.infos(root, num_classes=None)) == {0, 1, 2}

    @pytest.mark.parametrize('options, message', [
        (dict(draw='even'), "draw='even'; expected one of 'permute', 'uniform'"),
        (dict(draw='permute', exclude_true=True), "exclude_true=True is of draw='uniform'; found draw='permute'"),
        (dict(draw='uniform', key='pixels'), "key='pixels'; expected 'img_path' or 'sample_idx'"),
        (dict(draw='uniform', num_classes=2), 'num_classes=2, but a sample has the true label 2'),
        (dict(draw='uniform', key='img_path'), "key='img_path' needs data_root"),
        (dict(draw='uniform', num_classes=0), 'num_classes=0; expected a whole number, 1 or more'),
    ])
    def test_what_does_not_fit(self, root, options, message):
        with pytest.raises(ValueError, match=message):
            build(config(root, **options))

    @pytest.mark.parametrize('options, message', [
        (dict(exclude_true='Flase'), "exclude_true='Flase'; expected True or False"),
        (dict(exclude_true=1), 'exclude_true=1; expected True or False'),
        (dict(exclude_true=True, num_classes=1), 'exclude_true=True with num_classes=1 leaves no class to draw'),
        (dict(key='filename'), "key='filename'; expected one of"),
        (dict(salt=True), 'salt=True; expected a string'),
    ])
    def test_what_the_transform_refuses_is_refused_before_data_are_read(self, root, options, message):
        with pytest.raises(ValueError, match=f'RandomLabelDataset: {message}'):
            build(config(root, folder_config(root, lazy_init=True), draw='uniform', lazy_init=True, **options))

    def test_a_dataset_of_one_class_has_no_other_to_draw(self, tmp_path):
        one = write_image_folder(tmp_path / 'one', dict(a=3))
        with pytest.raises(ValueError, match='RandomLabelDataset: exclude_true=True with num_classes=1 leaves no class'):
            build(config(one, draw='uniform', exclude_true=True))

    @pytest.mark.parametrize('ratio', [0.15, 0.3])
    @pytest.mark.parametrize('exclude_true', [False, True])
    def test_all_ranks_together_have_the_exact_share_and_the_labels_of_one(self, root, ratio, exclude_true, monkeypatch):
        options = dict(draw='uniform', num_classes=7, ratio=ratio, exclude_true=exclude_true)
        alone = {info['img_path']: (info['gt_label'], info['label_is_random']) for info in self.infos(root, **options)}
        for world_size in (1, 2, 3):
            together, seen = {}, 0
            for rank in range(world_size):
                monkeypatch.setattr(sampler, 'get_dist_info', lambda rank=rank, size=world_size: (rank, size))
                dataset = build(config(root, **options))
                for index in sampler.DefaultSampler(dataset, shuffle=True, seed=0):
                    sample = dataset[index]['data_samples']
                    label = (int(sample.gt_label), sample.label_is_random)
                    assert together.setdefault(sample.img_path, label) == label
                    seen += 1
            assert seen == {1: 50, 2: 50, 3: 51}[world_size] and together == alone
            assert sum(is_random for _, is_random in together.values()) == round(50 * ratio)


class _Listed(BaseDataset):
    """Images in the order they are given in."""

    def __init__(self, root: Path, samples: list) -> None:
        self.root, self.samples = root, samples
        super().__init__()

    def load_data_list(self) -> list:
        return [dict(img_path=str(self.root / path), gt_label=label) for path, label in self.samples]
