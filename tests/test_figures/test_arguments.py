"""What all figures' command lines share: where they write, and on what they compute."""
import argparse
import os

import pytest
import torch

from lbbt_mm.figures import activation, curves, outliers, report
from lbbt_mm.figures.arguments import device, output_folder


@pytest.mark.parametrize('tool', [activation, curves, outliers, report])
def test_an_output_that_is_a_file_is_refused_before_work(tool, tmp_path, capsys):
    (tmp_path / 'file').touch()
    with pytest.raises(SystemExit) as caught:
        tool.main(['none', '--out', str(tmp_path / 'file' / 'out')])
    said = capsys.readouterr().err
    assert caught.value.code == 2 and len(said.splitlines()) == 1
    assert f'--out: {tmp_path}/file/out: {tmp_path}/file is no folder that can be written to. Give another' in said


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
