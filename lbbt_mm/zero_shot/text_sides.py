"""What texts are to each model that is compared: stores of features of captions and prompts, planned first and then made."""
import argparse
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import torch
from torch import Tensor

from lbbt_mm.figures.parts import Parts, digest, stamp
from lbbt_mm.figures.progress import track
from lbbt_mm.files.feature_store import FeatureIndex, FeatureStore, FeatureWriter
from lbbt_mm.language.language_loss import LanguageLoss, language_loss
from lbbt_mm.language.random_texts import RandomTexts
from lbbt_mm.language.text_encoder import DTYPES, TextEncoder
from lbbt_mm.language.text_files import find_text_model
from .precompute_texts import encode_texts, text_index

#: Rows of a kind of texts: key and text.
Pairs = Sequence[Tuple[str, str]]


class TextSide(NamedTuple):
    """Features of texts by one model.

    Attributes:
        label: What tables call the model.
        captions: Store of the training images' captions.
        prompts: Store of all tasks' prompts; a key is the prompt itself.
        probe: Store of the test images' captions, where there are any.
    """
    label: str
    captions: FeatureStore
    prompts: FeatureStore
    probe: Optional[FeatureStore] = None

    def prompt_features(self, prompts: Sequence[str]) -> Tensor:
        """Features of prompts ``(P, C)``.

        Args:
            prompts: Some of those in the store.
        """
        rows = {key: row for row, key in enumerate(self.prompts.keys)}
        return self.prompts.rows(torch.tensor([rows[prompt] for prompt in prompts]))


class Texts(NamedTuple):
    """What is encoded: captions of training images, prompts of classes, captions of test images."""
    captions: Pairs
    prompts: Pairs
    probe: Pairs = ()


class PlannedStore(NamedTuple):
    """A store of features of texts, whether or not it is there.

    Attributes:
        folder: Where it is.
        index: What it holds.
        pairs: The texts.
    """
    folder: Path
    index: FeatureIndex
    pairs: Pairs

    def writer(self) -> FeatureWriter:
        """What writes the store.

        Raises:
            ValueError: If the folder holds other features or other files.
        """
        return FeatureWriter(self.folder, self.index, [key for key, _ in self.pairs])

    def make(self, encoder: Callable[[], Any], batch_tokens: int, what: str) -> FeatureStore:
        """Open the store; what is missing of it is made.

        Args:
            encoder: Gives the model; called only where something is missing.
            batch_tokens: Tokens at once.
            what: What the progress bar is called.
        """
        writer = self.writer()
        if writer.missing:
            numbers = writer.missing
            done = encode_texts(writer, self.index, [text for _, text in self.pairs], encoder(), batch_tokens, numbers)
            each = (None for batch in done for _ in range(batch))
            for _ in track(each, what, sum(len(self.index.shard_range(number)) for number in numbers)):
                pass
        writer.finish()
        return FeatureStore.open(self.folder)


class PlannedSide:
    """Features of texts by one model before they are made: which stores they are, and what these hold.

    Args:
        label: What tables call the model.
        folder: Where the stores are.
        texts: What is encoded.
        facts: ``identity`` and ``width``.
        encoder: Gives the model; called only where something is missing.
        batch_tokens: Tokens at once. Defaults to 4096.

    Raises:
        ValueError: If a store there is of other texts, or of another model.
    """

    def __init__(self, label: str, folder: Path, texts: Texts, facts: Dict[str, Any], encoder: Callable[[], Any],
                 batch_tokens: int = 4096) -> None:
        self.label, self._encoder, self._batch_tokens = label, encoder, batch_tokens
        self._stores: Dict[str, PlannedStore] = {}
        for name, pairs in texts._asdict().items():
            if pairs:
                index = text_index(facts['identity'], facts['width'], pairs)
                # trainings are on one set of captions; tasks, and with them prompts, may be others in the next call
                place = name if name == 'captions' else f'{name}-{index.inputs[:12]}'
                self._stores[name] = PlannedStore(folder / place, index, pairs)
                self._stores[name].writer()  # refuses what else is there

    @property
    def captions(self) -> PlannedStore:
        """Store of the training images' captions."""
        return self._stores['captions']

    def make(self) -> TextSide:
        """Make what is missing; the model is loaded once at most, and given up again."""
        encoder = lru_cache(maxsize=None)(self._encoder)
        return TextSide(self.label, **{name: store.make(encoder, self._batch_tokens, f'{name} for {self.label}')
                                       for name, store in self._stores.items()})


class LanguageModel:
    """A language model of the comparison; it is loaded only where something is not done yet.

    Args:
        label: What tables call it.
        location: Folder, GGUF file or hub id.
        args: The command line.
        parts: What is known of models is kept there.
    """

    def __init__(self, label: str, location: str, args: argparse.Namespace, parts: Parts) -> None:
        self.label, self._location, self._args, self._parts = label, location, args, parts
        self._files = list(map(stamp, find_text_model(location).paths))

    def open(self) -> TextEncoder:
        """Load the model."""
        args = self._args
        return TextEncoder(self._location, args.layer, args.pooling, args.dtype, args.device)

    @property
    def facts(self) -> Dict[str, Any]:
        """``identity``, ``width``, ``causal`` and ``parameters``."""
        args = self._args

        def read() -> Dict[str, Any]:
            encoder = self.open()
            return dict(identity=encoder.identity, width=encoder.width, causal=encoder.is_causal,
                        parameters=encoder.num_parameters)

        return self._parts.get(digest(['model', self._files, args.layer, args.pooling, args.dtype]), read)

    def side(self, folder: Path, texts: Texts) -> PlannedSide:
        """Its features of texts, to be made; of the model only :attr:`facts` are asked for.

        Args:
            folder: Where they are.
            texts: What is encoded.
        """
        return PlannedSide(self.label, folder, texts, self.facts, self.open, self._args.batch_tokens)

    def loss(self, path: Path) -> Optional[LanguageLoss]:
        """Bits per byte of a text; None of an encoder.

        Args:
            path: File of the text.

        Raises:
            ValueError: If it is no text.
        """
        args = self._args
        try:
            text = path.read_text(encoding='utf-8-sig')
        except UnicodeDecodeError:
            raise ValueError(f'{path}: is no text in UTF-8. Convert it.') from None

        def compute() -> Optional[List[Any]]:
            found = language_loss(self._location, text, args.context, args.device, DTYPES[args.dtype],
                                  track=partial(track, what=f'{path.name} for {self.label}'))
            return None if found is None else list(found)

        found = self._parts.get(digest(['loss', self._files, text, args.context, args.dtype]), compute)
        return None if found is None else LanguageLoss(*found)


def random_side(unit: str, seed: int, width: int, folder: Path, texts: Texts) -> PlannedSide:
    """Random features of texts, to be made.

    Args:
        unit: What has a vector of its own, see :class:`~lbbt_mm.language.random_texts.RandomTexts`.
        seed: Of the vectors.
        width: Of the features.
        folder: Where the stores are.
        texts: What is encoded.
    """
    encoder = RandomTexts(width, seed, unit)
    facts = dict(identity=encoder.identity, width=width)
    return PlannedSide(encoder.identity['model'], folder, texts._replace(probe=()), facts, lambda: encoder)
