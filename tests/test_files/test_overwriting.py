"""A config of the user's own is never overwritten by the one that a run dumps under the same name."""
import pytest
from mmengine.config import Config

from lbbt_mm.files.overwriting import (is_dumped_config, keep_training_config, refuse_closed_folder,
                                       refuse_overwriting_config, refuse_overwriting_output)

SOURCE = """_base_ = []
model = dict(type='A', size=3)  # a comment
lr = 0.1
"""


@pytest.fixture
def config(tmp_path):
    path = tmp_path / 'my' / 'x.py'
    path.parent.mkdir()
    path.write_text(SOURCE)
    return path


def dump(config, work_dir, **settings):
    """As mmengine's runner does it."""
    cfg = Config.fromfile(str(config))
    cfg.merge_from_dict(dict(work_dir=str(work_dir), launcher='none', **settings))
    work_dir.mkdir(exist_ok=True)
    cfg.dump(str(work_dir / config.name))
    return work_dir / config.name


def test_the_config_s_own_folder_is_refused(config, monkeypatch):
    monkeypatch.chdir(config.parent)
    for path, work_dir in ((config, config.parent), (config, '.'), ('x.py', '.'), ('../my/x.py', config.parent)):
        with pytest.raises(ValueError, match='x.py is the config itself, and the run would overwrite it') as caught:
            refuse_overwriting_config(path, work_dir)
        assert 'Choose another --work-dir' in str(caught.value) and '\n' not in str(caught.value)
    assert config.read_text() == SOURCE


def test_so_is_one_that_links_to_it(config, tmp_path):
    work_dir = tmp_path / 'work'
    work_dir.mkdir()
    (work_dir / 'x.py').symlink_to(config)
    with pytest.raises(ValueError, match='is the config itself'):
        refuse_overwriting_config(config, work_dir)
    (work_dir / 'x.py').unlink()
    (work_dir / 'x.py').hardlink_to(config)
    with pytest.raises(ValueError, match='is the config itself'):
        refuse_overwriting_config(config, work_dir)


def test_another_file_of_its_name_is_refused(config, tmp_path):
    work_dir = tmp_path / 'work'
    work_dir.mkdir()
    for text in ('lr = 3\n', 'launcher = 1\n', '', 'no python', f'{SOURCE}launcher = 1\nwork_dir = 2\n',
                 "launcher = 'none'\nwork_dir = 'a'  # mine\n", "work_dir = 'a'\nlauncher = 'none'\n",
                 "import os\nlauncher = 'none'\nwork_dir = 'a'\n", "launcher = work_dir = 'a'\n"):
        (work_dir / 'x.py').write_text(text)
        with pytest.raises(ValueError, match='work/x.py was not written by a run, and the run would overwrite it'):
            refuse_overwriting_config(config, work_dir)
    (work_dir / 'x.py').unlink()
    (work_dir / 'x.py').mkdir()
    with pytest.raises(ValueError, match='was not written by a run'):
        refuse_overwriting_config(config, work_dir)


def test_what_a_run_has_dumped_may_be_dumped_again(config, tmp_path):
    refuse_overwriting_config(config, tmp_path / 'absent')
    dumped = dump(config, tmp_path / 'work', text='# no comment', nested=dict(z=[dict(a=1), (2, None)], a={'b-c': 1.}))
    refuse_overwriting_config(config, tmp_path / 'work')
    refuse_overwriting_config(dumped, tmp_path / 'work')  # a run that is resumed from its own config


def test_a_link_to_a_dumped_config_is_none(config, tmp_path):
    """It would be written through: the run that it belongs to would lose its own."""
    dumped = dump(config, tmp_path / 'earlier')
    (tmp_path / 'work').mkdir()
    (tmp_path / 'work' / 'x.py').symlink_to(dumped)
    with pytest.raises(ValueError, match='work/x.py was not written by a run'):
        refuse_overwriting_config(config, tmp_path / 'work')


