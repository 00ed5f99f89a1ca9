"""Names of classes, wherever they are written."""
import pytest

from lbbt_mm.datasets.class_names import read_class_names


def test_a_list_a_file_and_the_package(tmp_path, package):
    path = tmp_path / 'names.txt'
    path.write_text('\ufeffduck\n  great_grey  owl \n白鸽\n', encoding='utf-8')
    assert read_class_names(path) == read_class_names(str(path), expected=3) == ['duck', 'great grey owl', '白鸽']
    assert read_class_names(['duck', 'snowy_owl']) == ['duck', 'snowy owl']
    assert read_class_names('clip-benchmark:birds') == ['duck', 'owl']
    assert read_class_names('clip-benchmark:birds:jp', expected=2) == ['アヒル', 'フクロウ']


@pytest.mark.parametrize('names, message', [
    (['duck', ' '], 'the list of classes: class 1 has no name; expected one for each class'),
    (['duck', None], 'the list of classes: class 1 has no name'),
    ([], 'the list of classes: class 0 has no name'),
    ('clip-benchmark:odd', 'clip-benchmark:odd: class 1 has no name'),
    (list(map(str, range(100))), 'calls its classes 0, ...: numbers, which no language model knows'),
    ([f'n{number:08d}' for number in range(20)], 'calls its classes n00000000, ...: numbers'),
    (['n01440764', 'n01443537'], 'calls its classes n01440764, ...: numbers'),
    ('clip-benchmark:fish', "the package has no classnames of 'fish' in en; expected one of birds, odd"),
    ('clip-benchmark:birds:xx', "the package has no language 'xx'; expected one of en, jp"),
])
def test_a_class_without_a_name(package, names, message):
    with pytest.raises(ValueError, match=message):
        read_class_names(names)


def test_digits_have_numbers_for_names():
    assert len(read_class_names(list('0123456789'))) == 10
    assert read_class_names(['n01440764', 'dog']) == ['n01440764', 'dog'], 'one without a name is not all'


@pytest.mark.parametrize('expected, message', [
    (3, 'the list of classes: 2 names of 3 classes, so class 2 has no name; expected one each'),
    (1, '2 names of 1 classes, so names are left over'),
])
def test_as_many_as_labels(expected, message):
    with pytest.raises(ValueError, match=message):
        read_class_names(['duck', 'owl'], expected=expected)


@pytest.mark.parametrize('content, message', [
    (b'duck\n\nowl\n', 'names.txt: line 2 is empty; expected a name of a class on each'),
    (b'', 'names.txt: line 1 is empty'),
    (b'\xff\xfe', 'names.txt: is no text in UTF-8'),
])
def test_files_that_cannot_be_read(tmp_path, content, message):
    (tmp_path / 'names.txt').write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_class_names(tmp_path / 'names.txt')
    with pytest.raises(FileNotFoundError, match='none.txt: no such file; expected a name of a class on each line'):
        read_class_names(tmp_path / 'none.txt')
