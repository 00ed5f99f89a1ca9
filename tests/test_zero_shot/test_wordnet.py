"""WordNet's nouns, from its dictionary files."""
import pytest

from lbbt_mm.zero_shot.wordnet import WordNet


def test_synonyms_of_all_meanings_or_of_the_first(wordnet):
    found = WordNet(wordnet)
    assert found.synonyms('dog') == {'dog', 'domestic dog', 'canis familiaris', 'frank', 'hot dog'}
    assert found.synonyms('dog', senses=1) == {'dog', 'domestic dog', 'canis familiaris'}
    assert found.synonyms('dog', senses=1, kinds=True) == {'dog', 'domestic dog', 'canis familiaris', 'puppy', 'pup'}
    assert {'goose', 'pup', 'animal'} <= found.synonyms('animal', kinds=True)


@pytest.mark.parametrize('noun, expected', [('dogs', 'dog'), ('puppies', 'puppy'), ('geese', 'goose'),
                                            ('hot dogs', 'hot dog'), ('dog', 'dog'), ('cats', None), ('', None)])
def test_plurals_are_found_by_their_singular(wordnet, noun, expected):
    assert WordNet(wordnet).singular(noun) == expected


def test_a_dictionary_that_is_absent_or_damaged(wordnet, tmp_path):
    with pytest.raises(FileNotFoundError, match='index.noun does not exist.*apt-get install wordnet-base'):
        WordNet(tmp_path / 'none')
    (wordnet / 'data.noun').write_bytes((wordnet / 'data.noun').read_bytes()[20:])
    with pytest.raises(ValueError, match='has no synset at byte .* Install the dictionary again'):
        WordNet(wordnet).synonyms('dog')
    (wordnet / 'index.noun').write_text('nonsense\n')
    with pytest.raises(ValueError, match="line 1: 'nonsense' is no line of a WordNet index"):
        WordNet(wordnet)


def test_irregular_plurals(wordnet):
    (wordnet / 'noun.exc').write_text('geese goose\nmongeese mongoose goose\n\npolar_bearen polar_bear\n')
    found = WordNet(wordnet)
    assert found.plurals('goose') == ['geese', 'mongeese'] and found.plurals('polar bear') == ['polar bearen']
    assert found.plurals('dog') == [] and found.singular('mongeese') == 'goose'


def test_kinds_of_kinds_and_none_twice(wordnet):
    """Also where a synset is below itself, as in a damaged dictionary."""
    found = WordNet(wordnet)
    below = found.synonyms('animal', kinds=True)
    assert below == {'animal', 'dog', 'domestic dog', 'canis familiaris', 'puppy', 'pup', 'goose'}
    content = (wordnet / 'data.noun').read_bytes()
    puppy = content.index(b'puppy') - 17
    place, own = content.index(b' 000 | ', puppy), f' 001 ~ {puppy:08d} n 0000 | '.encode()
    (wordnet / 'data.noun').write_bytes(content[:place] + own + content[place + 7:])
    assert WordNet(wordnet).synonyms('puppy', kinds=True) == {'puppy', 'pup'}


def test_a_noun_that_it_does_not_have(wordnet):
    with pytest.raises(KeyError, match='cat'):
        WordNet(wordnet).synonyms('cat')


@pytest.mark.parametrize('line', ['dog n 0 1 @ 0 0', 'dog n x 1 @ 2 0 1 2', 'dog', 'dog n 1 1 @ 1 0 x'])
def test_lines_of_an_index_that_name_no_place(wordnet, line):
    (wordnet / 'index.noun').write_text(f'  1 licence\n{line}\n')
    with pytest.raises(ValueError, match=f"line 2: '{line}' is no line of a WordNet index"):
        WordNet(wordnet)
