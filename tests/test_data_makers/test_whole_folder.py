"""All converters of data sets: what is there is kept or refused, never removed; what is written is whole or not there."""
import json
import os
import signal
import time

import cv2
import numpy as np
import pytest

from lbbt_mm.data_makers import whole_folder
from lbbt_mm.data_makers.whole_folder import write_image, write_once
from tests.tool_processes import REPO, run_tool, start

TOOLS = ('digits_to_coco', 'digits_to_ade', 'digits_to_imagefolder', 'tiny_imagenet_to_imagefolder',
         'caltech256_to_imagefolder')
RECIPE = dict(number=3)


@pytest.fixture(scope='module')
def commands(tmp_path_factory):
    """Converter -> its command line, but for the folder that it writes."""
    source = tmp_path_factory.mktemp('source') / 'tiny-imagenet-200'
    for path in ('train/n01/images/a.JPEG', 'val/images/b.JPEG'):
        (source / path).parent.mkdir(parents=True)
        cv2.imwrite(str(source / path), np.zeros((8, 8, 3), np.uint8))
    (source / 'val' / 'val_annotations.txt').write_text('b.JPEG\tn01\t0\t0\t1\t1\n')
    caltech = source.parent / '256_ObjectCategories'
    (caltech / '001.ak47').mkdir(parents=True)
    for number in range(2):
        cv2.imwrite(str(caltech / '001.ak47' / f'001_000{number}.jpg'), np.zeros((8, 8, 3), np.uint8))
    sources = dict(tiny_imagenet_to_imagefolder=source, caltech256_to_imagefolder=caltech)
    return {tool: (f'dataset_converters/{tool}.py', *([sources[tool]] if tool in sources else []),
                   *(['--num-train', 2, '--num-val', 1] if tool in TOOLS[:2] else [])) for tool in TOOLS}


def files(root):
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob('*') if path.is_file()}


def one_line(done):
    """The one line that a refused command prints, but for what mmpretrain says in the process that it is forked from."""
    said = [line for line in done.output.splitlines() if 'import OneDL' not in line]
    assert done.returncode == 2 and len(said) == 1, done.output
    return said[0]


def write(root):
    (root / 'images').mkdir()
    (root / 'images' / 'a').write_text('new')


def refused(out, match, **recipe):
    with pytest.raises(FileExistsError, match=match) as caught:
        write_once(out, 'test.py', {**RECIPE, **recipe}, write)
    assert '\n' not in str(caught.value)


def end_at_call(owner, name, number, after):
    """End this process at a call of a function, before or after it does its work."""
    real, calls = getattr(owner, name), []

    def end(*arguments, **options):
        calls.append(name)
        if len(calls) == number and not after:
            os._exit(9)
        result = real(*arguments, **options)
        if len(calls) == number:
            os._exit(9)
        return result

    setattr(owner, name, end)


class TestEveryConverter:

    @pytest.mark.parametrize('tool', TOOLS)
    def test_a_folder_with_files_of_somebody_else_is_refused(self, tool, commands, tmp_path):
        out = tmp_path / 'data'
        for name, text in (('train/1/mine.png', 'mine'), ('annotations/mine.json', '{}'),
                           ('recipe.json', '{"num_train": 2}')):
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            (out / name).write_text(text)
        before = files(tmp_path)
        output = one_line(run_tool(*commands[tool], out))
        assert output.startswith(f'{out} exists and is not an empty folder, and it holds no data set of ours.')
        assert files(tmp_path) == before and [path.name for path in tmp_path.iterdir()] == ['data']

    @pytest.mark.parametrize('tool', TOOLS)
    def test_what_it_has_made_is_kept_and_a_data_set_of_another_converter_refused(self, tool, commands, tmp_path):
        out = tmp_path / 'data'
        assert run_tool(*commands[tool], out).returncode == 0
        before = {path: path.stat().st_mtime_ns for path in out.rglob('*')}
        again = run_tool(*commands[tool], out)
        assert again.returncode == 0 and f'{out} holds this data set already: kept' in again.output
        other = one_line(run_tool(*commands[TOOLS[TOOLS.index(tool) - 1]], out))
        assert f"holds another data set of ours: made_by is 'lbbt_mm {tool}.py' there" in other
        assert {path: path.stat().st_mtime_ns for path in out.rglob('*')} == before
        assert sorted(path.name for path in tmp_path.iterdir()) == ['data']

    @pytest.mark.parametrize('tool', TOOLS)
    def test_a_partial_folder_of_somebody_else_is_refused(self, tool, commands, tmp_path):
        mine = tmp_path / 'data.lbbt_mm.partial' / 'mine.txt'
        mine.parent.mkdir()
        mine.write_text('mine')
        assert 'data.lbbt_mm.partial, where the data set is written first, is there and not ours' in one_line(
            run_tool(*commands[tool], tmp_path / 'data'))
        assert files(tmp_path) == {'data.lbbt_mm.partial/mine.txt': b'mine'} and not (tmp_path / 'data').exists()

    @pytest.mark.parametrize('tool', TOOLS)
    def test_a_relative_path_and_the_current_folder(self, tool, commands, tmp_path):
        (tmp_path / 'here').mkdir()
        for cwd, out in ((tmp_path, 'there'), (tmp_path / 'here', '.')):
            assert run_tool(*commands[tool], out, cwd=cwd).returncode == 0
        assert files(tmp_path / 'here') == files(tmp_path / 'there') != {}


