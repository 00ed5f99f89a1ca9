"""A real tokenizer in miniature: one token a word."""
from pathlib import Path
from typing import Optional

from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

#: Numbers of the tokens of a vocabulary of fifty, as that of the tiny language models.
WORDS = ['[BOS]', '[UNK]', *'a photo of the red green blue cat dog bird sits stands runs here there now'.split(),
         *(f'word{number}' for number in range(32))]


def write_tokenizer(folder: Path, bos: Optional[str] = None, more: int = 0) -> Path:
    """Save a tokenizer beside a model.

    Args:
        folder: The model's folder.
        bos: What it puts in front of each text. Defaults to None, nothing.
        more: Words beyond the models' vocabulary, ``more0`` and so on. Defaults to 0.
    """
    words = [*WORDS, *(f'more{number}' for number in range(more))]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token='[UNK]'))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    if bos:
        front = [(bos, words.index(bos))]
        tokenizer.post_processor = processors.TemplateProcessing(single=f'{bos} $A', special_tokens=front)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token='[BOS]', unk_token='[UNK]').save_pretrained(folder)
    return folder
