"""Names of files that other files give stay in their folder."""
import pytest

from lbbt_mm.language.file_names import check_file_name, check_within


@pytest.mark.parametrize('name', ['model-00001-of-00002.safetensors', 'sub/model.bin', '..hidden', 'a..b', 'x y.gguf'])
def test_a_name_in_the_folder(name):
    assert check_file_name(name) == name


@pytest.mark.parametrize('name', [
    '/etc/passwd', '../x', 'sub/../../x', 'sub/..', '..', '.', './x', 'a//b', 'a/', '', ' ', '~/x', '~root/x', 'C:/x', 'C:x',
    'c:\\x', '\\\\host\\x', '..\\x', 'sub\\x', 'x\0.bin', 'x\n', 'file:///x', 'http://h/x', 3, None, ['x'], True, {'x': 1}
])
def test_a_name_that_leads_elsewhere(name):
    with pytest.raises(ValueError):
        check_file_name(name)


class TestLinks:

    def test_a_file_a_link_inside_and_an_absent_one(self, tmp_path):
        (tmp_path / 'sub').mkdir()
        (tmp_path / 'sub' / 'real').touch()
        (tmp_path / 'link').symlink_to('sub/real')
        for name in ('sub/real', 'link', 'absent'):
            check_within(tmp_path, name)

    @pytest.mark.parametrize('name', ['link', 'folder/file'])
    def test_a_link_out(self, name, tmp_path):
        (tmp_path / 'here').mkdir()
        (tmp_path / 'there').mkdir()
        (tmp_path / 'there' / 'file').touch()
        (tmp_path / 'here' / 'link').symlink_to(tmp_path / 'there' / 'file')
        (tmp_path / 'here' / 'folder').symlink_to('../there')
        with pytest.raises(ValueError, match=r'is a link out of the folder, to .*there/file'):
            check_within(tmp_path / 'here', name)

    def test_a_folder_that_is_a_link_itself(self, tmp_path):
        (tmp_path / 'real').mkdir()
        (tmp_path / 'real' / 'file').touch()
        (tmp_path / 'here').symlink_to('real')
        check_within(tmp_path / 'here', 'file')

    def test_the_hub_s_cache(self, tmp_path):
        snapshot = tmp_path / 'models--a--b' / 'snapshots' / 'abc'
        for folder in (snapshot, tmp_path / 'models--a--b' / 'blobs'):
            folder.mkdir(parents=True)
        (tmp_path / 'models--a--b' / 'blobs' / '123').touch()
        (tmp_path / 'secret').touch()
        (snapshot / 'good').symlink_to('../../blobs/123')
        (snapshot / 'bad').symlink_to('../../../secret')
        check_within(snapshot, 'good')
        with pytest.raises(ValueError, match='out of the folder'):
            check_within(snapshot, 'bad')
