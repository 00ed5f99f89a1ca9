"""Tables and figures do not replace files that somebody else has put in the folder."""
import json

import pytest

from lbbt_mm.experiments.results_folder import MARK, RESULTS, claim_results, refuse_other_results
from lbbt_mm.figures.claimed_folder import claimed, refuse_other_figures

REQUEST = json.dumps(dict(id='a', config={}, options=[]))


def put(folder, name, text='mine'):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize('name', RESULTS)
def test_a_file_that_is_not_ours_is_refused(name, tmp_path):
    put(tmp_path, name)
    for function in (refuse_other_results, claim_results):
        with pytest.raises(ValueError, match=f'{name} was not written by a run of ours, and it would') as caught:
            function(tmp_path, 'tool.py')
        assert '\n' not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_other_files_do_no_harm(tmp_path):
    put(tmp_path, 'notes.txt')
    refuse_other_results(tmp_path, 'tool.py')
    refuse_other_results(tmp_path / 'absent', 'tool.py')
    assert not (tmp_path / 'absent').exists()


def test_a_folder_that_was_claimed_stays_ours(tmp_path):
    """Also where its runs were removed since, and a kill came before new ones were there."""
    folder = tmp_path / 'a' / 'b'
    claim_results(folder, 'tool.py')
    put(folder, 'results.csv', 'ours')
    claim_results(folder, 'tool.py')
    assert json.loads((folder / MARK).read_text()) == dict(made_by='lbbt_mm tool.py')


def test_figures_that_were_there_first_stay_known_as_ours(tmp_path):
    with claimed(tmp_path, 'losses'):
        put(tmp_path, 'losses.png', 'ours')
    claim_results(tmp_path, 'tool.py')
    refuse_other_figures(tmp_path, 'losses')


def test_results_of_another_tool_are_another_experiment(tmp_path):
    claim_results(tmp_path, 'tool.py')
    put(tmp_path, 'results.csv', 'theirs')
    for function in (refuse_other_results, claim_results):
        with pytest.raises(ValueError, match='holds the results of tool.py; results.csv would be overwritten'):
            function(tmp_path, 'other.py')
    assert json.loads((tmp_path / MARK).read_text()) == dict(made_by='lbbt_mm tool.py')


def test_results_of_before_there_was_a_mark_are_known_by_their_runs(tmp_path):
    put(tmp_path, 'results.csv')
    for place, text in (('elsewhere/a', REQUEST), ('runs/a', '{}'), ('runs/a/deeper', REQUEST)):
        put(tmp_path, f'{place}/request.json', text)
        with pytest.raises(ValueError, match='was not written by a run of ours'):
            refuse_other_results(tmp_path, 'tool.py')
    put(tmp_path, 'runs/b/request.json', REQUEST)
    refuse_other_results(tmp_path, 'tool.py')


@pytest.mark.parametrize('text', ('', '{}', '[]', '{"made_by": "someone"}'))
def test_a_mark_of_somebody_else_is_none(text, tmp_path):
    put(tmp_path, MARK, text)
    put(tmp_path, 'results.csv')
    with pytest.raises(ValueError):
        claim_results(tmp_path, 'tool.py')
    assert (tmp_path / MARK).read_text() == text


def test_a_file_in_place_of_the_folder(tmp_path):
    put(tmp_path, 'out')
    (tmp_path / 'link').symlink_to(tmp_path / 'gone')
    for name, there in (('out', 'out'), ('out/below', 'out'), ('link', 'link')):
        for function in (refuse_other_results, claim_results):
            with pytest.raises(ValueError, match=f'{tmp_path}/{name}: {tmp_path}/{there} is no folder that can be written'):
                function(tmp_path / name, 'tool.py')
