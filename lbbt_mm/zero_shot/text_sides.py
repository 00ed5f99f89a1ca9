"""What texts are to each model that is compared: stores of features of captions and prompts, made where they are absent."""
import argparse
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import torch
from torch import Tensor

from lbbt_mm.figures.parts import Parts, digest, stamp
from lbbt_mm.figures.progress import track
from lbbt_mm.files.feature_store import FeatureStore, FeatureWriter
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

    @cached_property
    def encoder(self) -> TextEncoder:
        """The model, loaded."""
        args = self._args
        return TextEncoder(self._location, args.layer, args.pooling, args.dtype, args.device)

    @property
    def facts(self) -> Dict[str, Any]:
        """``identity``, ``width``, ``causal`` and ``parameters``."""
        args = self._args
        question = ['model', self._files, args.layer, args.pooling, args.dtype]
        return self._parts.get(digest(question), lambda: dict(
            identity=self.encoder.identity, width=self.encoder.width, causal=self.encoder.is_causal,
            parameters=self.encoder.num_parameters))

    def side(self, folder: Path, texts: Texts) -> TextSide:
        """Its features of texts; what is there is kept.

        Args:
            folder: Where they are.
            texts: What is encoded.
        """
        found = make_side(self.label, folder, texts, self.facts, lambda: self.encoder, self._args.batch_tokens)
        self.__dict__.pop('encoder', None)  # the next model needs the memory
        return found

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


def random_side(unit: str, seed: int, width: int, folder: Path, texts: Texts) -> TextSide:
    """Random features of texts.

    Args:
        unit: What has a vector of its own, see :class:`~lbbt_mm.language.random_texts.RandomTexts`.
        seed: Of the vectors.
        width: Of the features.
        folder: Where the stores are.
        texts: What is encoded.
    """
    encoder = RandomTexts(width, seed, unit)
    facts = dict(identity=encoder.identity, width=width)
    return make_side(encoder.identity['model'], folder, texts._replace(probe=()), facts, lambda: encoder)


def make_side(label: str, folder: Path, texts: Texts, facts: Dict[str, Any], encoder: Callable[[], Any],
              batch_tokens: int = 4096) -> TextSide:
    """Make the stores of a model that are not there.

    Args:
        label: What tables call it.
        folder: Where they are.
        texts: What is encoded.
        facts: ``identity`` and ``width``.
        encoder: Gives the model; called only where something is missing.
        batch_tokens: Tokens at once. Defaults to 4096.

    Raises:
        ValueError: If a store there is of other texts, or of another model.
    """

    def make(name: str, pairs: Pairs, several: bool = True) -> FeatureStore:
        index = text_index(facts['identity'], facts['width'], pairs)
        place = folder / (f'{name}-{index.inputs[:12]}' if several else name)
        writer = FeatureWriter(place, index, [key for key, _ in pairs])
        if writer.missing:
            numbers = writer.missing
            done = encode_texts(writer, index, [text for _, text in pairs], encoder(), batch_tokens, numbers)
            each = (None for batch in done for _ in range(batch))
            for _ in track(each, f'{name} for {label}', sum(len(index.shard_range(number)) for number in numbers)):
                pass
        writer.finish()
        return FeatureStore.open(place)

    # trainings are on one set of captions; tasks, and with them prompts, may be others in the next call
    return TextSide(label, make('captions', texts.captions, False), make('prompts', texts.prompts),
                    make('probe', texts.probe) if texts.probe else None)
