"""Nouns of WordNet: synonyms, kinds and irregular plurals, from its dictionary files (Debian's wordnet-base; wndb(5))."""
from functools import cached_property
from pathlib import Path
from typing import Dict, FrozenSet, Iterator, List, Optional, Set

DEBIAN = Path('/usr/share/wordnet')
#: Pointers of a synset to its kinds, and to its instances.
_KINDS = ('~', '~i')
#: Endings of plurals, and what stands there in the singular (morphy(7WN)).
_ENDINGS = (('ies', 'y'), ('ches', 'ch'), ('shes', 'sh'), ('ses', 's'), ('xes', 'x'), ('zes', 'z'), ('men', 'man'),
            ('s', ''))


class WordNet:
    """The nouns of a WordNet dictionary.

    Args:
        folder: Where ``index.noun``, ``data.noun`` and ``noun.exc`` are. Defaults to that of Debian's package.

    Raises:
        FileNotFoundError: If they are not there.
        ValueError: If they are not of WordNet's form.
    """

    def __init__(self, folder: Path = DEBIAN) -> None:
        self._folder = Path(folder)
        names = 'index.noun', 'data.noun', 'noun.exc'
        absent = next((name for name in names if not (self._folder / name).is_file()), None)
        if absent:
            raise FileNotFoundError(f'{self._folder / absent} does not exist; expected a dictionary of WordNet. Install it '
                                    '(apt-get install wordnet-base), say where it is by --wordnet, or give --dictionary.')
        self._senses: Dict[str, List[int]] = dict(self._read_index())
        self._data = (self._folder / 'data.noun').read_bytes()

    def singular(self, noun: str) -> Optional[str]:
        """The form that WordNet has of a noun in the singular or the plural; None where it has none.

        Args:
            noun: In small letters, with spaces between words.
        """
        tries = [noun, *self._irregular.get(noun, ()),
                 *(noun[:-len(end)] + single for end, single in _ENDINGS if noun.endswith(end))]
        return next((found for found in tries if found in self._senses), None)

    def plurals(self, noun: str) -> List[str]:
        """Irregular plurals of a noun.

        Args:
            noun: In the singular.
        """
        return self._plurals.get(noun, [])

    def synonyms(self, noun: str, senses: Optional[int] = None, kinds: bool = False) -> FrozenSet[str]:
        """Nouns that share a meaning with one, itself among them.

        Args:
            noun: As WordNet has it, in the singular.
            senses: How many meanings count, the most frequent first. Defaults to None, all.
            kinds: Whether the words for its kinds count too: of a dog, puppy and poodle. Defaults to False.

        Raises:
            ValueError: If the dictionary is damaged.
        """
        found: Set[str] = set()
        seen: Set[int] = set()
        waiting = list(self._senses[noun][:senses])
        while waiting:
            offset = waiting.pop()
            if offset not in seen:
                seen.add(offset)
                words, below = self._synset(offset)
                found.update(words)
                waiting += below if kinds else []
        return frozenset(found)

    def _synset(self, offset: int) -> tuple:
        """Words of a synset, and the places of those below it."""
        line = self._data[offset:self._data.find(b'\n', offset)].decode('utf-8', 'replace')
        fields = line.split(' | ')[0].split()
        try:
            if int(fields[0]) != offset:
                raise ValueError(line)
            count = int(fields[3], 16)
            words = [word.replace('_', ' ').lower() for word in fields[4:4 + 2 * count:2]]
            pointers = fields[5 + 2 * count:]
            below = [int(place) for symbol, place, part in zip(pointers[::4], pointers[1::4], pointers[2::4])
                     if symbol in _KINDS and part == 'n']
        except (IndexError, ValueError):
            raise ValueError(f'{self._folder / "data.noun"}: has no synset at byte {offset}, where index.noun says one is. '
                             'Install the dictionary again.') from None
        return words, below

    def _read_index(self) -> Iterator[tuple]:
        path = self._folder / 'index.noun'
        for number, line in enumerate(path.read_text(encoding='utf-8', errors='replace').splitlines(), 1):
            if line and not line.startswith(' '):  # the licence
                fields = line.split()
                try:
                    count = int(fields[2])
                    offsets = [int(field) for field in fields[-count:]]
                except (IndexError, ValueError):
                    raise ValueError(f'{path}, line {number}: {line[:60]!r} is no line of a WordNet index. Install the '
                                     'dictionary again.') from None
                yield fields[0].replace('_', ' '), offsets

    @cached_property
    def _irregular(self) -> Dict[str, List[str]]:
        lines = (self._folder / 'noun.exc').read_text(encoding='utf-8', errors='replace').splitlines()
        return {plural.replace('_', ' '): [single.replace('_', ' ') for single in singles]
                for plural, *singles in map(str.split, filter(None, lines))}

    @cached_property
    def _plurals(self) -> Dict[str, List[str]]:
        found: Dict[str, List[str]] = {}
        for plural, singles in self._irregular.items():
            for single in singles:
                found.setdefault(single, []).append(plural)
        return found
