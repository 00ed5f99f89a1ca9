"""What is left of captions: the rows, annotations and members as they were, and a count."""
import io
import json
import shutil
import tarfile

import pytest

from lbbt_mm.datasets.captions import open_captions
from lbbt_mm.files.whole_files import whole_file
from lbbt_mm.zero_shot import caption_writers
from lbbt_mm.zero_shot.caption_writers import Left, write_kept
from tests.tiny_captions import coco


def kept(source, out, without=(), images=()):
    return write_kept(source, out, open_captions(source), set(without), set(images))


def test_a_caption_goes_from_one_image_and_stays_at_another(tmp_path):
    source, out = tmp_path / 'a.csv', tmp_path / 'new' / 'out.csv'
    source.write_text('\ufeffimage,caption\r\n a.png ," one, two"\r\nb.png,"one, two"\r\nb.png,three\r\nb.png,three\r\n')
    assert kept(source, out, [('a.png', 'one, two'), ('b.png', 'four')]) == Left(1, 3)
    assert out.read_bytes().decode() == 'image,caption\r\nb.png,"one, two"\r\nb.png,three\r\nb.png,three\r\n'
    out.unlink()
    assert kept(source, out, images=['b.png']) == Left(1, 1)
    assert out.read_bytes().decode() == 'image,caption\r\n a.png ," one, two"\r\n'


def test_lines_of_json_stay_as_they_are_written(tmp_path):
    line = '{"caption":  1984, "image": "a.png", "más": "é"}'
    (tmp_path / 'a.jsonl').write_text(f'{line}\n\n{{"image": "b.png", "caption": "x"}}', encoding='utf-8')
    assert kept(tmp_path / 'a.jsonl', tmp_path / 'out.jsonl', [('b.png', 'x')]) == Left(1, 1)
    assert (tmp_path / 'out.jsonl').read_text(encoding='utf-8') == f'{line}\n'


def test_of_coco_s_format_images_without_captions_go(tmp_path):
    found = coco([(5, 'a.png'), (2, ' b.png ')], [(5, ' one '), (5, 'two'), (2, 'one')])
    (tmp_path / 'a.json').write_text(json.dumps(found))
    assert kept(tmp_path / 'a.json', tmp_path / 'out.json', [('a.png', 'one'), ('b.png', 'one')]) == Left(1, 1)
    assert json.loads((tmp_path / 'out.json').read_text()) == dict(
        info={}, images=found['images'][:1], annotations=found['annotations'][1:2])


@pytest.fixture
def shard(tmp_path):
    """A shard whose names begin with a dot, as tar writes them of a folder, with the files that a Mac adds."""
    pytest.importorskip('webdataset')
    with tarfile.open(tmp_path / 'a.tar', 'w') as archive:
        for name in ('./1.jpg', './1.txt', './._1.jpg', './x.y/2.seg.png', './x.y/2.png', './x.y/2.txt', './README'):
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(name), 7
            archive.addfile(member, io.BytesIO(name.encode()))
    return tmp_path / 'a.tar'


def test_members_of_a_shard_s_samples_are_copied_whatever_they_are_called(shard, tmp_path):
    captions = open_captions(shard)
    assert captions.keys == ['a/./1', 'a/./x.y/2']
    assert kept(shard, tmp_path / 'out', images=['a/./1']) == Left(1, 1)
    with tarfile.open(tmp_path / 'out' / 'a.tar') as archive:
        members = {member.name: archive.extractfile(member).read().decode() for member in archive}
        assert all(member.mtime == 7 for member in archive)
    assert members == {name: name for name in ('./x.y/2.seg.png', './x.y/2.png', './x.y/2.txt')}
    assert open_captions(tmp_path / 'out').captions == captions.captions[1:]


def test_shards_are_there_when_all_of_them_are_written(shard, tmp_path, monkeypatch):
    shards, out, written = tmp_path / 'shards', tmp_path / 'out', []
    shards.mkdir()
    for name in ('a.tar', 'b.tar'):
        shutil.copy(shard, shards / name)

    def write(path):
        assert not out.exists()
        written.append(path.name)
        if stops and len(written) == 2:
            raise KeyboardInterrupt
        return whole_file(path)

    monkeypatch.setattr(caption_writers, 'whole_file', write)
    stops = True
    with pytest.raises(KeyboardInterrupt):
        kept(shards, out, images=['a/./1'])
    assert written == ['a.tar', 'b.tar'] and sorted(path.name for path in tmp_path.iterdir()) == ['a.tar', 'shards']
    stops = False
    assert kept(shards, out, images=['a/./1']) == Left(3, 3)
    assert written == ['a.tar', 'b.tar'] * 2 and open_captions(out).keys == ['a/./x.y/2', 'b/./1', 'b/./x.y/2']
    kept(shards, out, images=['a/./1'])
    assert len(written) == 4, 'what is there already is not written again'
    with pytest.raises(FileExistsError, match='out holds another data set of ours: samples is 3 there, 2 asked'):
        kept(shards, out, images=['a/./1', 'b/./1'])


def test_a_caption_of_a_shard_does_not_go_alone_nor_into_a_folder_with_others(shard, tmp_path):
    with tarfile.open(shard, 'a') as archive:
        content = b'{"caption": ["one", "two"]}'
        for name, data in (('3.json', content), ('3.jpg', b'3')):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    with pytest.raises(ValueError, match='a caption cannot go alone. Leave out --keep-images'):
        kept(shard, tmp_path / 'out', [('a/3', 'one')])
    (tmp_path / 'full').mkdir()
    (tmp_path / 'full' / 'x').write_text('mine')
    with pytest.raises(FileExistsError, match='full exists and is not an empty folder, and it holds no data set of ours'):
        kept(shard, tmp_path / 'full', images=['a/3'])


@pytest.mark.parametrize('name, out, without, says', [
    ('a.jsonl', 'out.jsonl', ['a.png', 'b.png'], 'every caption names a class; nothing would be left'),
    ('a.jsonl', 'out.csv', ['a.png'], 'out.csv: expected a file that ends with .jsonl, as a.jsonl does')])
def test_what_cannot_be_written(tmp_path, name, out, without, says):
    (tmp_path / name).write_text('{"image": "a.png", "caption": "a"}\n{"image": "b.png", "caption": "b"}')
    with pytest.raises(ValueError, match=says):
        kept(tmp_path / name, tmp_path / out, images=without)
    assert not (tmp_path / out).exists()


@pytest.mark.parametrize('name, text', [
    ('a.csv', 'image_0,caption_0,image_1,caption_1\na,A,b,B\n'),
    ('a.jsonl', '{"image_0": "a", "caption_0": "A", "image_1": "b", "caption_1": "B"}'),
    ('a.json', '[{"image_0": "a", "caption_0": "A", "image_1": "b", "caption_1": "B"}]')])
def test_rows_of_two_pairs_are_not_taken_apart(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match='image_0, caption_0, image_1, caption_1, two pairs that belong together'):
        kept(tmp_path / name, tmp_path / f'out{name[1:]}', images=['a'])
    assert [path.name for path in tmp_path.iterdir()] == [name]
