"""Time the checks before a run, on synthetic data of the sizes of COCO train2017 and ADE20K.

Every image and mask is a link to one of a few files, which takes no room; annotations are drawn at random. Parsing the
JSON is timed apart: mmdet's data set, which would do it, takes over what was parsed. The data are made if they are absent,
and kept.
"""
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any, List, Sequence, Tuple

from harness import in_fresh_process, make_parser

from lbbt_mm import config_path
from lbbt_mm.argument_types import count, positive
from lbbt_mm.launch.user_errors import run_tool

#: Images and boxes of COCO train2017 and val2017; images of ADE20K
COCO = dict(train=(118_287, 860_001), val=(5_000, 36_781))
ADE = dict(training=20_210, validation=2_000)
_LINKS = 20_000  # file systems allow 65,000 links to a file


def write_links(folder: Path, names: Sequence[str], pixels: Any) -> None:
    """Write one image, uint8, under many names."""
    from PIL import Image
    folder.mkdir(parents=True)
    for index, name in enumerate(names):
        if index % _LINKS == 0:
            source = folder / name
            Image.fromarray(pixels).save(source)
        else:
            os.link(source, folder / name)


def make_coco(root: Path, part: float) -> None:
    """Write images and annotations of COCO's form."""
    import numpy as np
    from mmdet.datasets import CocoDataset
    rng = np.random.default_rng(0)
    categories = [dict(id=index + 1, name=name) for index, name in enumerate(CocoDataset.METAINFO['classes'])]
    (root / 'annotations').mkdir(parents=True)
    for split, (images, boxes) in COCO.items():
        images, boxes = int(images * part), int(boxes * part)
        names = [f'{index:012d}.jpg' for index in range(images)]
        write_links(root / f'{split}2017', names, rng.integers(0, 255, (480, 640, 3), dtype=np.uint8))
        corner, size = rng.uniform(0, 400, (boxes, 2)).round(2), rng.uniform(4, 80, (boxes, 2)).round(2)
        drawn = zip(rng.integers(0, images, boxes).tolist(), rng.integers(1, 81, boxes).tolist(), corner.tolist(),
                    size.tolist(), rng.uniform(0, 400, (boxes, 24)).round(2).tolist())
        annotations = [dict(id=index, image_id=image, category_id=kind, bbox=[*xy, *wh], area=wh[0] * wh[1], iscrowd=0,
                            segmentation=[line]) for index, (image, kind, xy, wh, line) in enumerate(drawn)]
        pictures = [dict(id=index, file_name=name, width=640, height=480) for index, name in enumerate(names)]
        content = dict(images=pictures, annotations=annotations, categories=categories)
        (root / 'annotations' / f'instances_{split}2017.json').write_text(json.dumps(content))


def make_ade(root: Path, part: float) -> None:
    """Write images and masks of ADE20K's form."""
    import numpy as np
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 255, (512, 683, 3), dtype=np.uint8)
    mask = np.kron(rng.integers(0, 151, (64, 86)), np.ones((8, 8)))[:, :683].astype(np.uint8)
    for split, images in ADE.items():
        names = [f'ADE_{split}_{index:08d}' for index in range(int(images * part))]
        write_links(root / 'images' / split, [f'{name}.jpg' for name in names], picture)
        write_links(root / 'annotations' / split, [f'{name}.png' for name in names], mask)


def timed_round(root: Path, config: str) -> Tuple[float, float]:
    """Seconds of the checks in all, and of reading JSON among them, in a process of their own as a run has them."""
    import mmdet.datasets  # noqa: F401  the run imports them whatever is checked
    import mmseg.datasets  # noqa: F401
    from mmengine.config import Config

    from lbbt_mm.checks import check_datasets, coco_file
    os.environ['LBBT_DATA_ROOT'] = str(root)
    cfg, reading, read = Config.fromfile(config), [], coco_file._read

    def timed_read(path: Path) -> dict:
        begun = time.perf_counter()
        content = read(path)
        reading.append(time.perf_counter() - begun)
        return content

    coco_file._read = timed_read
    begun = time.perf_counter()
    check_datasets(cfg)
    return time.perf_counter() - begun, sum(reading)


def time_of_json(root: Path) -> float:
    """Seconds that Python's own reader takes, as mmdet calls it."""
    begun = time.perf_counter()
    contents = [json.loads(path.read_text()) for path in sorted(root.glob('annotations/*.json'))]
    taken = time.perf_counter() - begun
    del contents
    return taken


def shown(times: List[float]) -> str:
    """Median and range."""
    return f'{statistics.median(times):.2f} ({min(times):.2f} to {max(times):.2f})'


def main() -> None:
    """Make the data, and time the checks."""
    parser = make_parser(__doc__, '')
    parser.add_argument('folder', type=Path, help='where the data are, or are to be made')
    parser.add_argument('--part', type=positive, default=1., help='share of the sizes')
    parser.add_argument('--repeats', type=count, default=5, help='rounds')
    args = parser.parse_args()
    for name, make, config in (('coco', make_coco, 'detr_gpt2_coco.py'), ('ade', make_ade, 'segmenter_gpt2_ade20k.py')):
        root = args.folder / name
        if not root.exists():
            in_fresh_process(make, root, args.part, method='spawn')
        rounds = [in_fresh_process(timed_round, root, config_path(config), method='spawn') for _ in range(args.repeats)]
        whole, reading = (list(column) for column in zip(*rounds))
        checks = [one - other for one, other in rounds]
        print(f'{name}: checks {shown(checks)} s, JSON {shown(reading)} s, in all {shown(whole)} s', flush=True)
    alone = [in_fresh_process(time_of_json, args.folder / 'coco', method='spawn') for _ in range(args.repeats)]
    print(f'coco: JSON alone, as mmdet reads it {shown(alone)} s')


if __name__ == '__main__':
    sys.exit(run_tool(main))
