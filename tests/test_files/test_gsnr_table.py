"""The table of ratios in a run's folder."""
import pytest

from lbbt_mm.files.gsnr_table import GsnrRow, read_gsnr, write_gsnr


def test_rows_survive_the_file(tmp_path):
    rows = [GsnrRow(1, 0, 1 / 3, 0.2, 1 / 3 - 0.2, 8 / 3, 54, 1.5, 8, 2),
            GsnrRow(1, 1, float('inf'), 0.2, 1., 8., 54, 0., 8, 2)]
    write_gsnr(tmp_path / 'a.csv', rows)
    assert read_gsnr(tmp_path / 'a.csv') == rows
    text = (tmp_path / 'a.csv').read_text()
    for damaged in (text[:-4], text.replace('0.2', 'x', 1), '', text.replace('54', '54.5')):
        (tmp_path / 'b.csv').write_text(damaged)
        with pytest.raises(ValueError, match='b.csv: .*; expected a table of epoch'):
            read_gsnr(tmp_path / 'b.csv')
