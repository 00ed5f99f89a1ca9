"""How well a language model predicts a text, in bits per byte: the same unit whatever its tokens are.

A text is read in windows that overlap, so that each token but the first ones is predicted from half a window of tokens or
more. A model whose tokenizer puts a special token in front of texts has it in front of each window; for the others, what the
tokenizer calls the beginning or the end of a text stands in front of the first, and else the first token is not counted.
"""
import math
from typing import Any, Callable, Iterable, List, NamedTuple, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .errors import CheckpointError
from .gguf_store import open_gguf, read_gguf_tensor
from .text_files import TextFiles, find_text_model
from .text_loading import LOCAL, load_gguf, load_tokenizer, missing_tensors, quiet_transformers, refuse_missing


class LanguageLoss(NamedTuple):
    """How well a language model predicts a text.

    Attributes:
        bits_per_byte: Cross entropy of its tokens in bits, over the text's bytes in UTF-8.
        tokens: Tokens that are predicted.
        bytes: Bytes that these stand for.
        context: Most tokens that one is predicted from.
        unknown: Tokens that stand for what the tokenizer cannot write: they cost little, and the model is no better for it.
    """
    bits_per_byte: float
    tokens: int
    bytes: int
    context: int
    unknown: int


def language_loss(location: str, text: str, context: int = 512, device: str = 'cpu', dtype: torch.dtype = torch.float32,
                  revision: Optional[str] = None,
                  track: Callable[[Iterable[Any]], Iterable[Any]] = lambda windows: windows) -> Optional[LanguageLoss]:
    """Bits per byte of a text under a decoder.

    Args:
        location: A folder in Hugging Face format with safetensors, a GGUF file, or either on the hub.
        text: The text, which the model should not have been trained on.
        context: Tokens of a window, at most as many as the model has positions; windows overlap by half. Defaults to 512.
        device: Where to compute. Defaults to ``cpu``.
        dtype: What the model computes in. Defaults to float32.
        revision: Branch, tag or commit on the hub. Defaults to None, the default branch.
        track: Shows progress over the windows. Defaults to none.

    Returns:
        LanguageLoss: The loss; None of an encoder, which predicts no next token.

    Raises:
        CheckpointError: If the model cannot be loaded, has no head, or gives numbers that are not finite.
        ValueError: If the text is too short to predict a token of it, or the context is below 2.
    """
    if context < 2:
        raise ValueError(f'context {context}: expected 2 tokens or more.')
    files = find_text_model(location, revision)
    with quiet_transformers(location):
        model = _load(files, dtype)
        tokenizer, special = load_tokenizer(files)
    if model is None:
        return None
    model.eval().to(device, dtype)
    with quiet_transformers(location):
        read = _read(text, tokenizer, special)
    _check(location, read, model.model.get_input_embeddings().weight.shape[0])
    context, nats = min(context, getattr(model.config, 'max_position_embeddings', None) or context), 0.
    with torch.inference_mode():
        for inputs, targets in track(_windows(read, context)):
            logits = model(torch.tensor([inputs], device=device))[0, -len(targets):]
            nats += F.cross_entropy(logits.float(), torch.tensor(targets, device=device), reduction='sum').item()
    if not math.isfinite(nats):
        raise CheckpointError(f'{location}: its predictions are not finite. The file is damaged, or {dtype} is too narrow; '
                              'use another.')
    unknown = tokenizer.unk_token_id if tokenizer.unk_token_id != tokenizer.eos_token_id else None
    return LanguageLoss(nats / math.log(2) / read.bytes, len(read.tokens), read.bytes, context, read.tokens.count(unknown))


class _Read(NamedTuple):
    """Tokens of a text that are predicted, the bytes they stand for, and what is in front of the first window and others."""
    tokens: List[int]
    bytes: int
    start: List[int]
    front: List[int]


