"""What all figures share: parts that are kept, numbers that are written and shown, pictures that are the same again."""
import argparse
import math
import os
import re

import cv2
import pandas as pd
import pytest
import torch

from lbbt_mm.figures.arguments import device, output_folder
from lbbt_mm.figures.canvas import COLORS, Canvas, styles
from lbbt_mm.figures.numbers import print_numbers, shown, write_numbers
from lbbt_mm.figures.parts import Parts, stamp
from lbbt_mm.figures import activation, curves, outliers, report
from lbbt_mm.figures.progress import track


def test_parts_that_are_done_are_not_done_again(tmp_path):
    parts = Parts(tmp_path / 'new' / 'parts.json', dict(grid=3))
    assert parts.get('a', lambda: [1, 2]) == [1, 2]
    again = Parts(tmp_path / 'new' / 'parts.json', dict(grid=3))
    assert 'a' in again and len(again) == 1
    assert again.get('a', lambda: pytest.fail('computed again')) == [1, 2]


@pytest.mark.parametrize('content', [None, '', '[]', '{"question": 1}'])
def test_another_question_or_a_damaged_file_begins_anew(content, tmp_path):
    Parts(tmp_path / 'parts.json', 'one').get('a', lambda: 1)
    if content is not None:
        (tmp_path / 'parts.json').write_text(content)
    assert not len(Parts(tmp_path / 'parts.json', 'another' if content is None else 'one'))


def test_a_file_that_was_written_again_is_another(tmp_path):
    (tmp_path / 'a').write_text('x')
    before = stamp(tmp_path / 'a')
    (tmp_path / 'a').write_text('xy')
    assert stamp(tmp_path / 'a') != before


def test_numbers_keep_their_digits_in_the_file_and_lose_them_on_the_screen(tmp_path, capsys):
    frame = pd.DataFrame(dict(arm=['language', 'random'], value=[1 / 3, math.nan], n=[1234567, 2]))
    write_numbers(frame, tmp_path / 'new', 'x')
    assert pd.read_csv(tmp_path / 'new' / 'x.csv')['value'][0] == 1 / 3
    print_numbers(frame, 'about')
    printed = capsys.readouterr().out
    assert '0.3333' in printed and '0.33333' not in printed and '1,234,567' in printed
    assert re.search(r'random\W+-\W', printed)
    assert shown(123456.7) == '123,457' and shown(True) == 'True'


def test_the_same_picture_gives_the_same_files(tmp_path):
    for name in ('a', 'b'):
        canvas = Canvas(1, 2)
        for axes in canvas.axes.flat:
            for label, style in styles(['one', 'two']).items():
                axes.plot([0, 1], [0, len(label)], label=label, **style)
        canvas.legend()
        canvas.save(tmp_path, name)
    for kind in ('png', 'pdf'):
        assert (tmp_path / f'a.{kind}').read_bytes() == (tmp_path / f'b.{kind}').read_bytes()
    assert cv2.imread(str(tmp_path / 'a.png')).shape[1] == 1380, 'a page wide, at 200 dots an inch'
    assert len(list(tmp_path.iterdir())) == 4


def test_more_things_than_colours_still_have_styles():
    found = styles([str(number) for number in range(2 * len(COLORS))])
    assert found['0']['color'] == found[str(len(COLORS))]['color']


def test_progress_hands_out_everything_and_says_a_line_a_minute_in_a_log(capsys, monkeypatch):
    clock = iter(range(0, 1000, 30))
    monkeypatch.setattr('time.monotonic', lambda: next(clock))
    assert list(track(iter('abc'), 'letters', total=3)) == ['a', 'b', 'c']
    assert 'letters: 2 of 3' in capsys.readouterr().err


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
