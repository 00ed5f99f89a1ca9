"""Templates, wherever they are written, and the prompts that they make."""
from pathlib import Path

import pytest

from lbbt_mm.datasets.prompt_templates import class_prompts, read_templates


def test_a_list_one_a_file_and_the_package(tmp_path, package):
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
def test_a_template_without_a_slot(package, source, message):
    with pytest.raises(ValueError, match=message):
        read_templates(source)


def test_prompts_stand_class_by_class():
    assert class_prompts(['a {} duck', 'owl'], ['x {}', '{}!']) == ['x a {} duck', 'a {} duck!', 'x owl', 'owl!']


def test_a_file_that_is_not_there_is_no_template():
    with pytest.raises(ValueError, match="none.txt' has no place for the name of a class, and is no file"):
        read_templates(Path('none.txt'))


@pytest.mark.parametrize('content, message', [('a {}\n\n', 'templates.txt: line 2 is empty; expected a template on each'),
                                              ('a {}\na photo\n', "templates.txt: 'a photo' has no place for the name")])
def test_a_file_with_a_line_that_is_none(tmp_path, content, message):
    (tmp_path / 'templates.txt').write_text(content)
    with pytest.raises(ValueError, match=message):
        read_templates(tmp_path / 'templates.txt')
