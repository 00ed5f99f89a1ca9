"""Names of runs' folders: what is written is read again."""
import pytest

from lbbt_mm.runs.folder_names import FolderName, without_seed


@pytest.mark.parametrize('name, parts', [
    ('random-seed0', ('random', 0)),
    ('cell-source-language-seed12-lr0.001', ('cell-source-language', 12, 0.001)),
    ('tuned-seed0-lr3e-05-std0.02', ('tuned', 0, 3e-05, 0.02)),
    ('a-seed1-seed2-std1', ('a-seed1', 2, None, 1.)),
])
def test_a_name_is_read_as_it_was_written(name, parts):
    assert FolderName.read(name) == FolderName(*parts) and str(FolderName(*parts)) == name


def test_no_digit_of_a_rate_is_lost():
    rate = 0.1 + 0.2
    assert FolderName.read(str(FolderName('a', 0, rate))).lr == rate


@pytest.mark.parametrize('name', ['a', 'seed0', 'a-seed', 'a-seed0-lr', 'a-seed0-lr1.2.3', 'a-seed0-lr<best of the sweep>'])
def test_another_name_is_none_of_ours(name):
    assert FolderName.read(name) is None


@pytest.mark.parametrize('name, label', [('end-seed0-lr0.1', 'end-lr0.1'), ('end-seed10', 'end'), ('mine', 'mine'),
                                         ('a-seedling', 'a-seedling')])
def test_runs_of_an_arm_have_a_name_in_common(name, label):
    assert without_seed(name) == label
