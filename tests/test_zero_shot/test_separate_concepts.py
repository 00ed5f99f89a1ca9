"""tools/separate_concepts.py: captions that name test classes are found, counted and left out, in each form of captions."""
import csv
import json
import tarfile

import pytest

from lbbt_mm.datasets.captions import open_captions
from lbbt_mm.zero_shot import separation
from lbbt_mm.zero_shot.separate_concepts import main

#: Image -> captions; the classes are dog, goose and kid.
CAPTIONS = {'a.png': ['two DOGS run', 'pets on grass'], 'b.png': ['a hot-dog, please', 'dogged work', 'a meal'],
            'c.png': ['the geese fly'], 'd.png': ['a red car', 'a dogma'], 'e.png': ["a kid's toy"], 'f.png': ['a puppy']}
CLASSES = ['dog', 'goose', 'kid']


def write(folder, form):
    """The captions in a form; what to open."""
    pairs = [(image, caption) for image, texts in CAPTIONS.items() for caption in texts]
    path = folder / f'captions.{form}'
    if form == 'csv':
        with open(path, 'w', newline='', encoding='utf-8') as file:
            csv.writer(file).writerows([['id', 'image', 'caption'], *([n, *pair] for n, pair in enumerate(pairs))])
    elif form == 'jsonl':
        path.write_text('\n'.join(json.dumps(dict(image=image, caption=text, more=[1])) for image, text in pairs))
    elif form == 'list.json':
        path.write_text(json.dumps([dict(image=image, caption=text) for image, text in pairs]))
    elif form == 'coco.json':
        path.write_text(json.dumps(dict(
            info=dict(year=1), images=[dict(id=number, file_name=image) for number, image in enumerate(CAPTIONS)],
            annotations=[dict(id=number, image_id=list(CAPTIONS).index(image), caption=text)
                         for number, (image, text) in enumerate(pairs)])))
    else:
        pytest.importorskip('webdataset')
        path.mkdir()
        for shard, images in enumerate((('a.png', 'b.png', 'c.png'), ('d.png', ), ('e.png', 'f.png'))):
            with tarfile.open(path / f'{shard}.tar', 'w') as archive:
                for image in images:
                    for name, content in ((image, b'image of ' + image.encode()),
                                          (f'{image[0]}.json', json.dumps(dict(caption=CAPTIONS[image])).encode())):
                        (folder / name).write_bytes(content)
                        archive.add(folder / name, name)
    return path


FORMS = ('csv', 'jsonl', 'list.json', 'coco.json', 'shards')


def separate(path, wordnet, *options, status=0):
    out = path.with_name(f'out.{path.name}')
    assert main([str(path), '--classes', *CLASSES, '--out', str(out), '--wordnet', str(wordnet), *options]) == status
    return out


@pytest.mark.parametrize('form', FORMS)
def test_images_that_name_a_class_are_left_out(tmp_path, wordnet, capsys, form):
    out = open_captions(separate(write(tmp_path, form), wordnet))
    assert [key[-5:] if form != 'shards' else f'{key[-1]}.png' for key in out.keys] == ['d.png', 'f.png']
    assert out.captions == [CAPTIONS['d.png'], CAPTIONS['f.png']]
    printed = ' '.join(capsys.readouterr().out.split())
    assert '2 of 6 images and 3 of 10 captions are left; 4 captions of 4 images name a class.' in printed
    assert '| dog | 2 | dogs 1, dog 1, hot dog 1' in printed and '| goose | 1 | geese 1' in printed
    if form == 'shards':
        assert out.read(0) == b'image of d.png'
        assert sorted(path.name for path in (tmp_path / 'out.captions.shards').glob('*.tar')) == ['1.tar', '2.tar']


@pytest.mark.parametrize('form', FORMS[:-1])
def test_other_captions_of_an_image_can_stay(tmp_path, wordnet, form):
    out = open_captions(separate(write(tmp_path, form), wordnet, '--keep-images'))
    assert dict(zip(out.keys, out.captions)) == {
        'a.png': ['pets on grass'], 'b.png': ['dogged work', 'a meal'], 'd.png': CAPTIONS['d.png'], 'f.png': ['a puppy']}


def test_what_a_row_has_beside_is_kept(tmp_path, wordnet):
    out = separate(write(tmp_path, 'csv'), wordnet)
    assert out.read_text().splitlines() == ['id,image,caption', '6,d.png,a red car', '7,d.png,a dogma', '9,f.png,a puppy']
    assert json.loads(separate(write(tmp_path, 'jsonl'), wordnet).read_text().splitlines()[0])['more'] == [1]
    assert json.loads(separate(write(tmp_path, 'coco.json'), wordnet).read_text())['info'] == dict(year=1)


