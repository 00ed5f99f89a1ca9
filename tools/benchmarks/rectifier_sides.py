"""Auxiliary training of a ViT through a frozen block, and its parts alone."""
import statistics
from types import SimpleNamespace
from typing import Any, Callable, Dict, List, Mapping, Tuple

import torch
from contenders import giga_flops
from harness import Row, Timing, spread, time_rounds
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import nn

PATCH, CLASSES, HEAD_DIMS = 8, 10, 64


def plain_config(size: SimpleNamespace) -> Dict[str, Any]:
    """A DeiT of mmpretrain's."""
    arch = dict(embed_dims=size.width, num_layers=size.layers, num_heads=size.width // HEAD_DIMS,
                feedforward_channels=4 * size.width)
    vit = dict(type='VisionTransformer', arch=arch, img_size=size.image, patch_size=PATCH)
    return dict(type='ImageClassifier', backbone=vit,
                head=dict(type='VisionTransformerClsHead', num_classes=CLASSES, in_channels=size.width))


def rectified_config(size: SimpleNamespace, bf16: bool) -> Dict[str, Any]:
    """The same with a frozen block of the kind of SmolLM2's on an auxiliary path."""
    language = dict(model_type='llama', hidden_size=size.block, intermediate_size=8 * size.block // 3, num_hidden_layers=1,
                    num_attention_heads=size.block // HEAD_DIMS, num_key_value_heads=size.block // HEAD_DIMS,
                    initializer_range=0.04)
    return dict(plain_config(size), type='lbbt_mm.RectifiedClassifier', rectifier=dict(
        type='lbbt_mm.LanguageRectifier', dtype='bfloat16' if bf16 else None, language=dict(config=language, arm='random')))


class Step:
    """Forward and backward pass of a classifier's loss, or its forward pass in evaluation mode.

    Args:
        model: The classifier.
        row: How it is run.
        size: ``batch`` and ``image``.
    """

    def __init__(self, model: nn.Module, row: Row, size: SimpleNamespace) -> None:
        self.model, self.row = model.train(row.training), row
        self.images = torch.randn(size.batch, 3, size.image, size.image)
        self.samples = [DataSample().set_gt_label(index % CLASSES) for index in range(size.batch)]

    def __call__(self) -> None:
        """Run once."""
        with torch.set_grad_enabled(self.row.training), torch.autocast('cpu', torch.bfloat16, enabled=self.row.bf16):
            if self.row.training:
                total, _ = self.model.parse_losses(self.model.loss(self.images, self.samples))
            else:
                self.model(self.images, mode='tensor')
        if self.row.training:
            total.backward()

    def forget(self) -> None:
        """Drop the gradients."""
        self.model.zero_grad()


def block_call(model: nn.Module, row: Row, size: SimpleNamespace) -> Callable[[], None]:
    """One pass of the frozen block alone, forward and back to its input."""
    dtype = torch.bfloat16 if row.bf16 else torch.float32
    tokens = torch.randn(size.batch, (size.image // PATCH)**2 + 1, size.block, dtype=dtype)
    block = model.rectifier.blocks[0]

    def call() -> None:
        x = tokens.detach().requires_grad_()
        with torch.autocast('cpu', torch.bfloat16, enabled=row.bf16):
            output = block(x)
        output.float().abs().mean().backward()

    return call


def describe(rows: Mapping[str, Row], size: SimpleNamespace) -> Dict[str, str]:
    """Sizes."""
    return dict(sizes=f'ViT of {size.layers} blocks, width {size.width}, {(size.image // PATCH)**2 + 1} tokens, batch '
                f'{size.batch}; block of width {size.block}')


def measure(row: Row, size: SimpleNamespace, timing: Timing) -> Tuple[List[Dict[str, Any]], Dict[str, List[float]]]:
    """Time a row's call and its parts in turn.

    Args:
        row: What is measured.
        size: What the options give.
        timing: How it is measured.

    Returns:
        tuple: What the table shows; and the seconds of every call.
    """
    init_default_scope('mmpretrain')
    plain, whole = (MODELS.build(config) for config in (plain_config(size), rectified_config(size, row.bf16)))
    plain.load_state_dict(whole.state_dict(), strict=False)
    parts: Dict[str, Callable[[], None]] = {'plain ViT': Step(plain, row, size)}
    if row.training:
        parts['block'] = block_call(whole, row, size)
        measured = whole
    elif row.options['stripped']:
        measured = MODELS.build(plain_config(size))
        measured.load_state_dict({name: tensor for name, tensor in whole.state_dict().items() if 'rectifier' not in name})
    else:
        measured = whole
    step = Step(measured, row, size)
    counted, done = sum(map(giga_flops, parts.values())), giga_flops(step)
    plain.zero_grad()
    measured.zero_grad()
    seconds = time_rounds({**parts, 'measured': step}, timing, say=lambda line: None)
    sums = [sum(one) for one in zip(*(seconds[name] for name in parts))]
    return [dict(row=row.title, counted=counted, done=done, parts_seconds=statistics.median(sums),
                 measured_seconds=statistics.median(seconds['measured']), wanted=row.wanted,
                 quickest=min(seconds['measured']) / sum(min(seconds[name]) for name in parts),
                 **spread([ours / theirs for ours, theirs in zip(seconds['measured'], sums)]))], seconds
