"""Make an image-caption set out of the emoji of Noto Color Emoji, with names in many languages.

Over 1,300 pictures, each of one emoji, with the names and keywords of CLDR. Some of Unicode's groups are for training,
others, --test-groups, for zero-shot tests. The sources are Debian's:

  apt-get install fonts-noto-color-emoji unicode-cldr-core unicode-data
  tools/dataset_converters/emoji_to_captions.py data/emoji

What is written, where SPLIT is train or test:
  images/*.png                    pictures on white, 136 x 136 pixels
  SPLIT.csv                       image, caption, group, subgroup; two captions an image: its name, and name and keywords
  SPLIT_labels.txt                image and label, as mmpretrain's CustomDataset reads them: each picture is a class
  SPLIT_names_LANGUAGE.txt        names of these classes, in the labels' order
  SPLIT_subgroup_labels.txt, SPLIT_subgroups.txt     the same with Unicode's subgroups as classes
  pictures.jsonl                  all of it: image, code point, group, subgroup, split, names and keywords a language
"""
import csv
import json
from pathlib import Path
from typing import Any, Dict, Iterable, List, NamedTuple, Sequence

from .emoji_sources import (ANNOTATIONS, EMOJI_TEST, FONT, Annotations, Emoji, checksum, read_annotations, read_emoji_test,
                            read_pictures, without_copies)
from .whole_folder import converter_parser, write_once

LANGUAGES = ('en', 'zh', 'de', 'ar', 'hi', 'ja')
TEST_GROUPS = ('Animals & Nature', 'Food & Drink')
SPLITS = ('train', 'test')


class EmojiSources(NamedTuple):
    """Where the font, Unicode's list of emoji and CLDR's folder of annotations are."""
    font: Path = FONT
    emoji_test: Path = EMOJI_TEST
    annotations: Path = ANNOTATIONS


OF_DEBIAN = EmojiSources()


def convert_emoji(out: Path,
                  sources: EmojiSources = OF_DEBIAN,
                  languages: Sequence[str] = LANGUAGES,
                  test_groups: Sequence[str] = TEST_GROUPS) -> Dict[str, int]:
    """Write the set.

    Args:
        out: Folder to write; absent or empty, or one that holds this very set.
        sources: The font, the list and the annotations. Defaults to those of Debian's packages.
        languages: Languages of the names, as CLDR calls them; captions are in the first. ``['all']``: English, and each
            that names all of the pictures that English does. Emoji without a name in one of them are left out.
        test_groups: Unicode's groups, or subgroups, that are for tests; the others are for training.

    Returns:
        dict: Number of images as ``train`` and ``test``, of languages as ``languages``, and of emoji without a name or with
        the picture of another, which are left out, as ``unnamed`` and ``copies``.

    Raises:
        FileNotFoundError: If a source or a language is absent.
        ValueError: If a source is damaged, a group is unknown, a split is empty, or a language names too few.
        FileExistsError: If ``out`` holds something else; nothing is touched.
    """
    emoji = read_emoji_test(sources.emoji_test)
    _check_groups(emoji, test_groups, sources.emoji_test)
    pictures, copies = without_copies(read_pictures(sources.font, [found.code_point for found in emoji]))
    emoji = [found for found in emoji if found.code_point in pictures]
    names = _read_languages(sources.annotations, emoji, languages)
    named = [found for found in emoji if all(chr(found.code_point) in one.names for one in names.values())]
    records = [_record(found, names, test_groups) for found in named]
    counts = dict({split: sum(record['split'] == split for record in records) for split in SPLITS}, languages=len(names),
                  unnamed=len(emoji) - len(named), copies=copies)
    empty = next((split for split in SPLITS if not counts[split]), None)
    if empty:
        raise ValueError(f'No picture is left for the {empty} split. Choose other --test-groups than '
                         f'{", ".join(test_groups)}.')

    def write(root: Path) -> None:
        """Write pictures and lists to a folder."""
        (root / 'images').mkdir()
        for record, found in zip(records, named):
            pictures[found.code_point].save(root / record['image'])
        _write_lines(root / 'pictures.jsonl', (json.dumps(record, ensure_ascii=False) for record in records))
        for split in SPLITS:
            _write_split(root, split, [record for record in records if record['split'] == split], list(names))

    files = [sources.font, sources.emoji_test, *(sources.annotations / f'{language}.xml' for language in names)]
    write_once(out, Path(__file__).name,
               dict(counts, language_names=list(names), test_groups=list(test_groups), sources=checksum(*files)), write)
    return counts