@pytest.mark.parametrize('suffix', ('.json', '.yaml', '.yml'))
def test_configs_that_are_no_python(suffix, config, tmp_path):
    """A tuple from a base becomes a tag in YAML, which is not followed."""
    theirs = config.with_suffix(suffix)
    theirs.write_text('{"lr": 0.1}' if suffix == '.json' else '# mine\nlr: 0.1\n')
    with pytest.raises(ValueError, match='is the config itself'):
        refuse_overwriting_config(theirs, theirs.parent)
    refuse_overwriting_config(theirs, dump(theirs, tmp_path / 'work', sizes=(1, 2)).parent)


def test_telling_them_apart_runs_nothing(tmp_path):
    path, mark = tmp_path / 'x.py', tmp_path / 'mark'
    path.write_text(f"a = open({str(mark)!r}, 'w')\nlauncher = 'none'\nwork_dir = 'a'\n")
    is_dumped_config(path)
    path.with_suffix('.yaml').write_text(f'a: !!python/object/apply:builtins.open ["{mark}", "w"]\n')
    assert not is_dumped_config(path.with_suffix('.yaml')) and not mark.exists()


def test_predictions_are_not_written_over_files(tmp_path):
    refuse_overwriting_output(None, None)
    refuse_overwriting_output(tmp_path / 'new.pkl', tmp_path / 'new')
    (tmp_path / 'empty').mkdir()
    refuse_overwriting_output(None, tmp_path / 'empty')
    (tmp_path / 'mine.pkl').write_text('mine')
    with pytest.raises(ValueError, match='--out .*mine.pkl: is there already, and would be overwritten'):
        refuse_overwriting_output(tmp_path / 'mine.pkl', None)
    with pytest.raises(ValueError, match='--show-dir .*: holds files already'):
        refuse_overwriting_output(None, tmp_path)


def test_a_test_leaves_the_config_of_a_training_in_its_folder(config, tmp_path):
    cfg = Config.fromfile(config)
    cfg.work_dir = str(tmp_path / 'test')
    keep_training_config(cfg)
    assert cfg.filename == str(config)
    (tmp_path / 'test').mkdir()
    (tmp_path / 'test' / 'last_checkpoint').touch()
    keep_training_config(cfg)
    assert cfg.filename is None


def test_output_below_a_file_or_in_a_folder_that_may_not_be_written(config, tmp_path, monkeypatch):
    refuse_overwriting_output(tmp_path / 'new' / 'folder' / 'x.pkl', tmp_path / 'new')
    refuse_overwriting_output('x.pkl', None)
    for name, arguments in (('--out', (config / 'x.pkl', None)), ('--show-dir', (None, config / 'below' / 'pictures'))):
        with pytest.raises(ValueError, match=f'{name} .*: {config} is no folder that can be written to'):
            refuse_overwriting_output(*arguments)
    monkeypatch.setattr('os.access', lambda path, mode: False)
    with pytest.raises(ValueError, match=f'{tmp_path} is no folder that can be written to'):
        refuse_overwriting_output(tmp_path / 'x.pkl', None)


def test_a_folder_that_cannot_be_made_or_written_to(config, tmp_path, monkeypatch):
    refuse_closed_folder('--work-dir x', tmp_path)
    refuse_closed_folder('--work-dir x', tmp_path / 'new' / 'folder')
    for folder in (config, config / 'x', str(config / 'x' / 'y')):
        with pytest.raises(ValueError) as caught:
            refuse_closed_folder(f'--work-dir {folder}', folder)
        assert str(caught.value) == f'--work-dir {folder}: {config} is no folder that can be written to. Give another path.'
    monkeypatch.setattr('os.access', lambda path, mode: False)  # root may write everywhere
    with pytest.raises(ValueError, match=f'{tmp_path} is no folder that can be written to'):
        refuse_closed_folder('x', tmp_path / 'new')
