"""Time of the checks before a run, on synthetic data of the sizes of COCO train2017 and ADE20K.

Every image and mask is a link to one of a few files, which takes no room; annotations are drawn at random. Parsing the
JSON is timed apart: mmdet's data set, which would do it, takes over what was parsed.

  python tools/benchmarks/data_checks.py FOLDER            # made if it is absent, and kept
"""
import argparse
import json
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # works without being installed

#: Images and boxes of COCO train2017 and val2017; images of ADE20K
COCO = dict(train=(118_287, 860_001), val=(5_000, 36_781))
ADE = dict(training=20_210, validation=2_000)
_LINKS = 20_000  # file systems allow 65,000 links to a file


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', type=Path, help='where the data are, or are to be made')
    parser.add_argument('--part', type=float, default=1., help='share of the sizes; default: all')
    parser.add_argument('--repeats', type=int, default=3)
    return parser.parse_args()


def write_links(folder: Path, names: list, image) -> None:
    """Write one image under many names."""
    folder.mkdir(parents=True)
    for index, name in enumerate(names):
        if index % _LINKS == 0:
            source = folder / name
            image.save(source)
        else:
            os.link(source, folder / name)


def make_coco(root: Path, part: float) -> None:
    """Write images and annotations of COCO's form."""
    import numpy as np
    from mmdet.datasets import CocoDataset
    from PIL import Image
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 255, (480, 640, 3), dtype=np.uint8))
    categories = [dict(id=index + 1, name=name) for index, name in enumerate(CocoDataset.METAINFO['classes'])]
    for split, (images, boxes) in COCO.items():
        images, boxes = int(images * part), int(boxes * part)
        names = [f'{index:012d}.jpg' for index in range(images)]
        write_links(root / f'{split}2017', names, picture)
        corner, size = rng.uniform(0, 400, (boxes, 2)).round(2), rng.uniform(4, 80, (boxes, 2)).round(2)
        polygon = rng.uniform(0, 400, (boxes, 24)).round(2).tolist()
        owners, kinds = rng.integers(0, images, boxes).tolist(), rng.integers(1, 81, boxes).tolist()
        annotations = [
            dict(id=index, image_id=image, category_id=kind, bbox=[*xy, *wh], area=wh[0] * wh[1], iscrowd=0,
                 segmentation=[line])
            for index, (image, kind, xy, wh, line) in enumerate(zip(owners, kinds, corner.tolist(), size.tolist(), polygon))]
        pictures = [dict(id=index, file_name=name, width=640, height=480) for index, name in enumerate(names)]
        content = dict(images=pictures, annotations=annotations, categories=categories)
        (root / 'annotations').mkdir(exist_ok=True)
        (root / 'annotations' / f'instances_{split}2017.json').write_text(json.dumps(content))


def make_ade(root: Path, part: float) -> None:
    """Write images and masks of ADE20K's form."""
    import numpy as np
    from PIL import Image
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 255, (512, 683, 3), dtype=np.uint8))
    mask = Image.fromarray(np.kron(rng.integers(0, 151, (64, 86)), np.ones((8, 8)))[:, :683].astype(np.uint8))
    for split, images in ADE.items():
        names = [f'ADE_{split}_{index:08d}' for index in range(int(images * part))]
        write_links(root / 'images' / split, [f'{name}.jpg' for name in names], picture)
        write_links(root / 'annotations' / split, [f'{name}.png' for name in names], mask)


def main() -> None:
    """Make the data, and time the checks."""
    args = parse_args()
    import mmdet.datasets  # noqa: F401  the run imports them whatever is checked
    import mmseg.datasets  # noqa: F401
    from mmengine.config import Config

    from lbbt_mm.checks import check_datasets, coco_file
    configs = Path(__file__).resolve().parents[2] / 'configs'
    for name, make, config in (('coco', make_coco, 'detr_gpt2_coco.py'), ('ade', make_ade, 'segmenter_gpt2_ade20k.py')):
        root = args.folder / name
        if not root.exists():
            make(root, args.part)
        os.environ['LBBT_DATA_ROOT'] = str(root)
        for _ in range(args.repeats):
            cfg = Config.fromfile(configs / config)
            coco_file._parsed.clear()
            parsing, read = [], coco_file._read

            def timed(path, read=read, parsing=parsing):
                begun = time.perf_counter()
                content = read(path)
                parsing.append(time.perf_counter() - begun)
                return content

            coco_file._read = timed
            begun = time.perf_counter()
            check_datasets(cfg)
            whole = time.perf_counter() - begun
            coco_file._read = read
            rest = whole - sum(parsing)
            print(f'{name}: {whole:.2f} s, of which JSON {sum(parsing):.2f} s, checks {rest:.2f} s', flush=True)


if __name__ == '__main__':
    main()
