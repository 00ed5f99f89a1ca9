"""A font of a few emoji, Unicode's list of them and their names, in the forms of Debian's packages, made here."""
import io
from pathlib import Path
from typing import Dict, Sequence

import numpy as np
from fontTools.fontBuilder import FontBuilder
from fontTools.ttLib import newTable
from fontTools.ttLib.tables.BitmapGlyphMetrics import SmallGlyphMetrics
from fontTools.ttLib.tables.C_B_D_T_ import cbdt_bitmap_format_17
from fontTools.ttLib.tables.E_B_L_C_ import (BitmapSizeTable, SbitLineMetrics, Strike, eblc_index_sub_table_1)
from PIL import Image

from lbbt_mm.data_makers.emoji_to_captions import EmojiSources

#: Group -> subgroup -> name -> code point; all but the hair are emoji of one code point.
GROUPS = {
    'Smileys': {'face': {'grin': 0x1F600, 'smile': 0x263A}, 'cat-face': {'cat grin': 0x1F63A}},
    'Animals': {'mammal': {'dog': 0x1F436, 'cat': 0x1F431}, 'bird': {'duck': 0x1F986}},
}
NAMES = {name: point for subgroups in GROUPS.values() for names in subgroups.values() for name, point in names.items()}
SIZE = (12, 8)


def picture(value: int) -> Image.Image:
    """A transparent picture with a coloured rectangle; where it is transparent its colour means nothing."""
    pixels = np.full((SIZE[1], SIZE[0], 4), [255, 0, 255, 0], np.uint8)
    pixels[2:6, 3:9] = [value, 255 - value, 40, 255]
    return Image.fromarray(pixels)


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, 'PNG')
    return file.getvalue()


def write_font(path: Path, pictures: Dict[int, bytes], tables: Sequence[str] = ('CBLC', 'CBDT')) -> None:
    """A font with pictures as Noto Color Emoji has them: format 17 of CBDT."""
    names = {point: f'u{point:04X}' for point in pictures}
    builder = FontBuilder(1024, isTTF=True)
    builder.setupGlyphOrder(['.notdef', *names.values()])
    builder.setupCharacterMap(names)
    builder.setupGlyf({})
    builder.setupHorizontalMetrics({name: (1024, 0) for name in ['.notdef', *names.values()]})
    builder.setupHorizontalHeader()
    builder.setupPost()
    if tables:
        builder.font['CBLC'], builder.font['CBDT'] = _tables({names[point]: data for point, data in pictures.items()})
    del builder.font['glyf'], builder.font['loca']
    builder.save(path)


def _tables(pictures: Dict[str, bytes]) -> tuple:
    located, data = newTable('CBLC'), newTable('CBDT')
    located.version = data.version = 3.0
    strike, index = Strike(), eblc_index_sub_table_1(None, None)
    strike.bitmapSizeTable, index.names = BitmapSizeTable(), list(pictures)
    size = strike.bitmapSizeTable
    size.colorRef, size.ppemX, size.ppemY, size.bitDepth, size.flags = 0, 109, 109, 32, 1
    size.startGlyphIndex, size.endGlyphIndex = 1, len(pictures)
    for direction in ('hori', 'vert'):
        setattr(size, direction, SbitLineMetrics())
        for name in ('ascender', 'descender', 'widthMax', 'caretSlopeNumerator', 'caretSlopeDenominator', 'caretOffset',
                     'minOriginSB', 'minAdvanceSB', 'maxBeforeBL', 'minAfterBL', 'pad1', 'pad2'):
            setattr(getattr(size, direction), name, 0)
    index.indexFormat, index.imageFormat, index.firstGlyphIndex, index.lastGlyphIndex = 1, 17, 1, len(pictures)
    strike.indexSubTables, located.strikes = [index], [strike]
    data.strikeData = [{}]
    for name, content in pictures.items():
        glyph = cbdt_bitmap_format_17(None, None)
        glyph.metrics, glyph.imageData = SmallGlyphMetrics(), content
        for key, value in dict(height=SIZE[1], width=SIZE[0], BearingX=0, BearingY=SIZE[1], Advance=SIZE[0]).items():
            setattr(glyph.metrics, key, value)
        data.strikeData[0][name] = glyph
    return located, data


def write_list(path: Path) -> None:
    """emoji-test.txt, with lines of each kind that it has."""
    lines = ['# emoji-test.txt', '#   Status', '']
    for group, subgroups in GROUPS.items():
        lines += [f'# group: {group}', '']
        for subgroup, names in subgroups.items():
            lines.append(f'# subgroup: {subgroup}')
            for name, point in names.items():
                lines.append(f'{point:04X} FE0F ; fully-qualified # x E1.0 {name}')
                lines.append(f'{point:04X} ; unqualified # x E1.0 {name}')
                lines.append(f'{point:04X} 1F3FB ; fully-qualified # x E1.0 {name}: light skin tone')
    lines += ['# group: Component', '# subgroup: hair-style', '1F9B0 ; component # x E11.0 red hair', '#EOF']
    path.write_text('\n'.join(lines), encoding='utf-8')


def write_annotations(path: Path, names: Dict[str, str]) -> None:
    """CLDR's annotations: names of the emoji by their English names, and keywords."""
    lines = ['<?xml version="1.0" encoding="UTF-8" ?>', '<!DOCTYPE ldml SYSTEM "../../common/dtd/ldml.dtd">', '<ldml>',
             '<identity><language type="xx"/></identity>', '<annotations>', '<annotation cp="{">brace</annotation>']
    for english, name in names.items():
        character = chr(NAMES[english])
        if english != 'duck':  # it has no keywords
            lines.append(f'<annotation cp="{character}">{name} | key of {name} | fun</annotation>')
        lines.append(f'<annotation cp="{character}" type="tts">{name}</annotation>')
    path.write_text('\n'.join([*lines, '</annotations>', '</ldml>']), encoding='utf-8')


def write_emoji(folder: Path) -> EmojiSources:
    """All three sources, with English, German of all, and British English of one."""
    sources = EmojiSources(folder / 'emoji.ttf', folder / 'emoji-test.txt', folder / 'annotations')
    sources.annotations.mkdir()
    write_font(sources.font, {point: png(picture(30 * index)) for index, point in enumerate(NAMES.values())})
    write_list(sources.emoji_test)
    for language, names in (('en', list(NAMES)), ('de', list(NAMES)), ('en_GB', ['dog'])):
        write_annotations(sources.annotations / f'{language}.xml',
                          {name: name if language == 'en' else f'{name} ({language})' for name in names})
    return sources