def test_kinds_senses_and_a_dictionary(tmp_path, wordnet, capsys):
    path = write(tmp_path, 'csv')
    assert open_captions(separate(path, wordnet, '--kinds')).keys == ['d.png']
    path.with_name('out.captions.csv').unlink()
    assert 'hot dog' in capsys.readouterr().out
    separate(path, wordnet, '--senses', '1')
    assert 'hot dog' not in capsys.readouterr().out
    (tmp_path / 'words.json').write_text(json.dumps(dict(dog=['car'])))
    given = [str(path), '--classes', *CLASSES, '--out', str(tmp_path / 'own.csv')]
    assert main([*given, '--dictionary', str(tmp_path / 'words.json')]) == 0
    # without WordNet a hot dog has the word dog all the same, and geese have no goose
    assert open_captions(tmp_path / 'own.csv').keys == ['c.png', 'f.png']
    (tmp_path / 'own.csv').unlink()
    (tmp_path / 'words.json').write_text(json.dumps(dict(dog=['dogma'])))
    path.write_text(f'{path.read_text()}10,g.png,a plane\n')
    assert main([*given, '--dictionary', str(tmp_path / 'words.json'), '--wordnet', str(wordnet), '--kinds']) == 0
    assert open_captions(tmp_path / 'own.csv').keys == ['g.png']


def test_the_report_has_every_class(tmp_path, wordnet):
    separate(write(tmp_path, 'csv'), wordnet, '--report', str(tmp_path / 'new' / 'report.csv'))
    with open(tmp_path / 'new' / 'report.csv', newline='') as file:
        assert list(csv.reader(file)) == [['class', 'captions', 'words'], ['dog', '2', 'dogs 1; dog 1; hot dog 1'],
                                          ['goose', '1', 'geese 1'], ['kid', '1', 'kid 1']]


class TestErrors:

    @pytest.mark.parametrize('options, message', [
        (['--wordnet', '{}/none'], 'index.noun does not exist'),
        (['--dictionary', '{}/none.json'], 'none.json: no such file'),
        (['--dictionary', '{}/bad.json'], 'bad.json: cannot be read as JSON'),
        (['--dictionary', '{}/list.json'], 'list.json: expected an object of JSON, class -> list of other words'),
        (['--dictionary', '{}/other.json'], "other.json: has the class 'cow', which is none of those of --classes"),
        (['--classes', '{}/none.txt'], 'none.txt: no such file; expected a name of a class'),
        (['--classes', 'pets', 'dog', 'hot-dog', 'car', 'dogma', 'meal', 'dogged work', 'geese', 'kid', 'puppy'],
         'every caption names a class; nothing would be left'),
        (['--out', '{}/out.jsonl'], 'out.jsonl: expected a file that ends with .csv'),
        (['--out', '{}/captions.csv'], 'is there already, and would be overwritten'),
    ])
    def test_one_line_and_nothing_is_written(self, tmp_path, wordnet, capsys, options, message):
        path = write(tmp_path, 'csv')
        for name, content in (('bad', '{'), ('list', '["dog"]'), ('other', '{"cow": ["ox"]}')):
            (tmp_path / f'{name}.json').write_text(content)
        before = {file.name: file.read_bytes() for file in tmp_path.iterdir() if file.is_file()}
        given = [str(path), '--classes', *CLASSES, '--out', str(tmp_path / 'out.csv')]
        given += [] if '--dictionary' in options else ['--wordnet', str(wordnet)]
        assert main([*given, *(option.format(tmp_path) for option in options)]) == 2
        error = capsys.readouterr().err.strip()
        assert message in error and len(error.splitlines()) == 1
        assert {file.name: file.read_bytes() for file in tmp_path.iterdir() if file.is_file()} == before

    @pytest.mark.parametrize('options, message', [
        (['--dictionary', 'a.json', '--kinds'], '--kinds: is of WordNet, which is not read beside --dictionary'),
        (['--dictionary', 'a.json', '--senses', '2'], '--senses 2: is of WordNet, which is not read beside --dictionary'),
        (['--report', 'new/../out.csv'], '--out out.csv and --report new/../out.csv: expected two files')])
    def test_options_that_do_not_go_together(self, tmp_path, monkeypatch, capsys, options, message):
        monkeypatch.chdir(tmp_path)
        with pytest.raises(SystemExit) as ended:
            main(['captions.csv', '--classes', 'dog', '--out', 'out.csv', *options])
        said = capsys.readouterr().err
        assert ended.value.code == 2 and message in said and len(said.splitlines()) == 1

    @pytest.mark.parametrize('form, out, options, message', [
        ('csv', 'out.jsonl', [], 'expected a file that ends with .csv'),
        ('shards', 'out', ['--keep-images'], 'a caption cannot go alone')])
    def test_a_form_that_cannot_be_written_is_said_before_captions_are_searched(self, tmp_path, wordnet, monkeypatch, capsys,
                                                                                form, out, options, message):
        path = write(tmp_path, form)
        monkeypatch.setattr(separation, 'find_named', lambda *given: pytest.fail('captions are searched'))
        given = [str(path), '--classes', *CLASSES, '--out', str(tmp_path / out), '--wordnet', str(wordnet), *options]
        assert main(given) == 2 and message in capsys.readouterr().err

    def test_shards(self, tmp_path, wordnet, capsys):
        path = write(tmp_path, 'shards')
        separate(path, wordnet, '--keep-images', status=2)
        assert 'a caption cannot go alone. Leave out --keep-images' in capsys.readouterr().err
        separate(path, wordnet)
        separate(path, wordnet, status=2)
        assert 'is there already, and would be overwritten' in capsys.readouterr().err
