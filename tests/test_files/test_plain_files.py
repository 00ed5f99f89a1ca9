"""Files of data are read as data: by mmengine's readers, and where its codebases unpickle by themselves."""
import os
import pickle
from collections import OrderedDict, defaultdict
from pathlib import Path

import mmengine
import numpy as np
import pytest
import yaml
from mmengine.fileio.handlers.registry_utils import file_handlers

from lbbt_mm.files.plain_files import guard_file_readers
from tests.bombs import BOMBS
from tests.hostile_files import Call, yaml_that_runs
from tests.time_limit import time_limit


@pytest.fixture(autouse=True)
def guarded(monkeypatch):
    """For a test; the watch on codebases' own unpickling stays, as Python has no way to end it."""
    for suffix in list(file_handlers):
        monkeypatch.setitem(file_handlers, suffix, file_handlers[suffix])
    guard_file_readers()


@pytest.mark.parametrize('suffix', ['yaml', 'yml'])
class TestYaml:

    @pytest.mark.parametrize('text', [
        '!!python/object/apply:os.mkdir [{}]', '!!python/object/new:os.mkdir [[{}]]', '!!python/name:os.mkdir',
        '!!python/module:os', '!!python/object:builtins.dict {{}}', '!unknown x', '!!python/complex 1',
        '? !!python/name:os.mkdir\n: 1'
    ])
    def test_a_tag_is_refused_and_not_followed(self, text, suffix, tmp_path, trace):
        file = tmp_path / f'data.{suffix}'
        file.write_text('list:\n- ' + text.format(trace).replace('\n', '\n  '))
        with pytest.raises(ValueError, match=r'not plain YAML \(the tag .* in line 2 asks for a Python object\)') as error:
            mmengine.load(file)
        assert len(str(error.value).splitlines()) == 1 and not trace.exists()

    def test_what_mmengine_writes_is_read(self, suffix, tmp_path):
        content = dict(a=[1, 2.5, True, None, 'x'], b=dict(c=(1, (2, 3))), d='2001-01-01', e=1e-5)
        mmengine.dump(content, tmp_path / f'data.{suffix}')
        assert mmengine.load(tmp_path / f'data.{suffix}') == content

    def test_no_yaml_at_all_is_one_clear_error(self, suffix, tmp_path):
        (tmp_path / f'data.{suffix}').write_text('a: [1\nb: }')
        with pytest.raises(ValueError, match='not plain YAML') as error:
            mmengine.load(tmp_path / f'data.{suffix}')
        assert len(str(error.value).splitlines()) == 1

    @pytest.mark.parametrize('level, end', [
        ('&{0} !!python/tuple [*{1}, *{1}]', '- ? *{0}\n  : 1'), ('&{0} [*{1}, *{1}]', '- {{a: *{0}}}'),
        ('&{0} {{<<: [*{1}, *{1}]}}', '- *{0}')])
    def test_aliases_without_end_are_refused_at_once(self, level, end, suffix, tmp_path):
        first = '&x0 {a: 1}' if '<<' in level else '&x0 [1]' if 'tuple' not in level else '&x0 !!python/tuple [1]'
        lines = [first, *(level.format(f'x{index}', f'x{index - 1}') for index in range(1, 60))]
        text = ''.join(f'- {line}\n' for line in lines) + end.format('x59')
        (tmp_path / f'data.{suffix}').write_text(text)
        with time_limit(1), pytest.raises(ValueError, match='not plain YAML .its aliases make'):
            mmengine.load(tmp_path / f'data.{suffix}')

    def test_aliases_are_followed(self, suffix, tmp_path):
        (tmp_path / f'data.{suffix}').write_text('a: &a {b: [1, 2]}\nc: {<<: *a, d: 3}\ne: &e [*a, *e]')
        found = mmengine.load(tmp_path / f'data.{suffix}')
        assert found['c'] == dict(b=[1, 2], d=3) and found['e'][0] is found['a'] and found['e'][1] is found['e']

    def test_code_that_asks_for_another_loader_has_it(self, suffix, tmp_path, trace):
        (tmp_path / f'data.{suffix}').write_text(yaml_that_runs(trace))
        mmengine.load(tmp_path / f'data.{suffix}', Loader=yaml.UnsafeLoader)
        assert trace.is_dir()


