"""DatasetView: what wrappers of this package have in common with the dataset inside."""
import pytest
from mmengine.dataset import BaseDataset, RepeatDataset

from lbbt_mm.datasets.dataset_view import DatasetView
from tests.image_folders import build, folder_config, write_image_folder


class Backwards(DatasetView):
    """The samples in reverse order."""

    def _check_inner(self):
        if isinstance(self.dataset, RepeatDataset):
            raise TypeError('no repeated datasets')

    def _prepare(self):
        self.prepared = len(self.dataset)

    def __len__(self):
        return len(self.dataset)

    def get_data_info(self, idx):
        return self.dataset.get_data_info(len(self) - 1 - idx)

    def prepare_data(self, idx):
        return self.dataset.prepare_data(len(self) - 1 - idx)


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return write_image_folder(tmp_path_factory.mktemp('images') / 'train', dict(a=2, b=3))


@pytest.fixture
def view(root) -> Backwards:
    return Backwards(build(folder_config(root)))


def test_labels_are_those_of_the_samples_shown(view):
    assert view.get_gt_labels().tolist() == [1, 1, 1, 0, 0]
    assert [view.get_cat_ids(index) for index in (0, 4)] == [[1], [0]]
    assert view[0]['data_samples'].gt_label.item() == 1


def test_classes_are_those_of_the_dataset_inside(view):
    assert view.CLASSES == view.dataset.CLASSES and view.class_to_idx == dict(a=0, b=1)
    assert view.metainfo == view.dataset.metainfo


def test_a_pipeline_that_is_switched_is_that_of_the_dataset_inside(view):
    view.pipeline = 'another'
    assert view.dataset.pipeline == view.pipeline == 'another'


def test_how_failures_are_met_is_the_dataset_s_matter(view):
    view.dataset.test_mode, view.dataset.max_refetch = True, 3
    assert view.test_mode is True and view.max_refetch == 3


def test_mmengine_s_wrappers_take_it_built(view):
    assert isinstance(view, BaseDataset)
    repeated = RepeatDataset(view, 2)
    assert len(repeated) == 10 and repeated.get_data_info(5)['gt_label'] == 1


def test_it_can_wait_for_full_init(root):
    lazy = Backwards(build(folder_config(root, lazy_init=True)), lazy_init=True)
    assert not hasattr(lazy, 'prepared') and 'not initialised' in repr(lazy)
    assert lazy.get_gt_labels().tolist() == [1, 1, 1, 0, 0]  # asking for data initialises
    assert lazy.prepared == 5 and repr(lazy) == 'Backwards(5 samples of CustomDataset)'


def test_what_cannot_be_wrapped_is_refused_at_once(view):
    with pytest.raises(TypeError, match='no repeated'):
        Backwards(RepeatDataset(view, 2), lazy_init=True)


def test_subsets_say_what_to_use_instead(view):
    for method in (view.get_subset, view.get_subset_):
        with pytest.raises(NotImplementedError, match='Backwards has no get_subset. .*lbbt_mm.EvenSubset'):
            method([0])
