"""webdataset's tar shards, written by webdataset and read where their members lie."""
import io
import tarfile
from pathlib import Path

import pytest

webdataset = pytest.importorskip('webdataset')

from lbbt_mm.datasets.captions import open_captions  # noqa: E402


def write_shard(path, samples):
    with webdataset.TarWriter(str(path)) as writer:
        for number, sample in enumerate(samples):
            writer.write(dict(__key__=f'{number:04d}', **sample))
    return path


def write_plain(path, *members):
    with tarfile.open(path, 'w') as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


@pytest.fixture
def shards(tmp_path):
    folder = tmp_path / 'shards'
    folder.mkdir()
    write_shard(folder / '00000.tar', [dict(jpg=b'first' * 300, txt='a cat\n'),
                                       dict(png=b'second', json=dict(caption='a dog'))])
    write_shard(folder / '00001.tar', [dict(webp=b'third', json=dict(caption=['ein Kätzchen', 'a cat']), cls=3)])
    return folder


def test_a_folder_of_shards(shards):
    found = open_captions(shards)
    assert found.keys == ['00000/0000', '00000/0001', '00001/0000']
    assert found.captions == [['a cat'], ['a dog'], ['ein Kätzchen', 'a cat']]
    assert [found.image(index) for index in range(3)] == [b'first' * 300, b'second', b'third']
    found.check_images()


def test_what_is_read_is_what_webdataset_gives(shards):
    found = open_captions(shards / '00000.tar')
    theirs = list(webdataset.WebDataset(str(shards / '00000.tar'), shardshuffle=False))
    assert [key.split('/')[1] for key in found.keys] == [sample['__key__'] for sample in theirs]
    assert [found.read(index) for index in range(2)] == [theirs[0]['jpg'], theirs[1]['png']]
    assert found.captions[0] == [theirs[0]['txt'].decode().strip()]


def test_names_with_braces(shards):
    assert open_captions(f'{shards}/{{00000..00001}}.tar').keys == open_captions(shards).keys
    with pytest.raises(FileNotFoundError, match='00002.tar: no such shard'):
        open_captions(f'{shards}/{{00000..00002}}.tar')


def test_folders_inside_a_shard_tell_samples_apart(tmp_path):
    path = write_plain(tmp_path / 'a.tar', ('x/1.jpg', b'1'), ('x/1.txt', b'one'), ('y/1.jpg', b'2'), ('y/1.TXT', b'two'))
    found = open_captions(path)
    assert found.keys == ['a/x/1', 'a/y/1'] and found.captions == [['one'], ['two']]


@pytest.mark.parametrize('members, says', [
    ([('1.jpg', b'1')], "the sample '1' has no caption; expected a text in .txt, or caption in .json"),
    ([('1.jpg', b'1'), ('1.txt', b' \n')], "the sample '1' has an empty caption"),
    ([('1.jpg', b'1'), ('1.json', b'{"caption": ["a", 3]}')], 'has an empty caption'),
    ([('1.jpg', b'1'), ('1.json', b'{"text": "a"}')], 'has no caption'),
    ([('1.jpg', b'1'), ('1.json', b'{')], 'its .json cannot be read'),
    ([('1.jpg', b'1'), ('1.txt', b'\xff')], 'its .txt cannot be read'),
    ([('1.txt', b'a cat')], "the sample '1' has no image; expected a member called .jpg"),
    ([('1.jpg', b'1'), ('1.txt', b'a'), ('1.txt', b'b')], 'duplicate file name in tar file'),
    ([('1.jpg', b'1'), ('1.txt', b'a'), ('2.jpg', b'1'), ('2.txt', b'a'), ('1.png', b'1'), ('1.txt', b'a')],
     'the sample a/1 is there twice'),
    ([('1.jpg', b'1'), ('1.txt', b'a' * 1_100_000)], '1.txt has 1,100,000 bytes, more than a caption may have'),
    ([], 'holds no samples')])
def test_shards_that_lack_something(tmp_path, members, says):
    with pytest.raises(ValueError, match=says):
        open_captions(write_plain(tmp_path / 'a.tar', *members))


@pytest.mark.parametrize('size', [100, 512, 900, 1536, 2048])
def test_a_shard_that_breaks_off(tmp_path, size):
    path = write_plain(tmp_path / 'a.tar', ('1.txt', b'a'), ('1.jpg', b'1' * 600))
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ValueError, match='a.tar: is not a complete, uncompressed tar archive'):
        open_captions(path)


def test_a_compressed_shard(tmp_path):
    with tarfile.open(tmp_path / 'a.tar', 'w:gz') as archive:
        archive.addfile(tarfile.TarInfo('1.jpg'))
    with pytest.raises(ValueError, match='is not a complete, uncompressed tar archive'):
        open_captions(tmp_path / 'a.tar')


def test_a_shard_that_was_cut_later(shards):
    found = open_captions(shards / '00000.tar')
    (shards / '00000.tar').write_bytes(b'')
    with pytest.raises(ValueError, match='0000.jpg is cut off'):
        found.read(0)


def test_nothing_in_a_shard_is_unpickled_or_run(tmp_path):
    """webdataset's own decoders would."""
    path = write_plain(tmp_path / 'a.tar', ('1.jpg', b'1'), ('1.txt', b'a'), ('1.pyd', b'cos\nsystem\n(S"touch x"\ntR.'))
    assert open_captions(path).captions == [['a']]


def test_a_folder_without_shards(tmp_path):
    with pytest.raises(FileNotFoundError, match='holds no .tar; expected shards of webdataset'):
        open_captions(tmp_path)
    with pytest.raises(ValueError, match='the images are in the shards; expected no folder of images'):
        open_captions(tmp_path, images=tmp_path)


def test_without_the_package(shards, monkeypatch):
    monkeypatch.setitem(__import__('sys').modules, 'webdataset.tariterators', None)
    with pytest.raises(ImportError, match=r"the package webdataset is not installed.*pip install 'lbbt_mm\[captions\]'"):
        open_captions(Path(shards))


def test_a_member_that_is_stored_sparsely(tmp_path):
    """Its bytes do not lie in a row."""
    with tarfile.open(tmp_path / 'a.tar', 'w', format=tarfile.PAX_FORMAT) as archive:
        member = tarfile.TarInfo('1.jpg')
        member.pax_headers = {'GNU.sparse.map': '0,1', 'GNU.sparse.size': '9'}
        member.size = 1
        archive.addfile(member, io.BytesIO(b'1'))
    with pytest.raises(ValueError, match='a.tar: 1.jpg is stored sparsely; expected plain files'):
        open_captions(tmp_path / 'a.tar')