class TestWhatIsThere:

    def test_absent_empty_and_linked_folders_are_filled(self, tmp_path):
        (tmp_path / 'empty').mkdir()
        (tmp_path / 'real').mkdir()
        (tmp_path / 'link').symlink_to(tmp_path / 'real')
        for name in ('absent/below', 'empty', 'link'):
            assert write_once(tmp_path / name, 'test.py', RECIPE, write) == (tmp_path / name).resolve()
            mark = json.dumps(dict(made_by='lbbt_mm test.py', number=3)).encode()
            assert files(tmp_path / name) == {'images/a': b'new', 'recipe.json': mark}
        assert (tmp_path / 'link').is_symlink()

    def test_a_file_and_a_link_to_nothing_are_refused(self, tmp_path):
        (tmp_path / 'file').write_text('mine')
        (tmp_path / 'link').symlink_to(tmp_path / 'gone')
        (tmp_path / 'loop').symlink_to(tmp_path / 'loop')
        refused(tmp_path / 'file', 'file is not a folder')
        for name in ('link', 'loop'):
            refused(tmp_path / name, f'{name} is a link to something that does not exist')
        with pytest.raises(OSError):
            write_once(tmp_path / 'file' / 'below', 'test.py', RECIPE, write)
        assert (tmp_path / 'file').read_text() == 'mine' and len(list(tmp_path.iterdir())) == 3

    @pytest.mark.parametrize('text', ('{"number": 3}', '{"made_by": "someone", "number": 3}', '[]', 'no json',
                                      '{"made_by": 1}', '[' * 100_000))
    def test_a_foreign_recipe_is_no_mark(self, text, tmp_path):
        out = tmp_path / 'out'
        out.mkdir()
        (out / 'recipe.json').write_text(text)
        refused(out, 'exists and is not an empty folder, and it holds no data set of ours')
        assert files(out) == {'recipe.json': text.encode()}

    def test_nor_is_a_link_to_one(self, tmp_path):
        write_once(tmp_path / 'ours', 'test.py', RECIPE, write)
        (tmp_path / 'theirs').mkdir()
        (tmp_path / 'theirs' / 'recipe.json').symlink_to(tmp_path / 'ours' / 'recipe.json')
        refused(tmp_path / 'theirs', 'it holds no data set of ours')

    def test_another_recipe_is_refused_and_named(self, tmp_path):
        out = write_once(tmp_path / 'out', 'test.py', RECIPE, write)
        before = files(tmp_path)
        refused(out, 'holds another data set of ours: number is 3 there, 4 asked. Nothing was touched', number=4)
        assert files(tmp_path) == before


