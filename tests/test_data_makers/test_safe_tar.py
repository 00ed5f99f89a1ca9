"""Archives of others: read whole or refused, and never unpacked elsewhere."""
import io
import random
import tarfile

import pytest

from lbbt_mm.data_makers import safe_tar
from lbbt_mm.data_makers.safe_tar import extract_as, open_archive, read_members


def write_tar(path, *members, mode='w'):
    """Write a tar archive of ``(name, content)``, or of TarInfos."""
    with tarfile.open(path, mode) as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
                continue
            info = tarfile.TarInfo(member[0])
            info.size = len(member[1])
            archive.addfile(info, io.BytesIO(member[1]))
    return path


def link(name, target, kind=tarfile.SYMTYPE):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def read(path):
    with open_archive(path) as archive:
        return list(read_members(path, archive))


@pytest.mark.parametrize('mode', ['w', 'w:gz', 'w:bz2', 'w:xz'])
def test_members_are_read_and_unpacked_under_another_name(tmp_path, mode):
    path = write_tar(tmp_path / 'a.tar', ('a/1.jpg', b'one'), ('a/2.jpg', b'two' * 1000), mode=mode)
    members = read(path)
    assert [member.name for member in members] == ['a/1.jpg', 'a/2.jpg']
    with open_archive(path) as archive:
        for number in (1, 0):
            extract_as(archive, members[number], tmp_path / 'out', f'train/{number}.jpg')
    assert {file.name: file.read_bytes() for file in (tmp_path / 'out' / 'train').iterdir()} == {
        '0.jpg': b'one', '1.jpg': b'two' * 1000}


@pytest.mark.parametrize('member', [
    ('../a.jpg', b''), ('a/../../b.jpg', b''), link('a', '/etc'), link('a/b', '../../c'), link('a', '../b', tarfile.LNKTYPE),
    link('a', '', tarfile.CHRTYPE), link('a', '', tarfile.FIFOTYPE)])
def test_an_archive_with_one_member_that_leads_elsewhere_is_refused(tmp_path, member):
    path = write_tar(tmp_path / 'a.tar', ('a.jpg', b'one'), member)
    with pytest.raises(ValueError, match='a.tar: .* is no member of a safe archive .*Nothing was written'):
        read(path)


@pytest.mark.parametrize('mode', ['w', 'w:gz'])
def test_wherever_an_archive_breaks_off_it_is_refused(tmp_path, mode):
    path = write_tar(tmp_path / 'a.tar', *((f'a/{number}.jpg', bytes([number]) * 700) for number in range(3)), mode=mode)
    whole = path.read_bytes()
    header, member = 512, 512 + 1024  # a header, and 700 bytes in blocks of 512
    cuts = [0, 100, header, member, member + 100, 2 * member, 2 * member + header + 700, 3 * member] if mode == 'w' else [
        0, 5, len(whole) // 3, len(whole) // 2, len(whole) - 9]
    assert len(read(path)) == 3
    for cut in cuts:
        path.write_bytes(whole[:cut])
        with pytest.raises(ValueError, match='a.tar is not a complete tar archive .*fetch it again'):
            read(path)


@pytest.mark.parametrize('mode', ['w:gz', 'w:bz2', 'w:xz'])
@pytest.mark.parametrize('share', [0.5, 0.99])
def test_a_compressed_archive_that_is_damaged_is_refused(tmp_path, mode, share):
    path = write_tar(tmp_path / 'a.tar', *((f'a/{number}.jpg', random.Random(number).randbytes(700)) for number in range(3)),
                     mode=mode)
    whole = bytearray(path.read_bytes())
    whole[int(share * len(whole))] ^= 0xff
    path.write_bytes(whole)
    with pytest.raises(ValueError, match='a.tar is not a complete tar archive .*fetch it again'):
        read(path)


def test_errors_of_the_disk_are_what_they_are(tmp_path):
    with pytest.raises(FileNotFoundError, match='nowhere.tar'):
        read(tmp_path / 'nowhere.tar')


def test_a_python_without_safe_unpacking_says_so(tmp_path, monkeypatch):
    path = write_tar(tmp_path / 'a.tar', ('a.jpg', b'one'))
    monkeypatch.delattr(safe_tar.tarfile, 'data_filter')
    with pytest.raises(RuntimeError, match='no tarfile.data_filter.*or unpack the archive and give the folder'):
        read(path)
