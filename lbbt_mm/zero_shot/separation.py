"""Captions that name classes, counted and left out."""
import argparse
import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Set, Tuple

from lbbt_mm.datasets.captions import CaptionSet, open_captions
from lbbt_mm.datasets.class_names import read_class_names
from lbbt_mm.figures.progress import track
from lbbt_mm.files.overwriting import refuse_overwriting_file
from lbbt_mm.files.whole_files import whole_file
from lbbt_mm.text_table import render_table
from .caption_writers import check_form, write_kept
from .classify import one_or_list
from .concepts import Concepts, concept_words
from .wordnet import DEBIAN, WordNet


class Found(NamedTuple):
    """What names classes in a set of captions.

    Attributes:
        captions: The captions that name one: key of an image, caption.
        images: Keys of their images.
        counts: Class -> captions that name it.
        words: Class -> word -> captions that name the class by it.
    """
    captions: Set[Tuple[str, str]]
    images: Set[str]
    counts: Dict[str, int]
    words: Dict[str, Counter]


def run(args: argparse.Namespace) -> int:
    """Separate; returns the exit status.

    Args:
        args: The command line.
    """
    for option, path in (('--out', args.out), ('--report', args.report)):
        if path is not None:
            refuse_overwriting_file(option, path)
    source = Path(args.captions).expanduser()
    check_form(source, args.out, alone=args.keep_images)
    names = read_class_names(one_or_list(args.classes))
    dictionary = None if args.dictionary is None else read_dictionary(args.dictionary, names)
    wordnet = WordNet(args.wordnet or DEBIAN) if args.wordnet or dictionary is None else None
    words, unknown = concept_words(names, wordnet, dictionary, args.senses, args.kinds)
    captions = open_captions(args.captions)
    found = find_named(captions, words)
    left = write_kept(source, args.out, captions, found.captions, set() if args.keep_images else found.images)
    if args.report:
        _write_report(args.report, found)
    print(_table(found))
    if unknown:
        print(f'{len(unknown)} of {len(names)} classes are not in WordNet and count by their names alone: '
              f'{", ".join(unknown[:5])}{", ..." if len(unknown) > 5 else ""}.')
    print(f'{args.out}: {left.images:,} of {len(captions):,} images and {left.captions:,} of {len(captions.pairs):,} '
          f'captions are left; {len(found.captions):,} captions of {len(found.images):,} images name a class.')
    if args.out.suffix and args.out.parent.resolve() != source.parent.resolve():
        print(f'Paths of images are still relative to {Path(args.captions).parent}: open it with --images.')
    return 0


def find_named(captions: CaptionSet, words: Dict[str, Set[str]]) -> Found:
    """Find the captions that name classes.

    Args:
        captions: The captions.
        words: Class -> words for it.
    """
    concepts = Concepts(words)
    found = Found(set(), set(), dict.fromkeys(words, 0), {name: Counter() for name in words})
    for key, caption in track(captions.pairs, 'captions'):
        named = concepts.named(caption)
        if named:
            found.captions.add((key, caption))
            found.images.add(key)
        for name, by in named.items():
            found.counts[name] += 1
            found.words[name].update(sorted(by))  # the same order in every run
    return found


def read_dictionary(path: Path, names: List[str]) -> Dict[str, List[str]]:
    """Other words for classes.

    Args:
        path: A JSON file with an object: class -> list of words.
        names: The classes.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is no such file, or has another class.
    """
    if not path.is_file():
        raise FileNotFoundError(f'{path}: no such file; expected JSON, class -> list of other words. Correct the path.')
    try:
        found: Any = json.loads(path.read_text(encoding='utf-8-sig'))
    except (ValueError, RecursionError) as error:
        raise ValueError(f'{path}: cannot be read as JSON ({error!s:.80}). Correct it.') from None
    lists = list(found.values()) if isinstance(found, dict) else [None]
    if not all(isinstance(words, list) and all(isinstance(word, str) and word.strip() for word in words) for words in lists):
        raise ValueError(f'{path}: expected an object of JSON, class -> list of other words, none of them empty. Correct '
                         'it.')
    odd: Optional[str] = next((name for name in found if name not in names), None)
    if odd is not None:
        raise ValueError(f'{path}: has the class {odd!r:.60}, which is none of those of --classes ({names[0]!r:.60}, '
                         '...). Correct one of them.')
    return found


def _table(found: Found) -> str:
    rows = [(name, f'{count:,}', ', '.join(f'{word} {times:,}' for word, times in found.words[name].most_common(5)))
            for name, count in sorted(found.counts.items(), key=lambda entry: -entry[1]) if count]
    silent = len(found.counts) - len(rows)
    return render_table('captions that name a class', ('class', 'captions', 'by'),
                        [*rows, (f'{silent} other classes', '0', '')] if silent else rows, left=('class', 'by'))


def _write_report(path: Path, found: Found) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path, 'w', encoding='utf-8', newline='') as file:
        writer = csv.writer(file)
        writer.writerow(['class', 'captions', 'words'])
        for name, count in found.counts.items():
            writer.writerow([name, count, '; '.join(f'{word} {times}' for word, times in found.words[name].most_common())])