class TestInterruption:

    @pytest.mark.parametrize('error', (KeyboardInterrupt, OSError, SystemExit))
    def test_an_error_leaves_nothing(self, error, tmp_path):
        def fail(root):
            write(root)
            raise error('no space')

        with pytest.raises(error):
            write_once(tmp_path / 'out', 'test.py', RECIPE, fail)
        assert list(tmp_path.iterdir()) == []
        write_once(tmp_path / 'out', 'test.py', RECIPE, write)

    def test_files_that_appear_meanwhile_are_not_replaced(self, tmp_path):
        def slow(root):
            write(root)
            (tmp_path / 'out').mkdir()
            (tmp_path / 'out' / 'mine').write_text('mine')

        with pytest.raises(OSError, match='not empty'):
            write_once(tmp_path / 'out', 'test.py', RECIPE, slow)
        assert files(tmp_path) == {'out/mine': b'mine'}

    def test_a_killed_writer_leaves_nothing_that_looks_complete_and_the_next_one_cleans_up(self, tmp_path):
        command = ('python', REPO / 'tools' / 'dataset_converters' / 'digits_to_coco.py', tmp_path / 'out')
        writer = start(*command, '--num-train', 100_000)
        partial = tmp_path / 'out.lbbt_mm.partial'
        try:
            while not (partial / 'train2017' / '000009.png').exists():
                assert writer.poll() is None, writer.stdout.read()
                time.sleep(0.01)
            busy = one_line(run_tool('dataset_converters/digits_to_coco.py', tmp_path / 'out', '--num-train', 2))
            assert 'out.lbbt_mm.partial: another process is writing a data set there. Wait until it has ended' in busy
            assert (partial / 'train2017' / '000009.png').exists()
        finally:
            os.killpg(writer.pid, signal.SIGKILL)
            writer.wait()
        assert not (tmp_path / 'out').exists()
        assert (partial / 'recipe.json').read_text() == 'lbbt_mm writes a data set here\n'
        (partial / 'linked').symlink_to(tmp_path)  # a folder of ours is removed without following links
        kept = run_tool('dataset_converters/digits_to_coco.py', partial, '--num-train', 2)
        assert 'is not an empty folder, and it holds no data set of ours' in one_line(kept), 'it is not complete'
        done = run_tool('dataset_converters/digits_to_coco.py', tmp_path / 'out', '--num-train', 2, '--num-val', 1)
        assert done.returncode == 0, done.output
        assert sorted(files(tmp_path / 'out')) == [
            'annotations/instances_train2017.json', 'annotations/instances_val2017.json', 'recipe.json',
            'train2017/000000.png', 'train2017/000001.png', 'val2017/000000.png']
        assert [path.name for path in tmp_path.iterdir()] == ['out']

    @pytest.mark.parametrize('after', (False, True))
    @pytest.mark.parametrize('owner, name, number', (
        (os, 'open', 1), (whole_folder.fcntl, 'flock', 1), (whole_folder.json, 'dump', 1), (os, 'rename', 1),
        (whole_folder, '_empty', 1)))
    def test_killed_at_any_step_it_is_made_at_the_next_call(self, owner, name, number, after, tmp_path):
        out = tmp_path / 'out'
        child = os.fork()
        if child == 0:  # dies without any cleaning up
            end_at_call(owner, name, number, after)
            write_once(out, 'test.py', RECIPE, write)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9, 'that step was not reached'
        if (out / 'recipe.json').exists():
            assert (out / 'images' / 'a').is_file(), 'what looks complete is'
        assert write_once(out, 'test.py', RECIPE, write) == out
        assert sorted(files(tmp_path)) == ['out/images/a', 'out/recipe.json']
        assert [path.name for path in tmp_path.iterdir()] == ['out']

    def test_an_empty_partial_folder_is_used(self, tmp_path):
        (tmp_path / 'out.lbbt_mm.partial').mkdir()
        write_once(tmp_path / 'out', 'test.py', RECIPE, write)
        assert [path.name for path in tmp_path.iterdir()] == ['out']

    @pytest.mark.parametrize('mark', (None, '', '{}', '{"made_by": "someone"}',
                                      '{"made_by": "lbbt_mm test.py", "another": "data set that is finished"}'))
    def test_a_partial_folder_with_a_mark_that_is_not_ours_is_refused(self, mark, tmp_path):
        partial = tmp_path / 'out.lbbt_mm.partial'
        partial.mkdir()
        if mark is not None:
            (partial / 'recipe.json').write_text(mark)
        (partial / 'mine').write_text('mine')
        before = files(tmp_path)
        refused(tmp_path / 'out', 'out.lbbt_mm.partial, where the data set is written first, is there and not ours')
        assert files(tmp_path) == before

    def test_a_folder_that_another_writer_finishes_just_now_is_left_to_it(self, tmp_path, monkeypatch):
        """Its mark is gone from there by the time that it could be locked."""
        flock, partial = whole_folder.fcntl.flock, tmp_path / 'out.lbbt_mm.partial'

        def finish(file, operation):
            partial.rename(tmp_path / 'out')
            flock(file, operation)

        monkeypatch.setattr(whole_folder.fcntl, 'flock', finish)
        refused(tmp_path / 'out', 'another process is writing a data set there')
        assert sorted(files(tmp_path)) == ['out/recipe.json']

    @pytest.mark.parametrize('kind', ('file', 'link'))
    def test_something_else_of_its_name_is_refused(self, kind, tmp_path):
        partial, elsewhere = tmp_path / 'out.lbbt_mm.partial', tmp_path / 'elsewhere'
        elsewhere.mkdir()
        partial.write_text('mine') if kind == 'file' else partial.symlink_to(elsewhere)
        refused(tmp_path / 'out', 'is there and not ours')
        assert os.path.lexists(partial) and list(elsewhere.iterdir()) == []


def test_a_picture_that_cannot_be_written_is_an_error(tmp_path):
    """cv2.imwrite returns False and goes on: a full disk would leave a data set without pictures that looks whole."""
    write_image(tmp_path / 'a.png', np.eye(3, dtype=np.uint8))
    assert np.array_equal(cv2.imread(str(tmp_path / 'a.png'), cv2.IMREAD_UNCHANGED), np.eye(3, dtype=np.uint8))
    with pytest.raises(OSError):
        write_image(tmp_path / 'absent' / 'a.png', np.eye(3, dtype=np.uint8))
    if os.path.exists('/dev/full'):
        (tmp_path / 'full.png').symlink_to('/dev/full')
        with pytest.raises(OSError, match='No space left'):
            write_image(tmp_path / 'full.png', np.eye(3, dtype=np.uint8))
