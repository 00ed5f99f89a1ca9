"""Emoji of Unicode's list, their names in CLDR, their pictures in a font."""
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lbbt_mm.data_makers.emoji_sources import (Emoji, checksum, read_annotations, read_emoji_test, read_pictures,
                                               without_copies)
from tests.tiny_emoji import picture, png, write_font


@pytest.fixture
def listed(tmp_path):
    def read(*lines):
        (tmp_path / 'emoji-test.txt').write_text('\n'.join(lines), encoding='utf-8')
        return read_emoji_test(tmp_path / 'emoji-test.txt')
    return read


def test_emoji_of_one_code_point_with_the_groups_above_them(listed):
    found = listed('# group: One', '# subgroup: a', '1F600 ; fully-qualified # x', '263A FE0F ; fully-qualified # x',
                   '263A ; unqualified # x', '# subgroup: b: c', '1F468 200D 1F4BB ; fully-qualified # x',
                   '1F3FB ; component # x', '  1f436;fully-qualified', '# group: Two', '1F431 ; fully-qualified # ; x')
    assert found == [Emoji(0x1F600, 'One', 'a'), Emoji(0x263A, 'One', 'a'), Emoji(0x1F436, 'One', 'b: c'),
                     Emoji(0x1F431, 'Two', 'b: c')]


@pytest.mark.parametrize('line', ['XYZ ; fully-qualified', 'FE0F ; fully-qualified', '110000 ; fully-qualified',
                                  '-1 ; fully-qualified', '; fully-qualified'])
def test_a_line_without_a_code_point(listed, line):
    with pytest.raises(ValueError, match=f"emoji-test.txt, line 2: '{line}'. Expected CODE POINTS ; STATUS"):
        listed('1F600 ; fully-qualified # x', line)


@pytest.fixture
def annotated(tmp_path):
    def read(*entries, language='xx'):
        (tmp_path / f'{language}.xml').write_text(f'<ldml><annotations>{"".join(entries)}</annotations></ldml>',
                                                  encoding='utf-8')
        return read_annotations(tmp_path, 'xx')
    return read


def test_keywords_are_without_the_name_and_none_is_that_of_another_language(annotated):
    found = annotated('<annotation cp="a"> cat |  black  cat|| pet </annotation>',
                      '<annotation cp="a" type="tts"> black\n cat </annotation>', '<annotation cp="b">↑↑↑</annotation>',
                      '<annotation cp="b" type="tts">↑↑↑</annotation>', '<annotation cp="c" type="tts"/>',
                      '<annotation>none</annotation>', '<annotation cp="d">owl</annotation>')
    assert found.names == dict(a='black cat') and found.keywords == dict(a=['cat', 'pet'], d=['owl'])


def test_a_language_that_is_not_there_says_which_are(annotated, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'xx.xml does not exist. Expected a language that CLDR has: aa, zh_Hant, '
                                                r'... \(2 in all\)'):
        (tmp_path / 'aa.xml').write_text('')
        annotated(language='zh_Hant')


def test_pictures_are_squares_on_white_with_what_is_half_transparent_mixed(tmp_path):
    pixels = np.zeros((2, 4, 4), np.uint8)
    pixels[0] = [0, 0, 0, 255]
    pixels[1] = [255, 0, 0, 51]  # a fifth of red on white
    write_font(tmp_path / 'a.ttf', {65: png(Image.fromarray(pixels)), 66: png(picture(9)), 67: b''})
    found = read_pictures(tmp_path / 'a.ttf', [65, 99])
    assert list(found) == [65], 'others are not opened'
    expected = np.full((4, 4, 3), 255)
    expected[1], expected[2] = 0, [255, 204, 204]
    assert found[65].mode == 'RGB' and np.array(found[65]).tolist() == expected.tolist()


def test_the_first_of_pictures_that_are_alike_stays():
    first, other = Image.new('RGB', (2, 2), 'red'), Image.new('RGB', (2, 2), 'blue')
    kept, left_out = without_copies({3: first, 1: other, 2: first.copy(), 4: Image.new('RGB', (1, 4), 'red')})
    assert list(kept) == [3, 1, 4] and left_out == 1 and kept[3] is first


def test_a_checksum_knows_where_a_file_ends(tmp_path):
    for name, content in dict(a=b'12', b=b'3', c=b'1', d=b'23').items():
        (tmp_path / name).write_bytes(content)
    paths = {name: tmp_path / name for name in 'abcd'}
    sums = {checksum(paths[one], paths[other]) for one, other in ('ab', 'ba', 'cd', 'dc')}
    assert len(sums) == 4 and checksum(paths['a']) != checksum(paths['a'], paths['b']) and len(sums.pop()) == 64


@pytest.mark.parametrize('read, package, option', [
    (read_emoji_test, 'unicode-data', '--emoji-test'), (lambda path: read_annotations(path, 'en'), 'unicode-cldr-core',
                                                        '--annotations'),
    (lambda path: read_pictures(path, [65]), 'fonts-noto-color-emoji', '--font')])
def test_a_source_that_is_not_there(read, package, option):
    with pytest.raises(FileNotFoundError, match=rf'none does not exist. Install it .apt-get install {package}., .*{option}'):
        read(Path('none'))
