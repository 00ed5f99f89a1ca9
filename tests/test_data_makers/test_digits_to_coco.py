"""The detection set of scattered digits stays what it is."""
import hashlib

from tests.canvas_sets import SPLITS, read


def test_the_detection_set_stays_what_it_is(sets):
    """Pixels and boxes, not files: how a picture is packed depends on the library's version."""
    coco, _ = sets
    digest = hashlib.sha256()
    for split, _, _ in SPLITS:
        digest.update((coco / 'annotations' / f'instances_{split}2017.json').read_bytes())
        for path in sorted((coco / f'{split}2017').iterdir()):
            digest.update(read(path).tobytes())
    assert digest.hexdigest() == 'd71ced6a1273d694c67fd32d33e5e7c8a18774aaae9069355212009b1c7f37e8'
