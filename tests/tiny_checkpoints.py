"""Real language checkpoints in miniature: transformers' own models, saved by transformers and, as GGUF, by gguf."""
import math
import re
from pathlib import Path
from typing import Any, Dict, Optional

import gguf
import pytest
import torch
import transformers
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedModel
from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from lbbt_mm.language import FAMILIES, LanguageCheckpoint
from lbbt_mm.language.gguf_store import open_gguf
from lbbt_mm.language.initializer import copy_block
from lbbt_mm.models.layers import LanguageBlock

NUM_BLOCKS = 4

_LLAMA_LIKE = dict(
    initializer_range=0.02,
    hidden_size=32, intermediate_size=64, num_attention_heads=4, num_key_value_heads=2,
    num_hidden_layers=NUM_BLOCKS, vocab_size=50, max_position_embeddings=64, rms_norm_eps=1e-5)


class OfFamilies(dict):
    """Family -> something of it; to ask for a family that is newer than the installed transformers skips the test."""

    def __missing__(self, name: str) -> None:
        skip_newer_family(name)
        raise KeyError(name)


def skip_newer_family(text: str) -> None:
    """Skip a test that names a family which the installed transformers does not have: the upstream mm family has an old one.

    Args:
        text: Name of the family, or of a test.
    """
    newer = [family for family in FAMILIES if family in text and family not in CONFIG_MAPPING]
    if newer:
        pytest.skip(f'transformers {transformers.__version__} has no {newer[0]}')


_ALL_CONFIGS: Dict[str, Dict[str, Any]] = {
    'gpt2': dict(model_type='gpt2', n_embd=32, n_head=4, n_layer=NUM_BLOCKS, vocab_size=50, n_positions=64,
                 initializer_range=0.02),
    'llama': dict(model_type='llama', **_LLAMA_LIKE),
    'mistral': dict(model_type='mistral', **{**_LLAMA_LIKE, 'num_key_value_heads': 1}),
    'qwen2': dict(model_type='qwen2', **_LLAMA_LIKE),
    'qwen3': dict(model_type='qwen3', **_LLAMA_LIKE, head_dim=16),
    'opt': dict(model_type='opt', hidden_size=32, ffn_dim=64, num_attention_heads=4, num_hidden_layers=NUM_BLOCKS,
                vocab_size=50, max_position_embeddings=64, init_std=0.02),
}
#: Families that llama.cpp has, and so GGUF files.
IN_GGUF = [name for name, family in FAMILIES.items() if family.architecture]
#: Hugging Face config fields of a tiny model of each family; Qwen3's heads are wider than its stream.
CONFIGS = OfFamilies({name: config for name, config in _ALL_CONFIGS.items() if name in CONFIG_MAPPING})


def config_of(model_type: str, **fields: Any) -> Dict[str, Any]:
    """The config of a tiny model, with some fields that differ."""
    return dict(CONFIGS[model_type], **fields)


def build_model(model_type: str, seed: int = 0, **overrides) -> PreTrainedModel:
    """Build a tiny model in float32 whose biases and norms are not the zeros and ones of a fresh one.

    Args:
        model_type: Key of :data:`CONFIGS`.
        seed: Seed of the weights.
        **overrides: Config fields that differ.
    """
    fields = config_of(model_type, **overrides)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(fields.pop('model_type'), **fields)).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            is_norm_weight = parameter.ndim == 1 and name.endswith('weight')
            parameter.copy_(1 + 0.2 * noise if is_norm_weight else 0.2 * noise)
    return model


def hf_blocks(model: PreTrainedModel) -> torch.nn.ModuleList:
    """The transformer blocks of a Hugging Face model."""
    name = re.escape(FAMILIES[model.config.model_type].block_prefix.replace('.{i}.', ''))
    return next(module for path, module in model.named_modules() if re.fullmatch(rf'(.*\.)?{name}', path))


def write_gguf(path: Path, model: PreTrainedModel, quantisation: str = 'F32',
               matrix_types: Optional[Dict[str, str]] = None, terse: bool = False) -> Path:
    """Write a model as llama.cpp's converter (``convert_hf_to_gguf.py``) does.

    Args:
        path: File to write.
        model: The model.
        quantisation: GGML type of the matrices; vectors stay F32, as llama.cpp keeps them.
        matrix_types: GGUF name -> GGML type, for tensors that differ from ``quantisation``.
        terse: Whether to leave out the metadata that llama.cpp has defaults for.
    """
    config = model.config
    architecture = {'mistral': 'llama'}.get(config.model_type, config.model_type)
    writer = gguf.GGUFWriter(path, architecture)
    _add_metadata(writer, config, terse)
    arch = {name: arch for arch, name in gguf.MODEL_ARCH_NAMES.items()}[architecture]
    names = gguf.get_tensor_name_map(arch, config.num_hidden_layers)
    for name, tensor in model.state_dict().items():
        gguf_name = names.get_name(name, try_suffixes=('.weight', '.bias'))
        data = _as_converted(name, tensor, config, architecture).contiguous().numpy()
        wanted = (matrix_types or {}).get(gguf_name, quantisation if data.ndim == 2 else 'F32')
        quant = gguf.GGMLQuantizationType[wanted]
        try:
            writer.add_tensor(gguf_name, gguf.quants.quantize(data, quant), raw_dtype=quant)
        except NotImplementedError:  # a type that nothing in Python can write or read: bytes of the right number
            shape = gguf.quant_shape_to_byte_shape(data.shape, quant)
            writer.add_tensor(gguf_name, torch.zeros(shape, dtype=torch.uint8).numpy(), raw_dtype=quant)
    _write(writer)
    return path


