"""Which classes a caption names: by their names, by other words for them, and by the plurals of these."""
import re
import unicodedata
from typing import Dict, Iterable, List, Mapping, Optional, Set, Tuple

from .wordnet import WordNet

_WORD = re.compile(r'\w+')
#: Scripts that write no spaces between words: kana, Chinese characters, Thai, Lao, Burmese, Khmer.
_UNSPACED = re.compile('[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]')
Words = Tuple[str, ...]


class Concepts:
    """Words for classes, and the captions in which they stand.

    Args:
        words: Class -> words for it, one or several to a phrase, in any number and case.
    """

    def __init__(self, words: Mapping[str, Iterable[str]]) -> None:
        self._by_first: Dict[str, List[Tuple[Words, str]]] = {}
        self._parts: List[Tuple[str, str]] = []
        for name, phrases in words.items():
            for phrase in sorted(set(phrases)):
                if _UNSPACED.search(phrase):
                    self._parts.append((_plain(phrase), name))
                elif _tokens(phrase):
                    found = _tokens(phrase)
                    self._by_first.setdefault(found[0], []).append((found, name))

    def named(self, caption: str) -> Dict[str, Set[str]]:
        """The classes that a caption names, each with the words by which it does.

        Args:
            caption: The caption.
        """
        found: Dict[str, Set[str]] = {}
        tokens = _tokens(caption)
        for place, token in enumerate(tokens):
            for words, name in self._by_first.get(token, ()):
                if tokens[place:place + len(words)] == words:
                    found.setdefault(name, set()).add(' '.join(words))
        text = _plain(caption) if self._parts else ''
        for part, name in self._parts:
            if part in text:
                found.setdefault(name, set()).add(part)
        return found


def concept_words(names: Iterable[str],
                  wordnet: Optional[WordNet] = None,
                  dictionary: Optional[Mapping[str, List[str]]] = None,
                  senses: Optional[int] = None,
                  kinds: bool = False) -> Tuple[Dict[str, Set[str]], List[str]]:
    """Words for classes.

    Args:
        names: Names of the classes; of ``'tench, Tinca tinca'`` either.
        wordnet: Where to look up synonyms. Defaults to None, nowhere.
        dictionary: Class -> other words for it. Defaults to None.
        senses: See :meth:`WordNet.synonyms`. Defaults to None, all.
        kinds: Likewise. Defaults to False.

    Returns:
        tuple: Class -> words for it with their plurals, and the classes that WordNet does not have.
    """
    found: Dict[str, Set[str]] = {}
    unknown = []
    for name in names:
        own = [part.strip() for part in name.split(',') if part.strip()]
        words = {*own, *(dictionary or {}).get(name, ())}
        nouns = [wordnet.singular(' '.join(_plain(part).split())) for part in own] if wordnet else []
        for noun in filter(None, nouns):
            words |= {noun, *wordnet.synonyms(noun, senses, kinds)}
        if wordnet and not any(nouns):
            unknown.append(name)
        found[name] = words | {plural for word in words for plural in plurals(word, wordnet)}
    return found, unknown


def plurals(noun: str, wordnet: Optional[WordNet] = None) -> List[str]:
    """English plurals that a noun may have: the regular one, and irregular ones that WordNet knows.

    Args:
        noun: In the singular; of several words the last one changes.
        wordnet: Where irregular ones are looked up. Defaults to None, nowhere.
    """
    plain = ' '.join(_plain(noun).split())
    if not plain or _UNSPACED.search(plain):
        return []
    front, _, last = plain.rpartition(' ')
    irregular = [*wordnet.plurals(plain), *(f'{front} {word}'.strip() for word in wordnet.plurals(last))] if wordnet else []
    if re.search('[^aeiou]y$', plain):
        regular = f'{plain[:-1]}ies'
    else:
        regular = plain + ('es' if re.search('(s|x|z|ch|sh)$', plain) else 's')
    return list(dict.fromkeys([regular, *irregular]))


def _plain(text: str) -> str:
    """Small letters; hyphens and underscores between words are spaces."""
    return re.sub(r'[-_\u2010-\u2015]', ' ', unicodedata.normalize('NFKC', text).casefold())


def _tokens(text: str) -> Words:
    return tuple(_WORD.findall(_plain(text)))
