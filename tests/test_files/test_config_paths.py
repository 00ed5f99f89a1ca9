"""A config that is not there is one sentence."""
import pytest

from lbbt_mm.files.config_paths import refuse_absent_config


def test_a_file_passes(tmp_path):
    path = tmp_path / 'a.py'
    path.touch()
    refuse_absent_config(path)
    refuse_absent_config(str(path))


@pytest.mark.parametrize('name', ['none.py', '.', 'none/a.py'])
def test_what_is_no_file_is_refused(name, tmp_path):
    with pytest.raises(FileNotFoundError, match='no such config file. Give the path of a config, absolute or relative'):
        refuse_absent_config(tmp_path / name)
