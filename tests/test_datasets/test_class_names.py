import json
from pathlib import Path

import pytest

from lbbt_mm.datasets.class_names import read_class_names
from lbbt_mm.datasets.prompt_templates import class_prompts, read_templates


@pytest.fixture
def package(tmp_path, monkeypatch) -> Path:
    """The package clip-benchmark, as far as it is read; it must not be imported, since that would import torchvision."""
    folder = tmp_path / 'site' / 'clip_benchmark' / 'datasets'
    folder.mkdir(parents=True)
    (folder.parent / '__init__.py').write_text('raise RuntimeError("must not be imported")')
    for name, content in dict(
            en_classnames=dict(birds=['duck', 'owl'], odd=['duck', '']), jp_classnames=dict(birds=['アヒル', 'フクロウ']),
            en_zeroshot_classification_templates=dict(birds=['a photo of {c}.', '{c}'], own={'duck': ['a duck']}),
            jp_zeroshot_classification_templates=dict(birds=['{c}の写真'])).items():
        (folder / f'{name}.json').write_text(json.dumps(content), encoding='utf-8')
    monkeypatch.setattr('sys.path', [str(tmp_path / 'site')])
    return folder


class TestClassNames:

    def test_a_list_a_file_and_the_package(self, tmp_path, package):
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
        ('clip-benchmark:fish', "the package has no classnames of 'fish' in en; expected one of birds, odd"),
        ('clip-benchmark:birds:xx', "the package has no language 'xx'; expected one of en, jp"),
    ])
    def test_a_class_without_a_name(self, package, names, message):
        with pytest.raises(ValueError, match=message):
            read_class_names(names)

    def test_digits_have_numbers_for_names(self):
        assert len(read_class_names(list('0123456789'))) == 10

    @pytest.mark.parametrize('expected, message', [
        (3, 'the list of classes: 2 names of 3 classes, so class 2 has no name; expected one each'),
        (1, '2 names of 1 classes, so names are left over'),
    ])
    def test_as_many_as_labels(self, expected, message):
        with pytest.raises(ValueError, match=message):
            read_class_names(['duck', 'owl'], expected=expected)

    @pytest.mark.parametrize('content, message', [
        (b'duck\n\nowl\n', 'names.txt: line 2 is empty; expected a name of a class on each'),
        (b'', 'names.txt: line 1 is empty'),
        (b'\xff\xfe', 'names.txt: is no text in UTF-8'),
    ])
    def test_files_that_cannot_be_read(self, tmp_path, content, message):
        (tmp_path / 'names.txt').write_bytes(content)
        with pytest.raises(ValueError, match=message):
            read_class_names(tmp_path / 'names.txt')
        with pytest.raises(FileNotFoundError, match='none.txt: no such file; expected a name of a class on each line'):
            read_class_names(tmp_path / 'none.txt')


class TestTemplates:

    def test_a_list_one_a_file_and_the_package(self, tmp_path, package):
        path = tmp_path / 'templates.txt'
        path.write_text('a photo of a {}.\nthe {c}\n')
        assert read_templates(path) == ['a photo of a {}.', 'the {}']
        assert read_templates('a {} and a {}') == ['a {} and a {}']
        assert read_templates(['{c}']) == ['{}']
        assert read_templates('clip-benchmark:birds') == ['a photo of {}.', '{}']
        assert read_templates('clip-benchmark:birds:jp') == ['{}の写真']

    @pytest.mark.parametrize('source, message', [
        ('a photo', "templates: 'a photo' has no place for the name of a class, and is no file; expected {} where it goes"),
        (['{}', 'a photo'], "the list of templates: 'a photo' has no place"),
        ([], 'the list of templates: has no templates'),
        ('clip-benchmark:own', "has no zeroshot_classification_templates of 'own' in en; expected one of birds"),
    ])
    def test_a_template_without_a_slot(self, package, source, message):
        with pytest.raises(ValueError, match=message):
            read_templates(source)

    def test_prompts_stand_class_by_class(self):
        assert class_prompts(['a {} duck', 'owl'], ['x {}', '{}!']) == ['x a {} duck', 'a {} duck!', 'x owl', 'owl!']


def test_without_the_package_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr('sys.path', [str(tmp_path)])
    with pytest.raises(ImportError, match='pip install --no-deps clip-benchmark'):
        read_class_names('clip-benchmark:imagenet1k')
