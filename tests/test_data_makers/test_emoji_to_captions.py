"""tools/dataset_converters/emoji_to_captions.py on a small font, list and annotations that are made here."""
import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lbbt_mm.data_makers.emoji_to_captions import convert_emoji
from tests.tiny_emoji import NAMES, SIZE, picture, png, write_annotations, write_emoji, write_font
from tests.tool_processes import REPO, finish, start

TOOL = 'dataset_converters/emoji_to_captions.py'
ANIMALS = ('Animals', )


@pytest.fixture
def sources(tmp_path):
    (tmp_path / 'sources').mkdir()
    return write_emoji(tmp_path / 'sources')


def convert(out, sources, languages=('en', 'de'), test_groups=ANIMALS):
    return convert_emoji(out, sources, languages, test_groups)


def lines(path: Path) -> list:
    return path.read_text(encoding='utf-8').splitlines()


def captions(path: Path) -> list:
    with open(path, encoding='utf-8', newline='') as file:
        return [tuple(row.values()) for row in csv.DictReader(file)]


def test_groups_are_split_and_each_picture_has_its_name_and_keywords(sources, tmp_path):
    out = tmp_path / 'out'
    assert convert(out, sources) == dict(train=3, test=3, languages=2, unnamed=0, copies=0)
    assert captions(out / 'train.csv')[:2] == [('images/1f600.png', 'grin', 'Smileys', 'face'),
                                               ('images/1f600.png', 'grin: key of grin, fun', 'Smileys', 'face')]
    # without keywords there is one caption
    assert captions(out / 'test.csv')[4:] == [('images/1f986.png', 'duck', 'Animals', 'bird')]
    assert lines(out / 'test_labels.txt') == ['images/1f436.png 0', 'images/1f431.png 1', 'images/1f986.png 2']
    assert lines(out / 'test_names_en.txt') == ['dog', 'cat', 'duck']
    assert lines(out / 'test_names_de.txt') == ['dog (de)', 'cat (de)', 'duck (de)']
    assert lines(out / 'test_subgroups.txt') == ['mammal', 'bird']
    assert lines(out / 'test_subgroup_labels.txt') == ['images/1f436.png 0', 'images/1f431.png 0', 'images/1f986.png 1']
    records = [json.loads(line) for line in lines(out / 'pictures.jsonl')]
    assert len(records) == len(NAMES) and records[3] == dict(
        image='images/1f436.png', code_point='U+1F436', group='Animals', subgroup='mammal', split='test',
        names=dict(en='dog', de='dog (de)'), keywords=dict(en=['key of dog', 'fun'], de=['key of dog (de)', 'fun']))


def test_pictures_are_on_white_and_square(sources, tmp_path):
    convert(tmp_path / 'out', sources)
    for index, point in enumerate(NAMES.values()):
        found = np.array(Image.open(tmp_path / 'out' / 'images' / f'{point:04x}.png'))
        assert found.shape == (SIZE[0], SIZE[0], 3)
        assert (found[4:8, 3:9] == [30 * index, 255 - 30 * index, 40]).all()
        found[4:8, 3:9] = 255
        assert (found == 255).all()


def test_mmpretrain_reads_the_labels(sources, tmp_path):
    from mmpretrain.datasets import CustomDataset
    out = tmp_path / 'out'
    convert(out, sources)
    data = CustomDataset(data_root=str(out), ann_file='test_labels.txt', classes=str(out / 'test_names_de.txt'))
    assert data.get_gt_labels().tolist() == [0, 1, 2] and data.CLASSES[1] == 'cat (de)'
    assert Path(data[2]['img_path']).read_bytes() == (out / 'images' / '1f986.png').read_bytes()


def test_a_subgroup_will_do_for_a_group(sources, tmp_path):
    assert convert(tmp_path / 'out', sources, test_groups=['bird', 'cat-face'])['test'] == 2
    assert lines(tmp_path / 'out' / 'test_names_en.txt') == ['cat grin', 'duck']


def test_the_first_language_is_that_of_the_captions(sources, tmp_path):
    convert(tmp_path / 'out', sources, languages=['de', 'en'])
    assert captions(tmp_path / 'out' / 'test.csv')[0][1] == 'dog (de)'


def test_all_languages_are_those_that_are_complete(sources, tmp_path):
    assert convert(tmp_path / 'out', sources, languages=['all'])['languages'] == 2
    assert not list((tmp_path / 'out').glob('*en_GB*'))


def test_what_has_no_name_or_is_a_copy_is_left_out(sources, tmp_path):
    same = {point: png(picture(7 if name in ('grin', 'duck') else 30 * point % 200)) for name, point in NAMES.items()}
    write_font(sources.font, {point: data for point, data in same.items() if point != NAMES['smile']})
    write_annotations(sources.annotations / 'de.xml', {name: '↑↑↑' if name == 'dog' else name for name in NAMES})
    assert convert(tmp_path / 'out', sources) == dict(train=2, test=1, languages=2, unnamed=1, copies=1)
    assert lines(tmp_path / 'out' / 'test_names_de.txt') == ['cat']


