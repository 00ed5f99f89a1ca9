"""scikit-learn's digits as an ImageFolder."""
import cv2

from lbbt_mm.data_makers.digits_to_imagefolder import make_digits_imagefolder


def test_digits_are_an_imagefolder_of_all_1797(tmp_path):
    data = make_digits_imagefolder(tmp_path / 'digits')
    counts = {split: [len(list(folder.iterdir())) for folder in sorted((data / split).iterdir())]
              for split in ('train', 'test')}
    assert len(counts['train']) == len(counts['test']) == 10
    assert sum(counts['train']) == 1400 and sum(counts['test']) == 397
    picture = cv2.imread(str(next((data / 'test' / '3').iterdir())))
    assert picture.shape == (8, 8, 3) and picture.max() > 200
    written = (data / 'recipe.json').stat().st_mtime_ns
    make_digits_imagefolder(data)
    assert (data / 'recipe.json').stat().st_mtime_ns == written, 'it was there already'
