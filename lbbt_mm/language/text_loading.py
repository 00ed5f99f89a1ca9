"""Loads a whole language model and its tokenizer as transformers' own.

Its files are found by :mod:`.text_files`; weights are safetensors, or those of a GGUF file, read and dequantised as for our
blocks. No code of a checkpoint is run, nothing is unpickled, and transformers fetches nothing.
"""
import logging
from contextlib import contextmanager
from typing import Any, Dict, Iterator, List, Tuple

import torch
from torch import nn

from .errors import CheckpointError
from .families import block_tensors
from .gguf_store import open_gguf, read_gguf_tensor
from .source import open_checkpoint
from .text_files import TextFiles

#: Of transformers: nothing is fetched, and no code of a checkpoint runs.
LOCAL = dict(local_files_only=True, trust_remote_code=False)


def load_tokenizer(files: TextFiles) -> Tuple[Any, bool]:
    """Load a tokenizer.

    Args:
        files: Where it is.

    Returns:
        tuple: The tokenizer, and whether it puts its special tokens around a text.
    """
    from transformers import AutoTokenizer
    if files.gguf:
        # transformers puts one in front whatever the file says
        special = bool(files.metadata.get('tokenizer.ggml.add_bos_token', True))
        return AutoTokenizer.from_pretrained(files.folder, gguf_file=files.gguf.name, **LOCAL), special
    return AutoTokenizer.from_pretrained(files.folder, **LOCAL), True


def load_folder(files: TextFiles, dtype: torch.dtype) -> nn.Module:
    """Load a model without its head from a folder in Hugging Face format.

    Args:
        files: Where it is.
        dtype: Of its weights.

    Raises:
        CheckpointError: If tensors are missing or have another shape.
    """
    from transformers import AutoModel
    model, report = AutoModel.from_pretrained(files.folder, use_safetensors=True, output_loading_info=True,
                                              torch_dtype=dtype, **LOCAL)
    missing = missing_tensors(report)
    if missing and all(name.startswith('pooler.') for name in missing):  # not there where words were masked in training
        model.pooler, missing = None, []
    refuse_missing(files, model, missing)
    return model


def missing_tensors(report: Dict[str, Any]) -> List[str]:
    """Names of tensors that a checkpoint lacks, or has in another shape.

    Args:
        report: What transformers says of loading it.
    """
    return sorted(report['missing_keys']) or [found[0] for found in report['mismatched_keys']]


def refuse_missing(files: TextFiles, model: nn.Module, missing: List[str]) -> None:
    """Refuse a model that was not filled.

    Args:
        files: Where it is.
        model: What transformers made of them.
        missing: Names of tensors that are not there.

    Raises:
        CheckpointError: If there are any.
    """
    if missing:
        raise CheckpointError(f'{files.location}: {len(missing)} tensors of a {model.config.model_type} model with this '
                              f'config are missing or have another shape, the first is {missing[0]!r:.80}. Check that '
                              'config.json belongs to these weights.')


def load_gguf(files: TextFiles) -> nn.Module:
    """Fill transformers' model without its head from a GGUF file; its own reader would need accelerate, and minutes.

    Args:
        files: Where it is.

    Raises:
        CheckpointError: If the file is no whole language model, or has what transformers' model does not take.
    """
    from transformers import AutoConfig, AutoModel
    checkpoint = open_checkpoint(files.gguf)
    if 'rope_frequency_factors' in checkpoint.config:
        raise CheckpointError(f'{files.location}: has frequency factors of rotary positions (rope_freqs.weight), which '
                              "transformers' model does not take. Use the checkpoint in Hugging Face format.")
    tensors = open_gguf(files.gguf).tensors
    if 'token_embd.weight' not in tensors:
        raise CheckpointError(f'{files.location}: has no token_embd.weight; expected a whole language model. Use another.')
    embedding = read_gguf_tensor('token_embd.weight', tensors['token_embd.weight'])
    model = AutoModel.from_config(AutoConfig.for_model(**{**checkpoint.config, 'vocab_size': len(embedding)}))
    parts = (*range(checkpoint.spec.num_blocks), 'final_norm', 'position_table')
    state = {name: tensor for part in parts if block_tensors(checkpoint.spec, part)
             for name, tensor in checkpoint.read_block(part).items()}
    place = model.get_input_embeddings()
    name = next(name for name, module in model.named_modules() if module is place)
    model.load_state_dict({**state, f'{name}.weight': embedding})
    return model


@contextmanager
def quiet_transformers(where: str) -> Iterator[None]:
    """Raise what transformers and its readers raise in one line; what they log and draw, leave out.

    Args:
        where: The model, for messages.

    Raises:
        CheckpointError: If they raise anything.
    """
    from transformers.utils import logging as hf_logging
    level, bars = hf_logging.get_verbosity(), hf_logging.is_progress_bar_enabled()
    hf_logging.set_verbosity(logging.CRITICAL)
    hf_logging.disable_progress_bar()
    try:
        yield
    except (CheckpointError, MemoryError):
        raise
    except Exception as error:  # transformers, tokenizers, safetensors and gguf each raise their own types
        reason = ' '.join(str(error).split()) or type(error).__name__
        raise CheckpointError(f'{where}: transformers does not load its model or tokenizer ({type(error).__name__}: '
                              f'{reason:.300}). Correct its files, or choose another.') from None
    finally:
        hf_logging.set_verbosity(level)
        if bars:
            hf_logging.enable_progress_bar()
