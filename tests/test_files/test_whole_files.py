import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.fileio import LocalBackend, get_file_backend, register_backend
from mmengine.fileio.io import backend_instances

from lbbt_mm.files.whole_files import WholeFileBackend, remove_parts, whole_file, write_files_whole, write_whole


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_there_once_it_is_whole(tmp_path):
    path = tmp_path / 'a.pth'
    path.write_bytes(b'old')
    with whole_file(path) as file:
        file.write(b'new')
        file.flush()
        assert path.read_bytes() == b'old' and len(names(tmp_path)) == 2
    assert path.read_bytes() == b'new' and names(tmp_path) == ['a.pth']


def test_text_is_written_so_too(tmp_path, monkeypatch):
    write_whole(tmp_path / 'a.json', 'first')
    monkeypatch.setattr('os.replace', lambda one, other: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / 'a.json', 'second')
    assert (tmp_path / 'a.json').read_text() == 'first' and names(tmp_path) == ['a.json']


@pytest.mark.parametrize('error', [KeyboardInterrupt, ValueError, OSError(errno.ENOSPC, 'No space left on device')])
def test_an_error_leaves_the_old_one_and_no_half_of_the_new(tmp_path, error):
    path = tmp_path / 'a.pth'
    path.write_bytes(b'old')
    with pytest.raises(error if isinstance(error, type) else OSError) as caught:
        with whole_file(path) as file:
            file.write(b'half')
            raise error
    assert path.read_bytes() == b'old' and names(tmp_path) == ['a.pth']
    if isinstance(error, OSError):
        assert str(caught.value).startswith(f'[Errno {errno.ENOSPC}] {path} could not be written: No space left on '
                                            'device. The '
                                            'one that was there before is as it was.')


@pytest.mark.skipif(not Path('/dev/full').exists(), reason='needs /dev/full')
def test_a_disk_that_is_full_is_named_with_the_file(tmp_path, monkeypatch):
    """A real write that fails."""
    real = open
    monkeypatch.setattr('builtins.open', lambda path, *args, **options: real(
        '/dev/full' if str(path).endswith('.part') else path, *args, **options))
    with pytest.raises(OSError, match='b.json could not be written: No space left on device'):
        write_whole(tmp_path / 'b.json', 'text')
    assert names(tmp_path) == []


def test_a_process_that_is_killed_leaves_a_part_that_the_next_one_removes(tmp_path):
    (tmp_path / 'a.pth').write_bytes(b'old')
    code = ('import os, signal, sys; from lbbt_mm.files.whole_files import whole_file\n'
            'with whole_file(sys.argv[1]) as file:\n'
            '    file.write(b"half"); file.flush(); os.kill(os.getpid(), signal.SIGKILL)')
    assert subprocess.run([sys.executable, '-c', code, tmp_path / 'a.pth']).returncode == -9
    assert len(names(tmp_path)) == 2 and (tmp_path / 'a.pth').read_bytes() == b'old'
    others = ['mine.part', 'film.mkv.2.part', 'a.12x.part', '.12.lbbt_mm.part', 'a.pth.part']
    for name in others:
        (tmp_path / name).touch()
    (tmp_path / 'folder.1.lbbt_mm.part').mkdir()
    os.symlink(tmp_path / 'a.pth', tmp_path / 'link.1.lbbt_mm.part')
    remove_parts(tmp_path)
    assert names(tmp_path) == sorted([*others, 'a.pth', 'folder.1.lbbt_mm.part', 'link.1.lbbt_mm.part'])


def test_mmengine_writes_its_local_files_so(tmp_path, monkeypatch):
    before = get_file_backend(str(tmp_path), enable_singleton=True)
    try:
        write_files_whole()
        for backend in (get_file_backend(str(tmp_path)), get_file_backend(str(tmp_path), enable_singleton=True),
                        get_file_backend(backend_args=dict(backend='local'))):
            assert isinstance(backend, WholeFileBackend)
        replaced = []
        monkeypatch.setattr('os.replace', lambda one, other: replaced.append(Path(other).name))
        backend.put(b'1', str(tmp_path / 'new' / 'a.pth'))
        backend.put_text('1', str(tmp_path / 'b.txt'))
        assert replaced == ['a.pth', 'b.txt']
    finally:
        register_backend('local', LocalBackend, force=True, prefixes='')
        backend_instances.clear()
    assert type(before) is LocalBackend
