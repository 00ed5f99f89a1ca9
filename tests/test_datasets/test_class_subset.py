"""Folders of some of a model's classes: their labels are those of the model."""
import json

import pytest

from lbbt_mm.datasets.class_subset import read_classes
from tests.image_folders import build, folder_config, labels, write_image_folder

#: All classes of the model; those of the data set are the second and the fourth
CLASSES = ['n01440764', 'n01443537', 'n01484850', 'n01491361']
PRESENT = dict(n01443537=1, n01491361=2)


def subset(root, classes=CLASSES, **options):
    return dict(type='lbbt_mm.ClassSubset', classes=classes, dataset=folder_config(root), **options)


@pytest.fixture
def images(tmp_path):
    return write_image_folder(tmp_path / 'images', PRESENT)


def test_labels_are_the_places_of_the_folders_among_all_classes(images):
    dataset = build(subset(images))
    assert labels(dataset) == [1, 3, 3] == dataset.get_gt_labels().tolist()
    assert labels(build(folder_config(images))) == [0, 1, 1], 'as mmpretrain numbers them'
    assert dataset.metainfo['classes'] == tuple(CLASSES) and dataset.metainfo['class_groups'] == ((1, ), (3, ))
    assert [dataset.get_cat_ids(index) for index in range(3)] == [[1], [3], [3]]


def test_it_stands_inside_a_subset_and_waits_where_it_is_lazy(images):
    dataset = build(dict(type='lbbt_mm.EvenSubset', num_samples=2, dataset=subset(images)))
    assert labels(dataset) == [1, 3] and dataset.metainfo['class_groups'] == ((1, ), (3, ))
    lazy = build(subset(images, lazy_init=True))
    assert 'class_groups' not in lazy.metainfo and len(lazy) == 3


def test_classes_are_read_from_imagenet_s_folders_or_lists(tmp_path):
    for name in CLASSES[::-1]:
        (tmp_path / 'train' / name).mkdir(parents=True)
    (tmp_path / 'train' / 'README').write_text('no class')
    assert read_classes(tmp_path / 'train') == CLASSES
    mapping = tmp_path / 'LOC_synset_mapping.txt'
    mapping.write_text(''.join(f'{name} tench, Tinca tinca\n' for name in CLASSES) + '\n')
    assert read_classes(str(mapping)) == CLASSES
    mapping.write_text('tench, Tinca tinca\nnail\n')
    assert read_classes(mapping) == ['tench, Tinca tinca', 'nail'], 'names of one or more words are whole'


def test_folders_of_other_names_and_of_several_classes(tmp_path):
    images = write_image_folder(tmp_path / 'images', dict(air_pump=1, clock=2, shark=1))
    names = dict(clock='digital clock; analog clock', shark=['great white shark'])
    classes = ['analog clock', 'great white shark', 'tench', 'digital clock']
    dataset = build(subset(images, classes, names=names))
    assert labels(dataset) == [0, 0, 1], 'the first of its classes; what has no name is left out'
    assert dataset.metainfo['class_groups'] == ((0, 3), (1, ))
    (tmp_path / 'names.json').write_text(json.dumps(names))
    assert labels(build(subset(images, classes, names=str(tmp_path / 'names.json')))) == [0, 0, 1]


@pytest.mark.parametrize('classes, names, said', [
    (CLASSES[:2], None, "the folder 'n01491361' is to be the class 'n01491361', which is none of the 2 classes of"),
    ([*CLASSES, CLASSES[0]], None, "found 'n01440764' twice in the list"), ([], None, 'found no class in the list'),
    ('absent.txt', None, "classes='absent.txt' is not there; expected the classes of the model, in the order"),
    (CLASSES, dict(n01443537='tench'), "the folder 'n01443537' is to be the class 'tench'"),
    (CLASSES, dict(other=CLASSES[0]), "none of the 3 images is in a folder that names has; its first is 'other'"),
    (CLASSES, dict.fromkeys(PRESENT, CLASSES[0]), "the folders n01443537 and n01491361 are both 'n01440764'"),
    (CLASSES, dict(n01443537=3), 'expected folder -> name of a class, or several of them'),
    (CLASSES, dict(n01443537=[]), 'expected folder -> name of a class'),
    (CLASSES, 'absent.json', "names='absent.json' is not there; expected a JSON file")])
def test_what_does_not_fit_is_refused_in_one_line(images, classes, names, said):
    with pytest.raises((ValueError, FileNotFoundError)) as refused:
        build(subset(images, classes, names=names))
    assert said in str(refused.value) and '\n' not in str(refused.value)


def test_a_file_of_names_that_is_none(images, tmp_path):
    (tmp_path / 'names.json').write_text('{')
    with pytest.raises(ValueError, match='cannot be read .* expected a JSON file'):
        build(subset(images, names=str(tmp_path / 'names.json')))


def test_a_wrapper_inside_is_refused_where_it_has_no_pipeline(images):
    several = dict(type='ConcatDataset', datasets=[folder_config(images)])
    with pytest.raises(ValueError, match='dataset is a ConcatDataset; expected CustomDataset'):
        build(dict(subset(images), dataset=several))
    inner = dict(type='lbbt_mm.EvenSubset', num_samples=2, dataset=folder_config(images))
    assert labels(build(dict(subset(images), dataset=inner))) == [1, 3]