@pytest.mark.parametrize('suffix', ['pkl', 'pickle'])
class TestPickle:

    @pytest.mark.parametrize('protocol', range(pickle.HIGHEST_PROTOCOL + 1))
    def test_code_is_refused_and_does_not_run(self, protocol, suffix, tmp_path, trace):
        (tmp_path / f'data.{suffix}').write_bytes(pickle.dumps(dict(a=Call(os.mkdir, str(trace))), protocol))
        with pytest.raises(ValueError, match=r'not a pickle of plain data \(it asks for (posix|nt)\.mkdir\)'):
            mmengine.load(tmp_path / f'data.{suffix}')
        assert not trace.exists()

    @pytest.mark.parametrize('harm', [
        lambda: Call(eval, '1'), lambda: Call(getattr, dict, 'get'), lambda: Call(__import__, 'os'), lambda: print,
        lambda: Call(np.load, 'x'), lambda: Path('x')
    ])
    def test_so_are_other_functions_and_classes(self, harm, suffix, tmp_path):
        (tmp_path / f'data.{suffix}').write_bytes(pickle.dumps(harm()))
        with pytest.raises(ValueError, match='not a pickle of plain data'):
            mmengine.load(tmp_path / f'data.{suffix}')

    def test_data_is_read(self, suffix, tmp_path):
        content = dict(boxes=np.ones((2, 4)), names={'a', 'b'}, order=OrderedDict(x=1), raw=b'\xff\x00', size=(3, 4.5),
                       more=defaultdict(list, y=[1]), frozen=frozenset({1}), none=None)
        mmengine.dump(content, tmp_path / f'data.{suffix}')
        found = mmengine.load(tmp_path / f'data.{suffix}')
        assert found.pop('boxes').tolist() == content.pop('boxes').tolist() and found == content

    def test_a_file_of_python_2_is_read(self, suffix, tmp_path):
        """RefCOCO's splits are such files."""
        (tmp_path / f'data.{suffix}').write_bytes(b"(dp0\nS'split'\np1\n(lp2\nI1\naI2\nas.")
        assert mmengine.load(tmp_path / f'data.{suffix}') == dict(split=[1, 2])

    @pytest.mark.parametrize('content', [b'', b'no pickle', pickle.dumps(list(range(100)))[:50], b'\x80\x04\x95'])
    def test_a_damaged_file_is_one_clear_error(self, content, suffix, tmp_path):
        (tmp_path / f'data.{suffix}').write_bytes(content)
        with pytest.raises(ValueError, match='not a pickle of plain data') as error:
            mmengine.load(tmp_path / f'data.{suffix}')
        assert len(str(error.value).splitlines()) == 1


    @pytest.mark.parametrize('name', BOMBS)
    def test_what_would_never_end_is_refused_at_once(self, name, suffix, tmp_path):
        (tmp_path / f'data.{suffix}').write_bytes(BOMBS[name])
        with time_limit(2), pytest.raises(ValueError, match='not a pickle of plain data') as error:
            mmengine.load(tmp_path / f'data.{suffix}')
        assert len(str(error.value).splitlines()) == 1


class TestOwnUnpickling:
    """Of the codebases, past mmengine's readers."""

    def test_medical_images_of_mmseg(self, trace):
        from mmseg.utils import datafrombytes
        with pytest.raises(ValueError, match=r'mmseg\.utils\.io unpickles asks for (posix|nt)\.mkdir'):
            datafrombytes(pickle.dumps(Call(os.mkdir, str(trace))), backend='pickle')
        assert not trace.exists()
        assert datafrombytes(pickle.dumps(np.arange(3)), backend='pickle').tolist() == [0, 1, 2]

    def test_cifar_s_batches_of_mmpretrain(self, tmp_path, trace, monkeypatch):
        from mmpretrain.datasets import CIFAR10
        monkeypatch.setattr(CIFAR10, '_check_integrity', lambda self: True)
        (tmp_path / CIFAR10.base_folder).mkdir()
        for name, _ in CIFAR10.test_list:
            (tmp_path / CIFAR10.base_folder / name).write_bytes(pickle.dumps(Call(os.mkdir, str(trace))))
        with pytest.raises(ValueError, match=r'mmpretrain\.datasets\.cifar unpickles asks for'):
            CIFAR10(data_root=str(tmp_path), split='test').full_init()
        assert not trace.exists()

    def test_cifar_s_batches_are_checked_against_their_published_sums(self, tmp_path, trace):
        """So that nothing is unpickled that is not theirs."""
        from mmpretrain.datasets import CIFAR10
        (tmp_path / CIFAR10.base_folder).mkdir()
        for name, _ in [*CIFAR10.train_list, *CIFAR10.test_list]:
            (tmp_path / CIFAR10.base_folder / name).write_bytes(pickle.dumps(Call(os.mkdir, str(trace))))
        with pytest.raises(RuntimeError, match='Cannot find CIFAR10 dataset'):
            CIFAR10(data_root=str(tmp_path), split='test', download=False).full_init()
        assert not trace.exists()

    def test_arrays_of_objects(self, tmp_path, trace):
        """mmdet reads the class tree of OpenImages' challenge with allow_pickle=True."""
        from mmdet.datasets import OpenImagesChallengeDataset
        read = OpenImagesChallengeDataset._get_relation_matrix
        dataset = OpenImagesChallengeDataset.__new__(OpenImagesChallengeDataset)
        dataset.backend_args = None
        np.save(tmp_path / 'tree.npy', np.array([Call(os.mkdir, str(trace))], dtype=object), allow_pickle=True)
        with pytest.raises(ValueError, match=r'asks for (posix|nt)\.mkdir'):
            read(dataset, str(tmp_path / 'tree.npy'))
        assert not trace.exists()
        np.save(tmp_path / 'tree.npy', np.eye(3))
        assert read(dataset, str(tmp_path / 'tree.npy')).shape == (2, 2)

    def test_other_code_unpickles_as_it_did(self, trace):
        pickle.loads(pickle.dumps(Call(os.mkdir, str(trace))))
        assert trace.is_dir()