def test_a_target_that_holds_something_else_is_left_alone(sources, tmp_path, capsys):
    out = tmp_path / 'out'
    convert(out, sources)
    before = {path: path.read_bytes() for path in out.rglob('*') if path.is_file()}
    convert(out, sources)
    assert 'holds this data set already: kept' in capsys.readouterr().out
    with pytest.raises(FileExistsError, match='holds another data set of ours: train is 3 there, 5 asked'):
        convert(out, sources, test_groups=['bird'])
    write_annotations(sources.annotations / 'de.xml', {name: f'{name}!' for name in NAMES})
    with pytest.raises(FileExistsError, match='holds another data set of ours: sources is'):
        convert(out, sources)
    assert {path: path.read_bytes() for path in out.rglob('*') if path.is_file()} == before


@pytest.mark.parametrize('given, error, message', [
    (dict(languages=['en', 'xx']), FileNotFoundError, 'xx.xml does not exist. Expected a language that CLDR has: de, en, '),
    (dict(languages=['en_GB']), ValueError, 'en_GB names 1 of 6 emoji. Expected half of them at least; .*give the language'),
    (dict(test_groups=['Plants']), ValueError, 'Plants: .* no such group or subgroup. Expected some of: Smileys, Animals'),
    (dict(test_groups=['Animals', 'Smileys']), ValueError, 'No picture is left for the train split'),
])
def test_settings_that_make_no_sense(sources, tmp_path, given, error, message):
    with pytest.raises(error, match=message):
        convert(tmp_path / 'out', sources, **given)
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('name, content, message', [
    ('font', b'', 'emoji.ttf is no font that can be read'),
    ('font', b'\0\1\0\0' + 20 * b'\xff', 'emoji.ttf is no font that can be read'),
    ('emoji_test', b'# nothing\n', 'has no emoji of one code point'),
    ('emoji_test', b'hello\n', "line 1: 'hello'. Expected CODE POINTS ; STATUS"),
    ('emoji_test', b'\xff\xfe\n', 'is no text in UTF-8'),
    ('annotations', b'<ldml', 'en.xml is no XML file'),
])
def test_sources_that_are_damaged(sources, tmp_path, name, content, message):
    path = getattr(sources, name)
    (path / 'en.xml' if path.is_dir() else path).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        convert(tmp_path / 'out', sources)
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('pictures, tables, message', [
    ({0x1F600: b'no png'}, ('CBLC', 'CBDT'), r'the picture of U\+1F600 cannot be read'),
    ({0x1F600: png(picture(1))[:60]}, ('CBLC', 'CBDT'), r'the picture of U\+1F600 cannot be read'),
    ({0x1F600: png(Image.new('RGB', (2000, 1)))}, ('CBLC', 'CBDT'), 'cannot be read .2000 x 1 pixels'),
    ({0x1F600: b''}, (), r'has no pictures as PNG \(no table CBDT\)'),
])
def test_fonts_without_the_pictures(sources, tmp_path, pictures, tables, message):
    write_font(sources.font, pictures, tables)
    with pytest.raises(ValueError, match=message):
        convert(tmp_path / 'out', sources)


def test_a_font_that_ends_early(sources, tmp_path):
    content = sources.font.read_bytes()
    for length in range(100, len(content), 150):
        sources.font.write_bytes(content[:length])
        with pytest.raises(ValueError, match='is no font that can be read|picture of .* cannot be read'):
            convert(tmp_path / 'out', sources)


@pytest.mark.parametrize('name, package', [('font', 'fonts-noto-color-emoji'), ('emoji_test', 'unicode-data'),
                                           ('annotations', 'unicode-cldr-core')])
def test_a_source_that_is_absent_says_what_to_install(sources, tmp_path, name, package):
    with pytest.raises(FileNotFoundError, match=f'gone does not exist. Install it .apt-get install {package}'):
        convert(tmp_path / 'out', sources._replace(**{name: tmp_path / 'gone'}))


def test_the_command_line(sources, tmp_path):
    given = ['--font', sources.font, '--emoji-test', sources.emoji_test, '--annotations', sources.annotations]
    done = start('python', REPO / 'tools' / TOOL, tmp_path / 'out', *given, '--languages', 'en', '--test-groups', 'Animals')
    helped = start('python', REPO / 'tools' / TOOL, '--help')
    returncode, output = finish(done)
    assert returncode == 0 and output.startswith('3 training and 3 test images, names in 1 languages, in '), output
    returncode, output = finish(helped)
    assert returncode == 0 and 'fonts-noto-color-emoji' in output and '/usr/share/unicode' in output
