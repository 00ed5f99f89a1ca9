"""Classes of images, as a table."""
import argparse
import csv
from functools import partial
from pathlib import Path
from typing import Any, Dict, List, Sequence

from lbbt_mm.figures.progress import track
from lbbt_mm.files.whole_files import whole_file
from lbbt_mm.text_table import render_table
from .classify import one_or_list
from .inferencer import ZeroShotInferencer

_IMAGES = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp', '.ppm')


def run(args: argparse.Namespace) -> int:
    """Classify them; returns the exit status.

    Args:
        args: The command line, whose ``out`` is a new file or None.
    """
    paths = find_images(args.images)
    inferencer = ZeroShotInferencer(args.run, one_or_list(args.classes), one_or_list(args.templates), args.vision, args.text,
                                    args.cache, args.device, args.cfg_options, partial(track, what='reading class names'))
    found: List[Dict[str, Any]] = []
    for first in track(range(0, len(paths), args.batch_size), 'batches of images'):
        batch = paths[first:first + args.batch_size]
        found += inferencer(list(map(str, batch)), batch_size=len(batch))
    rows = [_best(path, result['pred_scores'], inferencer.classes, args.topk) for path, result in zip(paths, found)]
    if args.out:
        Path(args.out).parent.mkdir(parents=True, exist_ok=True)
        with whole_file(Path(args.out), 'w', encoding='utf-8', newline='') as file:
            writer = csv.writer(file)
            writer.writerow(_columns(rows))
            writer.writerows(rows)
    columns = _columns(rows)
    print(f'Projections of {inferencer.checkpoint.name}')
    print(render_table(f'{len(inferencer.classes)} classes', columns, rows, left=columns[:1] + columns[1::2]))
    return 0


def find_images(places: Sequence[str]) -> List[Path]:
    """Images, and those of folders by their names.

    Args:
        places: Files and folders.

    Raises:
        FileNotFoundError: If one is not there, or a folder has no images.
    """
    found: List[Path] = []
    for place in places:
        path = Path(place).expanduser()
        named = (file for file in path.iterdir() if file.suffix.lower() in _IMAGES) if path.is_dir() else [path]
        inside = sorted(file for file in named if file.is_file())
        if not inside:
            raise FileNotFoundError(f'{place}: {"holds no images" if path.is_dir() else "no such file"}; expected images, '
                                    f'or folders of them ({", ".join(_IMAGES)}).')
        found += inside
    return found


def _best(path: Path, scores: Any, names: Sequence[str], topk: int) -> List[str]:
    order = scores.argsort()[::-1][:topk]
    return [str(path), *(cell for label in order for cell in (names[label], f'{scores[label]:.3f}'))]


def _columns(rows: List[List[str]]) -> List[str]:
    places = range(1, (len(rows[0]) - 1) // 2 + 1)
    return ['image', *(cell for place in places for cell in (f'class {place}', f'p {place}'))]
