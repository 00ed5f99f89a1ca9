"""Random features of texts, which know nothing of language: what is reached with them owes nothing to a language model."""
import re
from typing import Any, Dict, Iterator, List, Tuple

import torch
from torch import Tensor

from lbbt_mm.argument_checks import check_choice
from lbbt_mm.random_state import derive_seed

#: What has a vector of its own.
UNITS = ('text', 'word')
_WORD = re.compile(r'\w+')


class RandomTexts:
    """Makes features as :class:`lbbt_mm.language.text_encoder.TextEncoder` does, out of random vectors.

    Each number has mean 0 and variance 1. The same seed gives the same features in every process.

    Args:
        width: How wide they are.
        seed: Of the vectors. Defaults to 0.
        unit: ``text``: each distinct text has a vector of its own, so that texts are equal or nothing alike; ``word``: each
            distinct word has one, small and large letters alike, and a text the sum of them over the root of their number:
            texts are alike as far as they have words in common. Defaults to ``text``.

    Raises:
        ValueError: If there is no such unit.
    """

    is_causal = False

    def __init__(self, width: int, seed: int = 0, unit: str = 'text') -> None:
        check_choice('random texts: unit', unit, UNITS)
        self.width, self._seed, self._unit = width, seed, unit
        self._known: Dict[str, Tensor] = {}

    @property
    def identity(self) -> Dict[str, Any]:
        """What features depend on beside the texts: ``model``, ``revision``, ``layer``, ``pooling`` and ``dtype``."""
        return dict(model=f'random {self._unit}s', revision=f'seed {self._seed}', layer=-1, pooling=self._unit,
                    dtype='float32')

    def features(self, texts: List[str]) -> Tensor:
        """Features of texts.

        Args:
            texts: The texts.

        Returns:
            Tensor: ``(N, C)``, float32.

        Raises:
            ValueError: If one has no words.
        """
        return torch.stack([self._of_text(text) for text in texts]) if texts else torch.empty(0, self.width)

    def batches(self, texts: List[str], batch_tokens: int = 4096) -> Iterator[Tuple[List[int], Tensor]]:
        """Features of texts, all at once.

        Args:
            texts: The texts.
            batch_tokens: Not used.

        Yields:
            tuple: Indices of the texts, and their features ``(N, C)``.

        Raises:
            ValueError: If one has no words.
        """
        yield list(range(len(texts))), self.features(texts)

    def _of_text(self, text: str) -> Tensor:
        if not text.strip():
            raise ValueError('random texts: a text is empty; expected words in each. Leave it out.')
        if self._unit == 'text':
            return self._vector(text)
        words = _WORD.findall(text.lower()) or [text]
        return torch.stack([self._vector(word) for word in words]).sum(0) / len(words)**0.5

    def _vector(self, name: str) -> Tensor:
        if name not in self._known:
            seed = derive_seed(repr(('RandomTexts', self._unit, self._seed, name)), bits=63)
            generator = torch.Generator().manual_seed(seed)
            self._known[name] = torch.randn(self.width, generator=generator)
        return self._known[name]
