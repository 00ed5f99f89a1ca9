"""Captions that name classes, counted; other words for classes, read."""
import json

import pytest

from lbbt_mm.datasets.captions import CaptionSet
from lbbt_mm.zero_shot.separation import find_named, read_dictionary


def test_a_caption_counts_once_for_each_class_and_each_word_by_itself():
    captions = CaptionSet('x', ['a', 'b', 'c'], [['a dog and dogs', 'a cat'], ['dogs, cat'], ['none']], [None] * 3)
    found = find_named(captions, dict(dog={'dog', 'dogs'}, cat={'cat'}, cow={'cow'}))
    assert found.captions == {('a', 'a dog and dogs'), ('a', 'a cat'), ('b', 'dogs, cat')} and found.images == {'a', 'b'}
    assert found.counts == dict(dog=2, cat=2, cow=0)
    assert found.words == dict(dog=dict(dog=1, dogs=2), cat=dict(cat=2), cow={})


def test_the_same_caption_of_an_image_counts_as_often_as_it_is_there():
    found = find_named(CaptionSet('x', ['a'], [['a dog', 'a dog']], [None]), dict(dog={'dog'}))
    assert found.counts == dict(dog=2) and found.captions == {('a', 'a dog')}


@pytest.fixture
def write(tmp_path):
    def write(found):
        path = tmp_path / 'words.json'
        path.write_bytes(found if isinstance(found, bytes) else json.dumps(found).encode())
        return path
    return write


def test_words_of_some_of_the_classes(write):
    assert read_dictionary(write(dict(dog=['hound'], cat=[])), ['dog', 'cat', 'cow']) == dict(dog=['hound'], cat=[])
    assert read_dictionary(write(b'\xef\xbb\xbf{}'), ['dog']) == {}


@pytest.mark.parametrize('found, says', [
    (b'{', 'cannot be read as JSON'), (b'\xff\xff', 'cannot be read as JSON'), (b'[' * 100000, 'cannot be read as JSON'),
    ([], 'expected an object of JSON, class -> list of other words'), (dict(dog='hound'), 'expected an object of JSON'),
    (dict(dog=['hound', ' ']), 'none of them empty'), (dict(dog=[3]), 'none of them empty'),
    (dict(dog=[], cow=['ox']), "has the class 'cow', which is none of those of --classes .'dog', ....")])
def test_what_is_no_dictionary(write, found, says):
    with pytest.raises(ValueError, match=f'words.json: .*{says}'):
        read_dictionary(write(found), ['dog'])


def test_a_dictionary_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match='none.json: no such file; expected JSON, class -> list of other words'):
        read_dictionary(tmp_path / 'none.json', ['dog'])
