"""The lists of the package clip-benchmark, which is not imported."""
import pytest

from lbbt_mm.datasets.clip_benchmark import CLASSES, TEMPLATES, read_list


def test_a_list_of_a_language(package):
    assert read_list('clip-benchmark:birds', CLASSES) == read_list('clip-benchmark:birds:en', CLASSES) == ['duck', 'owl']
    assert read_list('clip-benchmark:birds:jp', TEMPLATES) == ['{c}の写真']


def test_entries_are_texts(package):
    (package / 'en_classnames.json').write_text('{"digits": [0, 1]}')
    assert read_list('clip-benchmark:digits', CLASSES) == ['0', '1']


@pytest.mark.parametrize('source, kind, message', [
    ('clip-benchmark:', CLASSES, "has no classnames of '' in en; expected one of birds, odd"),
    ('clip-benchmark:birds:en:jp', CLASSES, "has no language 'en:jp'; expected one of en, jp"),
    ('clip-benchmark:own', TEMPLATES, "has no zeroshot_classification_templates of 'own' in en; expected one of birds")])
def test_lists_that_are_not_there(package, source, kind, message):
    with pytest.raises(ValueError, match=message):
        read_list(source, kind)


@pytest.mark.parametrize('content, message', [
    ('{', 'en_classnames.json: cannot be read as JSON .*Install clip-benchmark again'),
    ('[' * 100000, 'en_classnames.json: cannot be read as JSON'), ('[1]', "has no classnames of 'birds' in en")])
def test_a_package_that_is_damaged(package, content, message):
    (package / 'en_classnames.json').write_text(content)
    with pytest.raises(ValueError, match=message):
        read_list('clip-benchmark:birds', CLASSES)


@pytest.mark.parametrize('there', [True, False])
def test_without_the_package_the_error_says_what_to_install(tmp_path, monkeypatch, there):
    """Also of a folder of that name that is another thing."""
    if there:
        (tmp_path / 'clip_benchmark').mkdir()
    monkeypatch.setattr('sys.path', [str(tmp_path)])
    with pytest.raises(ImportError, match='pip install --no-deps clip-benchmark'):
        read_list('clip-benchmark:imagenet1k', CLASSES)
