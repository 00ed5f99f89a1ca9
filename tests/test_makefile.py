"""``make clean`` in a copy of the checkout."""
import shutil
import subprocess

from tests.tool_processes import REPO

OURS = ('build/lib/lbbt_mm/a.py', 'build/bdist.linux-x86_64/a', 'dist/lbbt_mm-1.0.tar.gz',
        'dist/lbbt_mm-1.0-py3-none-any.whl', 'lbbt_mm.egg-info/PKG-INFO', '.pytest_cache/a', '.ruff_cache/a',
        'lbbt_mm/__pycache__/a.pyc', 'tests/x/__pycache__/a.pyc', 'configs/__pycache__/a.pyc', 'tools/__pycache__/a.pyc')
THEIRS = ('build/mine.txt', 'dist/mine.whl', 'mine.egg-info/PKG-INFO', 'work_dirs/a/__pycache__/mine',
          'env/__pycache__/a.pyc', '.venv/lib/__pycache__/a.pyc', 'lbbt_mm/a.py', 'data/build/a')


def fill(folder, names):
    shutil.copy(REPO / 'Makefile', folder)
    for name in ('lbbt_mm', 'tools', 'tests', 'configs'):
        (folder / name).mkdir()
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    assert subprocess.run(['make', '-s', 'clean'], cwd=folder, capture_output=True).returncode == 0
    return {path.relative_to(folder).as_posix() for path in folder.rglob('*') if path.is_file()} - {'Makefile'}


def test_clean_removes_what_tests_and_builds_leave_and_nothing_else(tmp_path):
    assert fill(tmp_path, (*OURS, *THEIRS)) == set(THEIRS)


def test_clean_leaves_no_empty_folder(tmp_path):
    assert fill(tmp_path, OURS) == set()
    assert not (tmp_path / 'build').exists() and not (tmp_path / 'dist').exists()
