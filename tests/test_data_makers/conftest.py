"""Data sets that several tests read."""
import pytest


@pytest.fixture(scope='session')
def sets(tmp_path_factory):
    """The detection and the segmentation set of the same arguments."""
    from lbbt_mm.data_makers.digits_to_ade import make_digits_segmentation
    from lbbt_mm.data_makers.digits_to_coco import make_digits_detection
    root = tmp_path_factory.mktemp('digits')
    return make_digits_detection(root / 'coco', 12, 5), make_digits_segmentation(root / 'ade', 12, 5)
