"""Parts of long work: what is done is kept, and a file that answers another question is begun anew."""
import pytest

from lbbt_mm.figures.parts import Parts, stamp


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


def test_parts_that_nothing_asked_for_are_dropped(tmp_path):
    path = tmp_path / 'parts.json'
    for part in 'ab':
        Parts(path, 1).get(part, str)
    parts = Parts(path, 1)
    parts.get('b', lambda: pytest.fail('computed again'))
    parts.drop_others()
    assert 'a' not in parts and 'a' not in Parts(path, 1) and 'b' in Parts(path, 1)
    written = path.stat().st_mtime_ns
    parts.drop_others()
    assert path.stat().st_mtime_ns == written


def test_a_file_that_was_written_again_is_another(tmp_path):
    (tmp_path / 'a').write_text('x')
    before = stamp(tmp_path / 'a')
    (tmp_path / 'a').write_text('xy')
    assert stamp(tmp_path / 'a') != before


def test_a_dry_run_reads_what_is_there_and_writes_nothing(tmp_path):
    Parts(tmp_path / 'parts.json', 1).get('a', lambda: 1)
    dry = Parts(tmp_path / 'parts.json', 1, writes=False)
    assert dry.get('a', lambda: pytest.fail('computed again')) == 1 and dry.get('b', lambda: 2) == 2 and 'b' in dry
    assert 'b' not in Parts(tmp_path / 'parts.json', 1)
    Parts(tmp_path / 'none' / 'parts.json', 1, writes=False).get('a', lambda: 1)
    assert not (tmp_path / 'none').exists()
