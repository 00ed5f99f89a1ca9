"""Which classes a caption names: by whole words, in any number, in scripts with and without spaces."""
import pytest

from lbbt_mm.zero_shot.concepts import Concepts, concept_words, plurals
from lbbt_mm.zero_shot.wordnet import WordNet

CLASSES = ['dog', 'goose', 'kid']


@pytest.mark.parametrize('noun, expected', [('dog', 'dogs'), ('fox', 'foxes'), ('puppy', 'puppies'), ('key', 'keys'),
                                            ('bus', 'buses'), ('hot dog', 'hot dogs'), ('finch', 'finches')])
def test_regular_plurals(noun, expected):
    assert plurals(noun) == [expected]


def test_irregular_plurals_of_the_last_word(wordnet):
    assert plurals('snow goose', WordNet(wordnet)) == ['snow gooses', 'snow geese']


@pytest.mark.parametrize('caption, expected', [
    ('two DOGS run', {'dog'}), ('a hot-dog here', {'dog'}), ('Hot_Dogs', {'dog'}), ("the dog's", {'dog'}),
    ('dogged dogma', set()), ('a hotdog', set()), ('GEESE and kids', {'goose', 'kid'}), ('Children', {'kid'}),
    ('canis familiaris', {'dog'}), ('hot coal and dog', {'dog'}), ('', set())])
def test_a_caption_names_a_class_in_whole_words(wordnet, caption, expected):
    words, unknown = concept_words(CLASSES, WordNet(wordnet))
    assert set(Concepts(words).named(caption)) == expected and not unknown


def test_the_words_are_said(wordnet):
    words, _ = concept_words(CLASSES, WordNet(wordnet))
    assert Concepts(words).named('a dog, hot dogs') == {'dog': {'dog', 'dogs', 'hot dogs'}}


def test_names_that_wordnet_does_not_have_stand_for_themselves(wordnet):
    words, unknown = concept_words(['robot', 'puppy, pup'], WordNet(wordnet))
    assert unknown == ['robot'] and words['robot'] == {'robot', 'robots'}
    assert set(Concepts(words).named('robots and pups')) == {'robot', 'puppy, pup'}


def test_in_scripts_without_spaces_a_name_may_stand_anywhere():
    words, _ = concept_words(['狗', 'สุนัข'])
    found = Concepts(words)
    assert set(found.named('一只小狗在跑')) == {'狗'} and set(found.named('มีสุนัขสองตัว')) == {'สุนัข'}
    assert not found.named('一只猫')


def test_other_letters_are_words_too():
    words, _ = concept_words(['Füchse', 'كلب'])
    assert set(Concepts(words).named('zwei FÜCHSE')) == {'Füchse'} and set(Concepts(words).named('كلب يجري')) == {'كلب'}


def test_an_irregular_plural_is_there_once(wordnet):
    assert plurals('goose', WordNet(wordnet)) == ['gooses', 'geese']


@pytest.mark.parametrize('noun', ['', ' - ', '狗'])
def test_what_has_no_plural(noun):
    assert plurals(noun) == []


def test_other_words_for_a_class_have_plurals_too():
    words, unknown = concept_words(['dog', 'car'], dictionary=dict(dog=['Hound', 'puppy']))
    assert words == dict(dog={'dog', 'dogs', 'Hound', 'hounds', 'puppy', 'puppies'}, car={'car', 'cars'}) and not unknown


def test_of_two_phrases_that_begin_alike_each_counts():
    found = Concepts(dict(a=['hot dog', 'hot'], b=['hot dog stand'], none=['', ' - ']))
    assert found.named('a hot dog stand') == dict(a={'hot', 'hot dog'}, b={'hot dog stand'})
    assert found.named('a hot cat') == dict(a={'hot'}) and found.named('stand') == {}


def test_full_width_letters_and_dashes_are_as_others():
    assert set(Concepts(dict(a=['hot dog'])).named('ＨＯＴ–ｄｏｇ')) == {'a'}