def load_gguf_head(path: Path, head: Path, num_blocks: int) -> PreTrainedModel:
    """Load the first blocks of a Llama in GGUF with transformers' own dequantisation; a whole file would take minutes.

    Args:
        path: The GGUF file.
        head: File to write the first blocks to, as they are stored.
        num_blocks: How many.
    """
    opened = open_gguf(path)
    writer = gguf.GGUFWriter(head, opened.architecture)
    for key, value in {**opened.metadata, 'block_count': num_blocks}.items():
        add = writer.add_float32 if isinstance(value, float) else writer.add_uint32
        add(f'{opened.architecture}.{key}', value)
    writer.add_name('head')
    for tensor in gguf.GGUFReader(path).tensors:
        if tensor.name.startswith(tuple(f'blk.{index}.' for index in range(num_blocks))):
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    _write(writer)
    config = load_gguf_checkpoint(head)['config']
    model = LlamaForCausalLM(LlamaConfig(**{**config, 'vocab_size': 8})).eval()
    tensors = load_gguf_checkpoint(head, return_tensors=True, model_to_load=model)['tensors']
    missing, unexpected = model.load_state_dict(tensors, strict=False)
    assert not unexpected and not any('.layers.' in name for name in missing)
    return model


def _write(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_metadata(writer: gguf.GGUFWriter, config, terse: bool) -> None:
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_vocab_size(config.vocab_size)
    writer.add_name('tiny')
    writer.add_array('tokenizer.ggml.tokens', [f'token{i}' for i in range(config.vocab_size)])
    if config.model_type == 'gpt2':
        writer.add_feed_forward_length(4 * config.hidden_size)
        writer.add_layer_norm_eps(config.layer_norm_epsilon)
        return
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    if terse:
        return
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_freq_base(config.rope_theta)
    scaling = getattr(config, 'rope_scaling', None) or {}
    if scaling.get('rope_type') in ('linear', 'yarn'):
        writer.add_rope_scaling_type(gguf.RopeScalingType(scaling['rope_type']))
        writer.add_rope_scaling_factor(scaling['factor'])
        if 'original_max_position_embeddings' in scaling:
            writer.add_rope_scaling_orig_ctx_len(scaling['original_max_position_embeddings'])
    if scaling.get('rope_type') == 'llama3':
        writer.add_tensor('rope_freqs.weight', _llama3_factors(config).numpy())
    if getattr(config, 'head_dim', None) and config.head_dim != config.hidden_size // config.num_attention_heads:
        writer.add_key_length(config.head_dim)
        writer.add_value_length(config.head_dim)


def _llama3_factors(config) -> Tensor:
    """What LlamaModel.generate_extra_tensors of the converter stores of Llama 3's rule: divisors of the frequencies."""
    scaling, dims = config.rope_scaling, config.head_dim
    low = scaling['original_max_position_embeddings'] / scaling['low_freq_factor']
    high = scaling['original_max_position_embeddings'] / scaling['high_freq_factor']
    factors = []
    for frequency in 1.0 / config.rope_theta**(torch.arange(0, dims, 2, dtype=torch.float32) / dims):
        wavelength = 2 * math.pi / frequency
        smooth = (scaling['original_max_position_embeddings'] / wavelength - scaling['low_freq_factor']) / (
            scaling['high_freq_factor'] - scaling['low_freq_factor'])
        between = 1 / ((1 - smooth) / scaling['factor'] + smooth)
        factors.append(1. if wavelength < high else scaling['factor'] if wavelength > low else between)
    return torch.tensor(factors, dtype=torch.float32)


def _as_converted(name: str, tensor: Tensor, config, architecture: str) -> Tensor:
    """What the converter does to a tensor: GPT2Model.modify_tensors and LlamaModel.permute."""
    part = name.split('.')[-2]
    if architecture == 'gpt2' and part in ('c_attn', 'c_proj', 'c_fc') and name.endswith('weight'):
        return tensor.transpose(1, 0)
    if architecture == 'llama' and part in ('q_proj', 'k_proj'):
        heads = config.num_attention_heads if part == 'q_proj' else config.num_key_value_heads
        halves = tensor.reshape(heads, 2, len(tensor) // heads // 2, *tensor.shape[1:])
        return halves.swapaxes(1, 2).reshape(tensor.shape)
    return tensor


def copied_block(checkpoint: LanguageCheckpoint, index: int, **options) -> LanguageBlock:
    """Build a LanguageBlock and copy a block of the checkpoint into it.

    Args:
        checkpoint: An opened checkpoint.
        index: Which block.
        **options: Options of LanguageBlock.
    """
    block = LanguageBlock(checkpoint.spec.block, **options).eval()
    copy_block(block, checkpoint.spec, index, checkpoint.read_block(index))
    return block