def _read(text: str, tokenizer: Any, special: bool) -> _Read:
    tokens, num_bytes = tokenizer(text, add_special_tokens=False)['input_ids'], len(text.encode())
    front, start = _beginning(tokenizer, special)
    if start:
        return _Read(tokens, num_bytes, start, front)
    return _Read(tokens[1:], num_bytes - len(tokenizer.decode(tokens[:1]).encode()), tokens[:1], front)


def _check(location: str, read: _Read, size: int) -> None:
    if not read.tokens or read.bytes < 1:
        raise ValueError(f'{location}: the text has {len(read.tokens)} tokens to be predicted; expected one at least. Give '
                         'more text.')
    if max(read.tokens) >= size:
        raise CheckpointError(f'{location}: its tokenizer gives token {max(read.tokens)}, and the model has {size}. They '
                              'belong to different models; fetch both again.')


def _beginning(tokenizer: Any, special: bool) -> Tuple[List[int], List[int]]:
    """What stands in front of every window, and in front of the first."""
    if special:
        with_special, without = (tokenizer('a', add_special_tokens=own)['input_ids'] for own in (True, False))
        front = with_special[:with_special.index(without[0])] if without and without[0] in with_special else []
        if front:
            return front, front
    known = [token for token in (tokenizer.bos_token_id, tokenizer.eos_token_id) if token is not None]
    return [], known[:1]


def _windows(read: _Read, context: int) -> List[Tuple[List[int], List[int]]]:
    """Inputs of each window, and the tokens that its last outputs are to predict: together each token once."""
    windows, tokens, done = [], read.tokens, 0
    while done < len(tokens):
        before = read.front if done else read.start
        room = max(1, context - len(before))  # inputs: what stands in front, and all but the last of the window's tokens
        new = room + 1 if not done else max(1, room // 2)
        end = min(done + new, len(tokens))
        inputs = [*before, *tokens[max(0, end - 1 - room):end - 1]]
        windows.append((inputs, tokens[done:end]))
        done = end
    return windows


def _load(files: TextFiles, dtype: torch.dtype) -> Optional[nn.Module]:
    """A model from tokens ``(B, N)`` to logits ``(B, N, V)``; None where it is an encoder."""
    if files.gguf:
        return _GGUFDecoder(files)
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING
    if type(AutoConfig.from_pretrained(files.folder, **LOCAL)) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        return None
    model, report = AutoModelForCausalLM.from_pretrained(files.folder, use_safetensors=True, output_loading_info=True,
                                                         torch_dtype=dtype, **LOCAL)
    decoder = _Decoder(model.eval())
    if not decoder.is_causal():
        return None
    refuse_missing(files, model, missing_tensors(report))
    return decoder


class _Decoder(nn.Module):
    """transformers' model with its head."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.config = model, model.config

    def forward(self, tokens: Tensor) -> Tensor:
        return self.model(input_ids=tokens, use_cache=False).logits

    @torch.no_grad()
    def is_causal(self) -> bool:
        """Whether a token sees none behind it; transformers gives some encoders a head for the next token too."""
        size = self.model.get_input_embeddings().weight.shape[0]
        first = self(torch.tensor([[1, other % size] for other in (2, 3, size // 2, size - 1)]))[:, 0].float()
        return bool(torch.allclose(first, first[:1].expand_as(first), rtol=1e-4, atol=1e-6))


class _GGUFDecoder(nn.Module):
    """A model of a GGUF file, whose head is a matrix of its own or that of the embedding."""

    def __init__(self, files: TextFiles) -> None:
        super().__init__()
        self.model, tensors = load_gguf(files), open_gguf(files.gguf).tensors
        self.config = self.model.config
        own = tensors.get('output.weight')
        self.head = nn.Parameter(read_gguf_tensor('output.weight', own) if own else
                                 self.model.get_input_embeddings().weight.detach())

    def forward(self, tokens: Tensor) -> Tensor:
        return F.linear(self.model(input_ids=tokens, use_cache=False).last_hidden_state, self.head)
