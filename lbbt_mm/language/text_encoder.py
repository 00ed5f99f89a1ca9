"""One vector for each text from a frozen language model, by transformers' whole model.

"Better Language Models Exhibit Higher Visual Alignment" (arXiv 2410.07173), Sec. 3: of a decoder the last token, behind the
final norm. Texts are padded on the right, so that the positions of their tokens, and with them their features, do not depend
on what else is in a batch.
"""
import hashlib
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Tuple

import torch
from torch import Tensor

from lbbt_mm.argument_checks import check_choice
from .errors import CheckpointError
from .fingerprint import fingerprint
from .length_batches import batches_by_length
from .text_files import TextFiles, find_text_model
from .text_model import TextModel

#: How the tokens of a text become one vector; ``auto`` is the last of a decoder, the mean of an encoder.
POOLINGS = ('auto', 'last', 'mean', 'first')
DTYPES = dict(float32=torch.float32, bfloat16=torch.bfloat16)


class TextEncoder:
    """A frozen language model that makes features of texts.

    Args:
        location: A folder in Hugging Face format with safetensors, a GGUF file, or either on the hub; see
            :func:`~lbbt_mm.language.text_files.find_text_model`.
        layer: Which layer's output: -1 for what the whole model gives, behind its final norm (transformers'
            ``last_hidden_state``); else the number of a block, from 0 or, below -1, from the end: its output, in front of
            any final norm. Defaults to -1.
        pooling: ``last``: the last token (of a decoder, where it has seen all others); ``first``: the first one (of an
            encoder, its class token); ``mean``: the mean over tokens; ``auto``: ``last`` of a decoder, ``mean`` of an
            encoder. Defaults to ``last``.
        dtype: What the model computes in, ``float32`` or ``bfloat16``. Defaults to ``float32``.
        device: Where to compute. Defaults to ``cpu``.
        revision: Branch, tag or commit on the hub. Defaults to None, the default branch.

    Raises:
        CheckpointError: If the model cannot be loaded.
        ValueError: If it has no such layer, or the pooling does not suit it.
    """

    def __init__(self, location: str, layer: int = -1, pooling: str = 'last', dtype: str = 'float32', device: str = 'cpu',
                 revision: Optional[str] = None) -> None:
        check_choice(f'{location}: pooling', pooling, POOLINGS)
        check_choice(f'{location}: dtype', dtype, DTYPES)
        files = find_text_model(location, revision)
        self._model = TextModel(files, device, DTYPES[dtype])
        self._layer = _check_layer(location, layer, self._model.num_blocks)
        #: Whether a token sees none behind it, as in a decoder.
        self.is_causal = self._model.is_causal
        self._pooling = _check_pooling(location, pooling, self.is_causal)
        self._facts = dict(model=_name(files), revision=_revision(files), layer=self._layer, pooling=self._pooling,
                           dtype=dtype)
        #: How wide features are.
        self.width = self._model.states([[1]], self._layer)[0].shape[-1]

    @property
    def num_parameters(self) -> int:
        """Parameters of the model, without a head."""
        return self._model.num_parameters

    @property
    def identity(self) -> Dict[str, Any]:
        """What features depend on beside the texts: ``model``, ``revision``, ``layer``, ``pooling`` and ``dtype``."""
        return dict(self._facts)

    def tokens(self, texts: List[str]) -> List[List[int]]:
        """Tokens of texts; of one that is longer than the model has positions, the first ones.

        Args:
            texts: The texts.

        Raises:
            ValueError: If one is empty.
            CheckpointError: If one has no tokens.
        """
        empty = next((index for index, text in enumerate(texts) if not text.strip()), None)
        if empty is not None:
            raise ValueError(f'text {empty} of {len(texts)} is empty; expected words in each. Leave it out, or correct it.')
        return self._model.encode(texts) if texts else []

    def features(self, texts: List[str], batch_tokens: int = 4096,
                 track: Callable[[Iterable[Any]], Iterable[Any]] = lambda batches: batches) -> Tensor:
        """Features of texts.

        Args:
            texts: The texts.
            batch_tokens: As for :meth:`batches`. Defaults to 4096.
            track: Shows progress over the batches. Defaults to none.

        Returns:
            Tensor: ``(N, C)``, float32, on the CPU.

        Raises:
            ValueError: If a text is empty.
            CheckpointError: If features are not finite, or a text has no tokens.
        """
        features = torch.empty(len(texts), self.width)
        for indices, found in track(self.batches(texts, batch_tokens)):
            features[indices] = found
        return features

    def batches(self, texts: List[str], batch_tokens: int = 4096) -> Iterator[Tuple[List[int], Tensor]]:
        """Features of texts, batch by batch; texts of about one length are read together.

        Args:
            texts: The texts.
            batch_tokens: Tokens at once, padding among them. Defaults to 4096.

        Yields:
            tuple: Indices of a batch's texts, and their features ``(B, C)``, float32, on the CPU.

        Raises:
            ValueError: If a text is empty.
            CheckpointError: If features are not finite, or a text has no tokens.
        """
        tokens = self.tokens(texts)
        for indices in batches_by_length(list(map(len, tokens)), batch_tokens):
            with torch.inference_mode():
                features = self._pool(*self._model.states([tokens[index] for index in indices], self._layer)).cpu()
            wrong = (~torch.isfinite(features).all(1)).nonzero()
            if len(wrong):
                text = texts[indices[int(wrong[0])]]
                raise CheckpointError(f'{self._facts["model"]}: the features of the text {text!r:.80} are not finite. The '
                                      f'file is damaged, or {self._facts["dtype"]} is too narrow; use another.')
            yield indices, features

    def _pool(self, states: Tensor, mask: Tensor) -> Tensor:
        """One vector each, ``(B, C)``, of tokens ``(B, N, C)`` and whether they are a text's ``(B, N)``."""
        if self._pooling == 'first':
            return states[:, 0].float()
        lengths = mask.sum(1)
        if self._pooling == 'last':
            return states[torch.arange(len(states), device=states.device), lengths - 1].float()
        return (states.float() * mask[..., None]).sum(1) / lengths[:, None]


