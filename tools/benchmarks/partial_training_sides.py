"""A training step of a model that is trained in part, and passes of the same blocks alone to measure rates with."""
import logging
from functools import partial
from types import SimpleNamespace
from typing import Any, Callable, Dict, List

import torch
import torch.nn.functional as F
from contenders import held_bytes
from harness import CLOCKS
from llm_backbone_sides import CHANNELS, PATCH, our_backbone
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from lbbt_mm.engine.hooks import PartialFreezeHook
from lbbt_mm.models.layers import LanguageBlock

__all__ = ['CHANNELS', 'CLASSES', 'PATCH', 'TrainingStep', 'calibrating_calls']
HEAD_DIMS, CLASSES = 64, 100
EMBEDDING = ('backbone.patch_embed', 'backbone.pos_embed')


class Classifier(nn.Module):
    """LLMBackbone with GPT-2's kind of block, and a linear head.

    Args:
        size: ``layers``, ``width`` (a multiple of 64) and ``image``.
    """

    def __init__(self, size: SimpleNamespace) -> None:
        super().__init__()
        fields = dict(model_type='gpt2', n_embd=size.width, n_head=size.width // HEAD_DIMS, n_inner=4 * size.width,
                      initializer_range=0.02)
        self.backbone = our_backbone(fields, size)
        self.head = nn.Linear(size.width, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``(B, 3, H, W)`` to logits ``(B, 100)``."""
        return self.head(self.backbone(images)[0])


class TrainingStep:
    """Forward and backward pass of a model that is trained in part.

    Args:
        case: What is trained: ``trainable`` as for the hook, and whether the ``embedding`` is.
        size: ``layers``, ``width``, ``image`` and ``batch``.
        clock: Times the optimizer's steps.
    """

    def __init__(self, case: Any, size: SimpleNamespace, clock: str) -> None:
        self.model, self.clock = Classifier(size).train(), CLOCKS[clock]
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-5, weight_decay=0.05)
        runner = SimpleNamespace(model=self.model, optim_wrapper=OptimWrapper(self.optimizer),
                                 logger=logging.getLogger('partial_training'))
        also = ('backbone.norm', 'head') + (EMBEDDING if case.embedding else ())
        PartialFreezeHook(trainable=case.trainable, also=also).before_run(runner)
        self.images = torch.randn(size.batch, CHANNELS, size.image, size.image)
        self.labels = torch.randint(CLASSES, (size.batch, ))
        self.optimizer_seconds: List[float] = []
        self.held: Dict[str, int] = {}

    def __call__(self) -> None:
        """Run once."""
        F.cross_entropy(self.model(self.images), self.labels).backward()

    def forget(self) -> None:
        """Take the optimizer's step, timed apart; note what gradients and optimizer state hold; drop the gradients."""
        start = self.clock()
        self.optimizer.step()
        self.optimizer_seconds.append(self.clock() - start)
        self.held = held_bytes(self.model, self.optimizer)
        self.optimizer.zero_grad(set_to_none=True)


def calibrating_calls(step: TrainingStep) -> Dict[str, Callable[[], None]]:
    """Passes of blocks of a step's shape with nothing around them.

    ``forward`` is the forward pass without gradients; ``activations`` goes backward to the input too, all weights frozen;
    ``weights`` to all weights besides.
    """
    backbone = step.model.backbone
    blocks = nn.Sequential(*(LanguageBlock(block.spec) for block in backbone.blocks))
    tokens = torch.randn(len(step.images), backbone.pos_embed.shape[1], backbone.embed_dims)

    def run(gradients: bool, weights: bool) -> None:
        blocks.requires_grad_(weights)
        with torch.set_grad_enabled(gradients):
            output = blocks(tokens.detach().requires_grad_(gradients))
        if gradients:
            output.square().mean().backward()
            blocks.zero_grad(set_to_none=True)

    return dict(forward=partial(run, False, False), activations=partial(run, True, False), weights=partial(run, True, True))
