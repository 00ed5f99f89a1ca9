"""What Noto Color Emoji, Unicode and CLDR say of an emoji: its picture, its group, its names in many languages.

Debian has all three: packages ``fonts-noto-color-emoji``, ``unicode-data`` and ``unicode-cldr-core``.
"""
import hashlib
import io
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any, Dict, Iterable, List, NamedTuple, Tuple

FONT = Path('/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf')
EMOJI_TEST = Path('/usr/share/unicode/emoji/emoji-test.txt')
ANNOTATIONS = Path('/usr/share/unicode/cldr/common/annotations')

#: Says that a character is shown as an emoji; no part of its name in CLDR.
_VARIATION_SELECTOR = 'FE0F'
#: CLDR's mark of a name that is that of the parent language.
_INHERITED = '↑↑↑'
_LARGEST_SIDE = 1024


class Emoji(NamedTuple):
    """A line of ``emoji-test.txt``."""
    code_point: int
    group: str
    subgroup: str


class Annotations(NamedTuple):
    """Of a language, character -> its name, and its keywords without the name."""
    names: Dict[str, str]
    keywords: Dict[str, List[str]]


def read_emoji_test(path: Path) -> List[Emoji]:
    """Emoji of one code point with their groups, in Unicode's order; no parts (skin tones, hair) and no sequences.

    Args:
        path: ``emoji-test.txt`` (UTS #51).

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If a line is not of its form.
    """
    _require(path, 'unicode-data', '--emoji-test')
    found, group, subgroup = [], '', ''
    for number, line in enumerate(_text(path).splitlines(), start=1):
        if line.startswith('# group:'):
            group = line.split(':', 1)[1].strip()
        elif line.startswith('# subgroup:'):
            subgroup = line.split(':', 1)[1].strip()
        elif line.strip() and not line.startswith('#'):
            codes, _, rest = line.partition(';')
            points = [code for code in codes.split() if code != _VARIATION_SELECTOR]
            try:
                point = int(points[0], 16)
                chr(point)
            except (IndexError, ValueError, OverflowError):
                raise ValueError(f'{path}, line {number}: {line[:60]!r}. Expected CODE POINTS ; STATUS # ..., as in '
                                 "Unicode's emoji-test.txt; give its path by --emoji-test.") from None
            if rest.split('#')[0].strip() == 'fully-qualified' and len(points) == 1:
                found.append(Emoji(point, group, subgroup))
    if not found:
        raise ValueError(f"{path} has no emoji of one code point. Expected Unicode's emoji-test.txt; give its path by "
                         '--emoji-test.')
    return found


def read_annotations(folder: Path, language: str) -> Annotations:
    """Names and keywords of a language.

    Args:
        folder: CLDR's folder ``common/annotations``.
        language: A language as CLDR calls it: ``zh``, ``zh_Hant``.

    Raises:
        FileNotFoundError: If CLDR has no such language.
        ValueError: If its file is no CLDR file.
    """
    _require(folder, 'unicode-cldr-core', '--annotations')
    path = folder / f'{language}.xml'
    if not path.is_file():
        known = sorted(file.stem for file in folder.glob('*.xml'))
        raise FileNotFoundError(f'{path} does not exist. Expected a language that CLDR has: {", ".join(known[:12])}, ... '
                                f'({len(known)} in all).')
    try:
        root = ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        raise ValueError(f'{path} is no XML file ({error}). Expected annotations of CLDR; install the package again.'
                         ) from None
    names: Dict[str, str] = {}
    listed: Dict[str, List[str]] = {}
    for entry in root.iter('annotation'):
        character, text = entry.get('cp'), ' '.join((entry.text or '').split())
        if not character or not text or text == _INHERITED:
            continue
        if entry.get('type') == 'tts':
            names[character] = text
        else:
            listed[character] = [word.strip() for word in text.split('|') if word.strip()]
    return Annotations(names, {character: [word for word in words if word != names.get(character)]
                               for character, words in listed.items()})


def read_pictures(path: Path, code_points: Iterable[int]) -> Dict[int, Any]:
    """Pictures of emoji on white, made square.

    The pictures of the font are 136 x 128 pixels with transparent places, whose colours mean nothing.

    Args:
        path: A font with pictures as PNG (table CBDT): Noto Color Emoji.
        code_points: The emoji.

    Returns:
        dict: Code point -> ``PIL.Image.Image``, RGB; without those that the font lacks.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no font with such pictures, or a picture is damaged.
    """
    from fontTools.ttLib import TTFont  # not for --help; it comes with matplotlib
    _require(path, 'fonts-noto-color-emoji', '--font')
    try:
        with TTFont(path, lazy=True) as font:
            found = _pngs(font) if 'CBDT' in font else None
    except Exception as error:  # its parsers raise whatever they run into
        raise ValueError(f'{path} is no font that can be read ({type(error).__name__}: {error}). Expected '
                         'NotoColorEmoji.ttf; install it again, or give its path by --font.') from None
    if found is None:
        raise ValueError(f'{path} has no pictures as PNG (no table CBDT). Expected NotoColorEmoji.ttf as Debian has it; '
                         'give its path by --font.')
    return {point: _on_white(path, point, found[point]) for point in code_points if point in found}


def checksum(*paths: Path) -> str:
    """What tells these files from others: 64 hexadecimal digits.

    Args:
        *paths: The files, in order.
    """
    digest = hashlib.sha256()
    for path in paths:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def without_copies(pictures: Dict[int, Any]) -> Tuple[Dict[int, Any], int]:
    """Leave out pictures that are, pixel by pixel, those of an earlier emoji: they could stand on both sides of a split.

    Args:
        pictures: Code point -> picture.

    Returns:
        tuple: The others, and how many were left out.
    """
    seen, kept = set(), {}
    for point, picture in pictures.items():
        content = (picture.size, picture.tobytes())
        if content not in seen:
            seen.add(content)
            kept[point] = picture
    return kept, len(pictures) - len(kept)


def _pngs(font: Any) -> Dict[int, bytes]:
    """Code point -> picture as the font holds it."""
    pictures = font['CBDT'].strikeData[0]
    return {point: pictures[name].imageData for point, name in font.getBestCmap().items() if name in pictures}


def _on_white(path: Path, point: int, data: bytes) -> Any:
    from PIL import Image
    try:
        with Image.open(io.BytesIO(data), formats=['PNG']) as image:
            if max(image.size) > _LARGEST_SIDE:
                raise ValueError(f'{image.size[0]} x {image.size[1]} pixels')
            picture = image.convert('RGBA')
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f'{path}: the picture of U+{point:04X} cannot be read ({error}). Install the font again.') from None
    side = max(picture.size)
    square = Image.new('RGBA', (side, side), 'white')
    square.alpha_composite(picture, tuple((side - length) // 2 for length in picture.size))
    return square.convert('RGB')


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding='utf-8')
    except UnicodeDecodeError:
        raise ValueError(f'{path} is no text in UTF-8. Expected a file of Unicode; give another path.') from None


def _require(path: Path, package: str, option: str) -> None:
    if not path.exists():
        raise FileNotFoundError(f'{path} does not exist. Install it (apt-get install {package}), or say where it is by '
                                f'{option}.')
