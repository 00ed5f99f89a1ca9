"""Progress of long work in a log."""
from lbbt_mm.figures.progress import track


def test_progress_hands_out_everything_and_says_a_line_a_minute_in_a_log(capsys, monkeypatch):
    clock = iter(range(0, 1000, 30))
    monkeypatch.setattr('time.monotonic', lambda: next(clock))
    assert list(track(iter('abc'), 'letters', total=3)) == ['a', 'b', 'c']
    assert 'letters: 2 of 3' in capsys.readouterr().err
