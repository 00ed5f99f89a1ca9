"""A whole language model that reads texts: what each of its blocks gives, the mean over the tokens of a text.

The model is transformers' own, see :mod:`.text_loading`.
"""
import logging
import math
from functools import cached_property
from typing import Any, Callable, Iterable, List, Tuple

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from .errors import CheckpointError
from .text_files import TextFiles
from .text_loading import load_folder, load_gguf, load_tokenizer, quiet_transformers


class TextModel:
    """A language model and its tokenizer.

    Args:
        files: Where they are.
        device: Where to compute. Defaults to ``cpu``.
        dtype: What to compute in. Defaults to float32.

    Raises:
        CheckpointError: If model or tokenizer cannot be loaded, or do not fit together.
    """

    def __init__(self, files: TextFiles, device: str = 'cpu', dtype: torch.dtype = torch.float32) -> None:
        self.location, self._device = files.location, device
        with quiet_transformers(files.location):
            self._tokenizer, self._special = load_tokenizer(files)
            self._model = (load_gguf(files) if files.gguf else load_folder(files, dtype)).eval().to(device, dtype)
        self._blocks = _find_blocks(self._model, files.location)
        #: Parameters, without a language model's head.
        self.num_parameters = sum(parameter.numel() for parameter in self._model.parameters())
        self.num_blocks = len(self._blocks)

    @cached_property
    def is_causal(self) -> bool:
        """Whether a token sees none behind it, as in a decoder: tried out, since configs do not say it."""
        size = self._model.get_input_embeddings().weight.shape[0]
        # not in one batch, where half precision may round the rows of a product in different ways
        first = torch.stack([self.states([[1, other % size]], -1)[0][0, 0] for other in (2, 3, size // 2, size - 1)]).float()
        return bool(torch.allclose(first, first[:1].expand_as(first), rtol=1e-4, atol=1e-6))

    def encode(self, texts: List[str]) -> List[List[int]]:
        """Tokens of texts, without padding; longer ones are cut at what the model has positions for, and a note says so.

        Args:
            texts: The texts.

        Raises:
            CheckpointError: If a text has no tokens, or the model has no such token.
        """
        # a tokenizer knows of positions that an encoder keeps for other ends, and has a huge number where it knows of none
        longest = min(getattr(self._model.config, 'max_position_embeddings', None) or math.inf,
                      self._tokenizer.model_max_length)
        cut = dict(truncation=True, max_length=longest) if longest < 2**31 else {}
        tokens = self._tokenizer(texts, add_special_tokens=self._special, **cut)['input_ids']
        empty = next((text for text, found in zip(texts, tokens) if not found), None)
        if empty is not None:
            raise CheckpointError(f'{self.location}: its tokenizer makes no token of the text {empty!r:.80}. Correct the '
                                  'text.')
        at_most = [text for text, found in zip(texts, tokens) if len(found) == longest]
        whole = self._tokenizer(at_most, add_special_tokens=self._special)['input_ids'] if at_most else []
        cut_texts = [text for text, found in zip(at_most, whole) if len(found) > longest]
        if cut_texts:
            print_log(f'{self.location}: {len(cut_texts):,} of {len(texts):,} texts are longer than the {longest:,} tokens '
                      f'that the model reads, and are cut there; the first is {cut_texts[0]!r:.60}.', 'current',
                      logging.WARNING)
        size, largest = self._model.get_input_embeddings().weight.shape[0], max(map(max, tokens))
        if largest >= size:
            raise CheckpointError(f'{self.location}: its tokenizer gives token {largest}, and the model has {size}. They '
                                  'belong to different models; fetch both again.')
        return tokens

    def first_token(self, tokens: List[List[int]]) -> str:
        """The special token that stands in front of all texts and counts among their tokens; empty where there is none.

        Args:
            tokens: What :meth:`encode` returns.
        """
        first = {found[0] for found in tokens}
        if len(first) == 1 and first <= set(self._tokenizer.all_special_ids):
            return self._tokenizer.convert_ids_to_tokens(first.pop())
        return ''

    @torch.no_grad()
    def read(self, tokens: List[List[int]], batch_size: int = 32, last: str = 'output',
             track: Callable[[Iterable[Any]], Iterable[Any]] = lambda batches: batches) -> Tensor:
        """Features of texts: of each block the mean of its output over the tokens; padding does not count.

        Texts of about one length are read together, padded on the right.

        Args:
            tokens: What :meth:`encode` returns.
            batch_size: Texts at once. Defaults to 32.
            last: ``output``: of the last block as of the others; ``normed``: behind the final norm, as transformers gives
                its hidden states. Defaults to ``output``.
            track: Shows progress over the batches. Defaults to none.

        Returns:
            Tensor: ``(blocks, N, C)``, float32, on the CPU.

        Raises:
            CheckpointError: If features are not finite.
        """
        order = sorted(range(len(tokens)), key=lambda index: len(tokens[index]))
        batches = [order[first:first + batch_size] for first in range(0, len(order), batch_size)]
        features = None
        for batch in track(batches):
            means = self._means([tokens[index] for index in batch], last)
            features = means.new_empty(len(means), len(tokens), means.shape[-1]) if features is None else features
            features[:, batch] = means
        finite = torch.isfinite(features).flatten(1).all(1)
        if not finite.all():
            raise CheckpointError(f'{self.location}: block {int((~finite).nonzero()[0])} gives features that are not '
                                  'finite. The file is damaged, or the model diverged; use another.')
        return features

    @torch.no_grad()
    def states(self, tokens: List[List[int]], layer: int) -> Tuple[Tensor, Tensor]:
        """Tokens of a batch of texts behind a layer; later ones are not computed.

        Args:
            tokens: What :meth:`encode` returns.
            layer: The number of a block; -1 for what the whole model gives, behind its final norm.

        Returns:
            tuple: States ``(B, N, C)`` and whether each is a text's and no padding ``(B, N)``, on the model's device.
        """
        inputs, mask = self._pad(tokens)
        if layer < 0:
            return self._run(inputs, mask).last_hidden_state, mask

        def stop(index: int, states: Tensor) -> None:
            raise _Reached(states)

        try:
            self._run(inputs, mask, [layer], stop)
        except _Reached as reached:
            return reached.args[0], mask
        raise CheckpointError(f'{self.location}: its block {layer} does not run. Choose another layer.')

    def _means(self, tokens: List[List[int]], last: str) -> Tensor:
        """Features of a batch ``(blocks, B, C)``."""
        inputs, mask = self._pad(tokens)
        means = {}

        def keep(index: int, states: Tensor) -> None:
            means[index] = (states.float() * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)

        found = self._run(inputs, mask, range(len(self._blocks)), keep)
        if last == 'normed':
            keep(len(self._blocks) - 1, found.last_hidden_state)
        return torch.stack([means[index] for index in range(len(self._blocks))]).cpu()

    def _pad(self, tokens: List[List[int]]) -> Tuple[Tensor, Tensor]:
        """Tokens padded on the right, and what is not padding, both ``(B, N)``."""
        lengths = torch.tensor([len(found) for found in tokens])
        inputs = torch.zeros(len(tokens), int(lengths.max()), dtype=torch.long)
        for row, found in zip(inputs, tokens):
            row[:len(found)] = torch.tensor(found)
        return inputs.to(self._device), (torch.arange(inputs.shape[1]) < lengths[:, None]).to(self._device)

    def _run(self, inputs: Tensor, mask: Tensor, blocks: Iterable[int] = (),
             keep: Callable[[int, Tensor], None] = lambda index, states: None) -> Any:
        """Run the model; ``keep`` gets the number and the output of some blocks."""

        def hook(index: int, output: Any) -> None:
            keep(index, output[0] if isinstance(output, (tuple, list)) else output)

        handles = [self._blocks[index].register_forward_hook(lambda block, args, output, index=index: hook(index, output))
                   for index in blocks]
        try:
            return self._model(input_ids=inputs, attention_mask=mask.long(), use_cache=False)
        finally:
            for handle in handles:
                handle.remove()


class _Reached(Exception):
    """The layer that was asked for has been computed."""


def _find_blocks(model: nn.Module, where: str) -> nn.ModuleList:
    count = getattr(model.config, 'num_hidden_layers', None)
    found = [module for module in model.modules() if isinstance(module, nn.ModuleList) and len(module) == count]
    if not found:
        raise CheckpointError(f"{where}: transformers' {type(model).__name__} has no list of its {count or ''} blocks; "
                              'expected a plain language model. Choose another.')
    return found[0]