def _check_groups(emoji: List[Emoji], test_groups: Sequence[str], path: Path) -> None:
    groups = dict.fromkeys(found.group for found in emoji)
    known = {*groups, *(found.subgroup for found in emoji)}
    unknown = next((group for group in test_groups if group not in known), None)
    if unknown is not None:
        raise ValueError(f'{unknown}: {path} has no such group or subgroup. Expected some of: {", ".join(groups)}; or their '
                         'subgroups.')


def _read_languages(folder: Path, emoji: List[Emoji], languages: Sequence[str]) -> Dict[str, Annotations]:
    """Language -> its annotations; each names half of the pictures at least."""
    characters = {chr(found.code_point) for found in emoji}
    if list(languages) == ['all']:
        first = read_annotations(folder, 'en')
        expected = characters & set(first.names)
        others = {path.stem: read_annotations(folder, path.stem) for path in sorted(folder.glob('*.xml'))}
        return {'en': first, **{name: one for name, one in others.items() if expected <= set(one.names)}}
    found = {language: read_annotations(folder, language) for language in languages}
    for language, one in found.items():
        count = len(characters & set(one.names))
        if 2 * count < len(characters):
            raise ValueError(f'{language} names {count} of {len(characters)} emoji. Expected half of them at least; CLDR '
                             'lists for a region, such as en_GB, what differs from its language alone: give the language.')
    return found


def _record(found: Emoji, names: Dict[str, Annotations], test_groups: Sequence[str]) -> Dict[str, Any]:
    character = chr(found.code_point)
    return dict(image=f'images/{found.code_point:04x}.png', code_point=f'U+{found.code_point:04X}', group=found.group,
                subgroup=found.subgroup, split='test' if {found.group, found.subgroup} & set(test_groups) else 'train',
                names={language: one.names[character] for language, one in names.items()},
                keywords={language: one.keywords.get(character, []) for language, one in names.items()})


def _write_split(root: Path, split: str, records: List[Dict[str, Any]], languages: List[str]) -> None:
    with open(root / f'{split}.csv', 'w', encoding='utf-8', newline='') as file:
        writer = csv.writer(file)
        writer.writerow(['image', 'caption', 'group', 'subgroup'])
        for record in records:
            for caption in _captions(record, languages[0]):
                writer.writerow([record['image'], caption, record['group'], record['subgroup']])
    _write_lines(root / f'{split}_labels.txt', (f'{record["image"]} {label}' for label, record in enumerate(records)))
    for language in languages:
        _write_lines(root / f'{split}_names_{language}.txt', (record['names'][language] for record in records))
    subgroups = list(dict.fromkeys(record['subgroup'] for record in records))
    _write_lines(root / f'{split}_subgroups.txt', subgroups)
    _write_lines(root / f'{split}_subgroup_labels.txt',
                 (f'{record["image"]} {subgroups.index(record["subgroup"])}' for record in records))


def _captions(record: Dict[str, Any], language: str) -> List[str]:
    """The name, and the name with its keywords; keywords alone would be those of many pictures."""
    name, keywords = record['names'][language], record['keywords'][language]
    return [name, *([f'{name}: {", ".join(keywords)}'] if keywords else [])]


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    path.write_text(''.join(f'{line}\n' for line in lines), encoding='utf-8')


def main() -> None:
    """Command line."""
    parser = converter_parser(__doc__)
    parser.add_argument('--languages', nargs='+', default=LANGUAGES, metavar='LANGUAGE',
                        help='of names, as CLDR calls them; captions are in the first; all: English and each that is '
                        f'complete; default: {" ".join(LANGUAGES)}')
    parser.add_argument('--test-groups', nargs='+', default=TEST_GROUPS, metavar='GROUP',
                        help='groups or subgroups of Unicode that are for tests; default: '
                        f'{" ".join(map(repr, TEST_GROUPS))}')
    parser.add_argument('--font', type=Path, default=FONT, metavar='FILE', help='default: %(default)s')
    parser.add_argument('--emoji-test', type=Path, default=EMOJI_TEST, metavar='FILE', help='default: %(default)s')
    parser.add_argument('--annotations', type=Path, default=ANNOTATIONS, metavar='FOLDER', help='default: %(default)s')
    args = parser.parse_args()
    sources = EmojiSources(args.font, args.emoji_test, args.annotations)
    counts = convert_emoji(args.out, sources, args.languages, args.test_groups)
    print('{train} training and {test} test images, names in {languages} languages, in {out}; left out: {unnamed} without a '
          'name, {copies} with the picture of another'.format(**counts, out=args.out))
