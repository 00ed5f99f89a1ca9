"""The sides of the comparison: LLMBackbone, timm's ViT and transformers' language models, with equal weights."""
from dataclasses import dataclass
from typing import Any, Dict, Tuple

import torch
from matrix_floor import Work, block_work, linear_work
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel

from lbbt_mm.language import block_tensors
from lbbt_mm.language.initializer import copy_block
from lbbt_mm.models.backbones import LLMBackbone

PATCH, CHANNELS = 16, 3
TIMM = 'vit_base_patch16_224'
GPT2 = dict(model_type='gpt2', n_embd=768, n_head=12, n_inner=3072, activation_function='gelu_new', initializer_range=0.02)
SMOLLM2 = dict(model_type='llama', hidden_size=576, intermediate_size=1536, num_attention_heads=9, num_key_value_heads=3,
               rms_norm_eps=1e-5, rope_theta=100000.0, initializer_range=1 / 24)
# What timm's ViT has and GPT-2 has not: the exact GELU and another epsilon
VIT = dict(GPT2, activation_function='gelu', layer_norm_epsilon=1e-6)
# timm's parameter names -> ours; those of the blocks are the same
_TIMM_NAMES = {'patch_embed.proj.': 'patch_embed.projection.', 'fc_norm.': 'norm.'}


@dataclass(frozen=True)
class Sizes:
    """What all models of a comparison share.

    Args:
        layers: Blocks.
        image: Height and width of the images, in pixels.
        batch: Images.
    """
    layers: int
    image: int
    batch: int

    @property
    def tokens(self) -> int:
        """Patches of an image."""
        return (self.image // PATCH)**2


class LanguageModelOnPatches(nn.Module):
    """A transformers model that gets patches in place of words.

    Args:
        fields: Fields of its config.
        sizes: Sizes; the position table, if any, has as many positions as there are patches.
    """

    def __init__(self, fields: Dict[str, Any], sizes: Sizes) -> None:
        super().__init__()
        dropouts = dict(resid_pdrop=0., embd_pdrop=0., attn_pdrop=0.) if fields['model_type'] == 'gpt2' else {}
        config = AutoConfig.for_model(**{**depth(fields, sizes), **dropouts}, vocab_size=1, use_cache=False,
                                      bos_token_id=0, eos_token_id=0)
        self.model = AutoModel.from_config(config, attn_implementation='sdpa')
        self.model.set_input_embeddings(nn.Identity())  # there are no words
        self.projection = nn.Conv2d(CHANNELS, config.hidden_size, PATCH, PATCH)

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``(B, 3, H, W)`` to tokens ``(B, N, C)``."""
        return self.model(inputs_embeds=self.projection(images).flatten(2).transpose(1, 2)).last_hidden_state


class First(nn.Module):
    """The only output of a backbone, which comes in a tuple."""

    def __init__(self, backbone: LLMBackbone) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``(B, 3, H, W)`` to the backbone's output."""
        return self.backbone(images)[0]


def depth(fields: Dict[str, Any], sizes: Sizes) -> Dict[str, Any]:
    """Config fields with as many blocks and, for GPT-2, as many positions as the sizes say."""
    if fields['model_type'] == 'gpt2':
        return dict(fields, n_layer=sizes.layers, n_positions=sizes.tokens)
    return dict(fields, num_hidden_layers=sizes.layers)


def our_backbone(fields: Dict[str, Any], sizes: Sizes, **options: Any) -> LLMBackbone:
    """LLMBackbone with blocks of the family's random initialisation."""
    language = dict(config=depth(fields, sizes), arm='random')
    return LLMBackbone(language, img_size=sizes.image, patch_size=PATCH, in_channels=CHANNELS, **options)


def timm_and_ours(sizes: Sizes) -> Dict[str, nn.Module]:
    """timm's ViT, and ours with its GELU and with GPT-2's; pooled by the mean and then normalised, as both do it."""
    import timm
    theirs = timm.create_model(TIMM, pretrained=False, class_token=False, global_pool='avg', num_classes=0,
                               depth=sizes.layers, img_size=sizes.image)
    weights = {}
    for name, tensor in theirs.state_dict().items():
        for their_name, our_name in _TIMM_NAMES.items():
            name = name.replace(their_name, our_name)
        weights[name] = tensor
    models: Dict[str, nn.Module] = {'timm': theirs}
    for name, fields in (('exact GELU', VIT), ("GPT-2's GELU", GPT2)):
        backbone = our_backbone(fields, sizes)
        backbone.load_state_dict(weights)
        models[name] = First(backbone)
    return models


def transformers_and_ours(fields: Dict[str, Any], sizes: Sizes) -> Dict[str, nn.Module]:
    """A transformers model and ours, both causal and with the language model's own positions and final norm."""
    theirs = LanguageModelOnPatches(fields, sizes)
    gpt2 = fields['model_type'] == 'gpt2'
    ours = our_backbone(fields, sizes, attention='causal', out_type='raw', final_norm='language',
                        position='language' if gpt2 else 'rotary')
    weights, spec = theirs.model.state_dict(), ours.language.spec
    for index, block in enumerate(ours.blocks):
        copy_block(block, spec, index, {name: weights[name] for name in block_tensors(spec, index)})
    ours.patch_embed.projection.load_state_dict(theirs.projection.state_dict())
    ours.norm.load_state_dict((theirs.model.ln_f if gpt2 else theirs.model.norm).state_dict())
    if gpt2:
        ours.load_state_dict({'pos_embed': weights['wpe.weight'][None]}, strict=False)
    return {type(theirs.model).__name__: theirs, 'causal': First(ours)}


def build_models(family: str, sizes: Sizes) -> Dict[str, nn.Module]:
    """The models of a comparison by name, the other library's first.

    Args:
        family: ``vit``, ``gpt2`` or ``smollm2``.
        sizes: Sizes.
    """
    if family == 'vit':
        return timm_and_ours(sizes)
    return transformers_and_ours(GPT2 if family == 'gpt2' else SMOLLM2, sizes)


def backbone_work(backbone: LLMBackbone, batch: int) -> Work:
    """Matrix products of a backbone, forward and backward; nothing is handed on to the images."""
    height, width = backbone.patch_resolution
    values = backbone.patch_embed.projection.weight[0].numel()
    patches = linear_work(batch * height * width, values, backbone.embed_dims).times(1, 0, 1)
    layers = backbone.num_layers
    return patches + block_work(backbone.blocks[0].spec, batch, height * width).times(layers, layers, layers)


def largest_difference(family: str, sizes: Sizes) -> Tuple[float, float]:
    """How far apart the two sides are in float32, for one batch.

    Returns:
        tuple[float, float]: Of the outputs, absolute; and of the patch embedding's weight gradients, relative to the
        largest of them.
    """
    images = torch.randn(sizes.batch, CHANNELS, sizes.image, sizes.image)
    outputs, gradients = [], []
    for model in list(build_models(family, sizes).values())[:2]:
        output = model(images)
        output.abs().mean().backward()
        patches = next(module for module in model.modules() if isinstance(module, nn.Conv2d))
        outputs.append(output.detach())
        gradients.append(patches.weight.grad)
    relative = (gradients[0] - gradients[1]).abs().max() / gradients[0].abs().max()
    return (outputs[0] - outputs[1]).abs().max().item(), relative.item()
