"""RetrievalQueries: the gallery images of a query's class."""
import pytest
from mmengine.registry import DATASETS

from lbbt_mm.datasets import RetrievalQueries
from tests.image_folders import build, folder_config, write_image_folder


@pytest.fixture
def folders(tmp_path):
    """Gallery of 2 cats, 1 dog and 3 eels; queries of 1 cat, 2 dogs and 1 eel."""
    write_image_folder(tmp_path / 'train', dict(cat=2, dog=1, eel=3))
    write_image_folder(tmp_path / 'test', dict(cat=1, dog=2, eel=1))
    return tmp_path


def queries(folders, dataset='test', gallery='train', **options):
    return build(dict(type='lbbt_mm.RetrievalQueries', dataset=folder_config(folders, data_prefix=dataset),
                      gallery=folder_config(folders, data_prefix=gallery, **options)))


def test_it_is_found_by_its_scoped_name():
    assert DATASETS.get('lbbt_mm.RetrievalQueries') is RetrievalQueries


def test_a_query_s_label_is_the_gallery_images_of_its_class(folders):
    dataset = queries(folders)
    dataset.full_init()
    relevant = [query['data_samples'].gt_label.tolist() for query in (dataset[index] for index in range(len(dataset)))]
    assert relevant == [[0, 1], [2], [2], [3, 4, 5]]


def test_it_is_the_queries_otherwise(folders):
    dataset = queries(folders)
    assert len(dataset) == 4 and dataset.metainfo['classes'] == ('cat', 'dog', 'eel')
    assert dataset.get_data_info(3)['gt_label'] == 2
    sample = dataset[3]
    assert sample['inputs'].shape == (3, 8, 8) and sample['data_samples'].sample_idx == 3


def test_a_class_that_the_gallery_lacks_has_no_relevant_images(folders):
    dataset = queries(folders, indices=[0, 1, 2])
    assert dataset[3]['data_samples'].gt_label.tolist() == []


def test_queries_may_not_be_in_the_gallery(folders):
    with pytest.raises(ValueError, match='6 images are query and gallery.*cat/0.png'):
        queries(folders, dataset='train').full_init()


def test_other_classes_in_the_gallery_are_an_error(folders):
    write_image_folder(folders / 'more', dict(ape=1, cat=1, dog=1, eel=1))
    with pytest.raises(ValueError, match='3 query classes, 4 gallery classes'):
        queries(folders, gallery='more').full_init()
