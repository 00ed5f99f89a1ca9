"""What all figures' command lines share: where they write, and on what they compute."""
import argparse
import os
import re
from types import SimpleNamespace

import pytest
import torch

from lbbt_mm.figures import (activation, alignment, arguments, curves, gsnr, hessian, landscape, mutual_knn, outliers,
                             report, separability)
from lbbt_mm.figures.arguments import device, output_folder


@pytest.mark.parametrize('tool', [activation, curves, outliers, report])
def test_an_output_that_is_a_file_is_refused_before_work(tool, tmp_path, capsys):
    (tmp_path / 'file').touch()
    with pytest.raises(SystemExit) as caught:
        tool.main(['none', '--out', str(tmp_path / 'file' / 'out')])
    said = capsys.readouterr().err
    assert caught.value.code == 2 and len(said.splitlines()) == 1
    assert f'--out: {tmp_path}/file/out: {tmp_path}/file is no folder that can be written to. Give another' in said


@pytest.mark.parametrize('tool, needed', [
    (activation, []), (alignment, []), (curves, []), (gsnr, []), (hessian, []), (landscape, []),
    (mutual_knn, ['--language', 'x']), (report, []), (separability, [])])
@pytest.mark.parametrize('run, absent', [('{}/none', 'none'), ('a={}/none', 'none'), ('{}/a.py,{}/a.pth', 'a.pth')])
def test_a_run_that_is_not_there_is_refused_before_what_draws_is_imported(tool, needed, run, absent, tmp_path, capsys,
                                                                          monkeypatch):
    (tmp_path / 'a.py').touch()
    begins = re.compile(r'lbbt_mm\.figures\.').match
    monkeypatch.setattr(arguments, 'import_module', lambda name: pytest.fail('work has begun') if begins(name) else None)
    assert tool.main([run.format(tmp_path, tmp_path), *needed, '--out', str(tmp_path / 'out')]) == 2
    said = capsys.readouterr().err
    assert said == f'{tmp_path}/{absent}: no such file or folder; expected what a run has left. Correct the path.\n'
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('tool, needed', [
    (activation, []), (alignment, []), (curves, []), (gsnr, []), (hessian, []), (landscape, []),
    (mutual_knn, ['--language', 'x']), (outliers, []), (separability, [])])
def test_a_file_that_the_tool_did_not_write_is_refused_before_work(tool, needed, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(arguments, 'import_module', lambda name: SimpleNamespace(run=lambda args: pytest.fail('has begun')))
    name = tool.__name__.rpartition('.')[2]
    (tmp_path / f'{name}.csv').write_text('mine')
    assert tool.main([str(tmp_path), *needed, '--out', str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert f'{name}.csv is there and would be overwritten' in said and len(said.splitlines()) == 1
    assert os.listdir(tmp_path) == [f'{name}.csv'] and (tmp_path / f'{name}.csv').read_text() == 'mine'


def test_the_user_s_folder_in_the_second_half_of_a_pair(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    for name in ('a.py', 'a.pth'):
        (tmp_path / name).touch()
    arguments.refuse_absent_run(f'{tmp_path}/a.py,~/a.pth')
    with pytest.raises(FileNotFoundError, match=f'{tmp_path}/b.pth: no such file or folder'):
        arguments.refuse_absent_run(f'{tmp_path}/a.py,~/b.pth')


def test_a_package_that_is_not_there_is_named_with_how_to_install_it():
    arguments.refuse_absent_package('json', 'never-asked-for>=1')
    with pytest.raises(ImportError, match=r"^no-such is not installed, which this tool needs. Install it: pip install "
                                          r"'no-such>=1.3'$"):
        arguments.refuse_absent_package('no_such_package', 'no-such>=1.3')


def test_an_output_that_may_not_be_written(tmp_path, monkeypatch):
    assert output_folder(str(tmp_path / 'new' / 'a')) == tmp_path / 'new' / 'a' and not (tmp_path / 'new').exists()
    monkeypatch.setattr(os, 'access', lambda path, mode: path != tmp_path)  # root may write everywhere
    with pytest.raises(argparse.ArgumentTypeError, match='is no folder that can be written to'):
        output_folder(str(tmp_path / 'new'))


def test_devices():
    assert device('cpu') == 'cpu'
    for name in ('nonsense', 'meta', *([] if torch.cuda.is_available() else ['cuda'])):
        with pytest.raises(argparse.ArgumentTypeError, match=f'{name}: not on this machine'):
            device(name)