def text_identity(location: str, layer: int = -1, pooling: str = 'last', dtype: str = 'float32', device: str = 'cpu',
                  revision: Optional[str] = None) -> Dict[str, Any]:
    """What features depend on, of a model that is found and not loaded; settings are as they are written.

    Args:
        location: As for :class:`TextEncoder`.
        layer: As there.
        pooling: As there.
        dtype: As there.
        device: As there.
        revision: As there.

    Raises:
        CheckpointError: If there is no such model.
    """
    files = find_text_model(location, revision)
    return dict(model=_name(files), revision=_revision(files), layer=layer, pooling=pooling, dtype=dtype)


def _check_layer(location: str, layer: int, blocks: int) -> int:
    if not isinstance(layer, int) or not -blocks <= layer < blocks:
        raise ValueError(f'{location}: layer {layer!r:.20}; expected the number of one of its {blocks} blocks, 0 to '
                         f'{blocks - 1}, or -1 for what the whole model gives')
    return layer if layer >= -1 else layer + blocks


def _check_pooling(location: str, pooling: str, causal: bool) -> str:
    if pooling == 'first' and causal:
        raise ValueError(f'{location}: is a decoder, whose first token has seen no other; expected pooling last or mean.')
    if pooling == 'last' and not causal:
        raise ValueError(f'{location}: is an encoder, whose last token stands for nothing; expected pooling first or mean.')
    return pooling if pooling != 'auto' else 'last' if causal else 'mean'


def _name(files: TextFiles) -> str:
    """What the model is called wherever its files are."""
    path = Path(files.location).expanduser()
    return path.resolve().name if path.exists() else files.location


def _revision(files: TextFiles) -> str:
    """The commit of a model from the hub, or a checksum of files."""
    commit = next((path.parents[place - 1].name for path in files.paths[:1] for place, parent in enumerate(path.parents)
                   if place and parent.name == 'snapshots'), '')
    if len(commit) == 40:
        return commit
    found = [(path.name if len(files.paths) > 1 else '', fingerprint(path)) for path in files.paths]
    return hashlib.sha256(repr(sorted(found)).encode()).hexdigest()[:16]
