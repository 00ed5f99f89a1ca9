"""A WordNet of a few nouns, in the form of its dictionary files."""
from pathlib import Path

#: Words of each synset, and the numbers of those below it.
SYNSETS = [(('animal', ), (1, 3)), (('dog', 'domestic_dog', 'Canis_familiaris'), (2, )), (('puppy', 'pup'), ()),
           (('goose', ), ()), (('frank', 'dog', 'hot_dog'), ()), (('child', 'kid'), ())]


def write_wordnet(folder: Path) -> Path:
    """Write index.noun, data.noun and noun.exc."""
    folder.mkdir(parents=True, exist_ok=True)
    licence, sizes = '  1 This software and database is provided "as is".  \n', []
    for _ in range(2):  # places are as long as they will be: eight digits
        places = [len(licence) + sum(sizes[:number]) for number in range(len(SYNSETS))]
        lines = [_line(places[number] if sizes else 0, words, [places[below] if sizes else 0 for below in kinds])
                 for number, (words, kinds) in enumerate(SYNSETS)]
        sizes = list(map(len, lines))
    (folder / 'data.noun').write_text(licence + ''.join(lines))
    index = {}
    for place, (words, _) in zip(places, SYNSETS):
        for word in words:
            index.setdefault(word.lower(), []).append(place)
    rows = [f'{word} n {len(found)} 1 @ {len(found)} 0 {" ".join(f"{place:08d}" for place in found)}  \n'
            for word, found in sorted(index.items())]
    (folder / 'index.noun').write_text(licence + ''.join(rows))
    (folder / 'noun.exc').write_text('geese goose\nchildren child\n')
    return folder


def _line(place: int, words: tuple, below: list) -> str:
    listed = ' '.join(f'{word} 0' for word in words)
    pointers = ''.join(f' ~ {other:08d} n 0000' for other in below)
    return f'{place:08d} 05 n {len(words):02x} {listed} {len(below):03d}{pointers} | a gloss; "with | a line"  \n'
