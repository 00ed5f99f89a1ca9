"""A language checkpoint of any size to measure reading with: real layout and names, meaningless weights."""
import json
import math
from pathlib import Path
from typing import Any, Dict, List

import torch
from safetensors.torch import save_file

from lbbt_mm.language import FAMILIES, block_tensors, read_spec
from lbbt_mm.language.spec import LanguageModelSpec

NUM_BLOCKS, NUM_SHARDS = 32, 8
_HEAD_DIMS, _VOCABULARY = 64, 1000


def checkpoint_config(family: str, size: int) -> Dict[str, Any]:
    """A Hugging Face config whose 32 blocks take ``size`` bytes in bfloat16, as nearly as whole heads allow.

    Args:
        family: ``llama`` or ``gpt2``.
        size: Bytes.

    Returns:
        dict: The config fields.
    """
    parameters = size / (2 * NUM_BLOCKS)
    # Both kinds of block have about 12 C^2 parameters: 4 C^2 in attention, 8 C^2 in the feed-forward network.
    heads = max(1, round(math.sqrt(parameters / 12) / _HEAD_DIMS))
    width = heads * _HEAD_DIMS
    hidden = max(8, round((parameters - 4 * width**2) / (width * (3 if family == 'llama' else 2))))
    if family == 'llama':
        return dict(model_type='llama', hidden_size=width, num_attention_heads=heads, num_key_value_heads=heads,
                    intermediate_size=hidden, num_hidden_layers=NUM_BLOCKS, vocab_size=_VOCABULARY,
                    architectures=['LlamaForCausalLM'], torch_dtype='bfloat16')
    return dict(model_type='gpt2', n_embd=width, n_head=heads, n_inner=hidden, n_layer=NUM_BLOCKS, n_positions=1024,
                vocab_size=_VOCABULARY, architectures=['GPT2Model'], torch_dtype='bfloat16')


def write_checkpoint(folder: Path, config: Dict[str, Any]) -> LanguageModelSpec:
    """Write config, eight shards and their index.

    Args:
        folder: An empty folder.
        config: What :func:`checkpoint_config` gives.

    Returns:
        LanguageModelSpec: The spec of the checkpoint.
    """
    (folder / 'config.json').write_text(json.dumps(config))
    spec = read_spec(config)
    root = FAMILIES[spec.model_type].root_prefixes[0]
    places: Dict[str, str] = {}
    per_shard = NUM_BLOCKS // NUM_SHARDS
    for shard in range(NUM_SHARDS):
        shapes = _ends(config) if shard == 0 else {}
        for index in range(shard * per_shard, (shard + 1) * per_shard):
            shapes.update({root + name: shape for name, shape in block_tensors(spec, index).items()})
        file = f'model-{shard + 1:05d}-of-{NUM_SHARDS:05d}.safetensors'
        save_file({name: _values(shape) for name, shape in shapes.items()}, folder / file, metadata={'format': 'pt'})
        places.update(dict.fromkeys(shapes, file))
    (folder / 'model.safetensors.index.json').write_text(json.dumps({'metadata': {}, 'weight_map': places}))
    return spec


def block_bytes(spec: LanguageModelSpec, blocks: List[int]) -> int:
    """Bytes of some blocks' tensors in bfloat16."""
    return sum(2 * math.prod(shape) for index in blocks for shape in block_tensors(spec, index).values())


def _ends(config: Dict[str, Any]) -> Dict[str, tuple]:
    """What a checkpoint has besides its blocks."""
    if config['model_type'] == 'llama':
        width = config['hidden_size']
        return {'model.embed_tokens.weight': (_VOCABULARY, width), 'model.norm.weight': (width, ),
                'lm_head.weight': (_VOCABULARY, width)}
    width = config['n_embd']
    return {'wte.weight': (_VOCABULARY, width), 'wpe.weight': (config['n_positions'], width), 'ln_f.weight': (width, ),
            'ln_f.bias': (width, )}


def _values(shape) -> torch.Tensor:
    """Finite numbers of which no page is all zeros (a file system may leave such pages out)."""
    count = math.prod(shape)
    pattern = torch.randn(1 << 16).bfloat16()
    return pattern.repeat(-(-count // len(pattern)))[:count].view(shape)
