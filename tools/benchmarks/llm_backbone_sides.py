"""LLMBackbone, timm's ViT and transformers' language models, with equal weights."""
from functools import partial
from types import SimpleNamespace as Size
from typing import Any, Dict, Mapping, Tuple

import torch
from contenders import Contender, take_over
from harness import Row
from llm_backbone import FAMILIES
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel

from lbbt_mm.language import block_tensors
from lbbt_mm.language.initializer import copy_block
from lbbt_mm.models.backbones import LLMBackbone

CHANNELS, PATCH = 3, 16
TIMM = 'vit_base_patch16_224'
GPT2 = dict(model_type='gpt2', n_embd=768, n_head=12, n_inner=3072, activation_function='gelu_new', initializer_range=0.02)
SMOLLM2 = dict(model_type='llama', hidden_size=576, intermediate_size=1536, num_attention_heads=9, num_key_value_heads=3,
               rms_norm_eps=1e-5, rope_theta=100000.0, initializer_range=1 / 24)
# What timm's ViT has and GPT-2 has not: the exact GELU and another epsilon
VIT = dict(GPT2, activation_function='gelu', layer_norm_epsilon=1e-6)
# Our parameter names -> timm's; those of the blocks are the same
_TIMM_NAMES = {r'^patch_embed\.projection\.': 'patch_embed.proj.', r'^norm\.': 'fc_norm.'}


class LanguageModelOnPatches(nn.Module):
    """A transformers model that gets patches in place of words.

    Args:
        fields: Fields of its config.
        size: Sizes; the position table, if any, has as many positions as there are patches.
    """

    def __init__(self, fields: Dict[str, Any], size: Size) -> None:
        super().__init__()
        dropouts = dict(resid_pdrop=0., embd_pdrop=0., attn_pdrop=0.) if fields['model_type'] == 'gpt2' else {}
        config = AutoConfig.for_model(**{**depth(fields, size), **dropouts}, vocab_size=1, use_cache=False,
                                      bos_token_id=0, eos_token_id=0)
        self.model = AutoModel.from_config(config, attn_implementation='sdpa')
        self.model.set_input_embeddings(nn.Identity())  # there are no words
        self.projection = nn.Conv2d(CHANNELS, config.hidden_size, PATCH, PATCH)

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``(B, 3, H, W)`` to tokens ``(B, N, C)``."""
        return self.model(inputs_embeds=self.projection(images).flatten(2).transpose(1, 2)).last_hidden_state


def depth(fields: Dict[str, Any], size: Size) -> Dict[str, Any]:
    """Config fields with as many blocks and, for GPT-2, as many positions as the sizes say."""
    if fields['model_type'] == 'gpt2':
        return dict(fields, n_layer=size.layers, n_positions=(size.image // PATCH)**2)
    return dict(fields, num_hidden_layers=size.layers)


def our_backbone(fields: Dict[str, Any], size: Size, **options: Any) -> LLMBackbone:
    """LLMBackbone with blocks of the family's random initialisation, which gives its only output without the tuple."""
    language = dict(config=depth(fields, size), arm='random')
    backbone = LLMBackbone(language, img_size=size.image, patch_size=PATCH, in_channels=CHANNELS, **options)
    backbone.register_forward_hook(lambda module, images, outputs: outputs[0])
    return backbone


def timm_and_ours(size: Size) -> Dict[str, nn.Module]:
    """timm's ViT, and ours with its GELU and with GPT-2's; pooled by the mean and then normalised, as both do it."""
    import timm
    theirs = timm.create_model(TIMM, pretrained=False, class_token=False, global_pool='avg', num_classes=0,
                               depth=size.layers, img_size=size.image)
    ours = {'exact GELU': our_backbone(VIT, size), "GPT-2's GELU": our_backbone(GPT2, size)}
    for backbone in ours.values():
        take_over(backbone, theirs.state_dict(), _TIMM_NAMES)
    return {'timm': theirs, **ours}


def transformers_and_ours(fields: Dict[str, Any], size: Size) -> Dict[str, nn.Module]:
    """A transformers model and ours, both causal and with the language model's own positions and final norm."""
    theirs = LanguageModelOnPatches(fields, size)
    gpt2 = fields['model_type'] == 'gpt2'
    ours = our_backbone(fields, size, attention='causal', out_type='raw', final_norm='language',
                        position='language' if gpt2 else 'rotary')
    weights, spec = theirs.model.state_dict(), ours.language.spec
    for index, block in enumerate(ours.blocks):
        copy_block(block, spec, index, {name: weights[name] for name in block_tensors(spec, index)})
    ours.patch_embed.projection.load_state_dict(theirs.projection.state_dict())
    ours.norm.load_state_dict((theirs.model.ln_f if gpt2 else theirs.model.norm).state_dict())
    if gpt2:
        ours.load_state_dict({'pos_embed': weights['wpe.weight'][None]}, strict=False)
    return {type(theirs.model).__name__: theirs, 'causal': ours}


def build_models(family: str, size: Size) -> Dict[str, nn.Module]:
    """The models of a comparison by name, the other library's first; ``family`` is ``vit``, ``gpt2`` or ``smollm2``."""
    return timm_and_ours(size) if family == 'vit' else transformers_and_ours(GPT2 if family == 'gpt2' else SMOLLM2, size)


def build(row: Row, size: Size) -> Tuple[Dict[str, Contender], None]:
    """All that take turns in a row: the other library's model, then ours."""
    images = torch.randn(size.batch, CHANNELS, size.image, size.image)
    return {name: Contender(model, partial(model, images), row.training, row.bf16)
            for name, model in build_models(row.options['family'], size).items()}, None


def describe(rows: Mapping[str, Row], size: Size) -> Dict[str, str]:
    """Sizes, and by family how many parameters each side has, and how far apart outputs and gradients are in float32."""
    torch.manual_seed(0)
    images = torch.randn(1, CHANNELS, size.image, size.image)
    facts = dict(sizes=f'{size.layers} blocks, {(size.image // PATCH)**2} tokens an image')
    for family in dict.fromkeys(row.options['family'] for row in rows.values()):
        counts, outputs, gradients = [], [], []
        for name, model in list(build_models(family, size).items())[:2]:
            outputs.append(model(images))
            outputs[-1].abs().mean().backward()
            gradients.append(next(module for module in model.modules() if isinstance(module, nn.Conv2d)).weight.grad)
            counts.append(f'{sum(parameter.numel() for parameter in model.parameters()):,} ({name})')
        output, gradient = ((theirs - ours).abs().max() for theirs, ours in (outputs, gradients))
        facts[FAMILIES[family][0]] = (
            f'parameters {counts[0]}, ours {counts[1]}; largest difference {output:.1e} of the outputs, '
            f"{gradient / gradients[0].abs().max():.1e} of the patch embedding's gradient")
    return facts
