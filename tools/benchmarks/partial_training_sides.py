"""A training step of a model that is trained in part, and passes of the same blocks alone to measure rates with."""
import logging
import statistics
from collections import OrderedDict
from functools import partial
from types import SimpleNamespace
from typing import Any, Callable, Dict, List, Mapping, Tuple

import numpy as np
import torch
import torch.nn.functional as F
from contenders import giga_flops, held_bytes
from harness import CLOCKS, Row, Timing, spread, time_rounds
from llm_backbone_sides import CHANNELS, PATCH, our_backbone
from mmengine.optim import OptimWrapper
from torch import nn

from lbbt_mm.engine.hooks import PartialFreezeHook
from lbbt_mm.models.layers import LanguageBlock

HEAD_DIMS, CLASSES = 64, 100
KINDS, MEASURED = ('forward', 'activations', 'weights'), 'training step'
EMBEDDING = ('backbone.patch_embed', 'backbone.pos_embed')


def classifier(size: SimpleNamespace) -> nn.Module:
    """LLMBackbone with GPT-2's kind of block, and a linear head: images ``(B, 3, H, W)`` to logits ``(B, 100)``.

    Args:
        size: ``layers``, ``width`` (a multiple of 64) and ``image``.
    """
    fields = dict(model_type='gpt2', n_embd=size.width, n_head=size.width // HEAD_DIMS, n_inner=4 * size.width,
                  initializer_range=0.02)
    return nn.Sequential(OrderedDict(backbone=our_backbone(fields, size), head=nn.Linear(size.width, CLASSES)))


class TrainingStep:
    """Forward and backward pass of a model that is trained in part.

    Args:
        trainable: Which blocks are, as for the hook.
        embedding: Whether patch embedding and positions are.
        size: ``layers``, ``width``, ``image`` and ``batch``.
        clock: Times the optimizer's steps.
    """

    def __init__(self, trainable: str, embedding: bool, size: SimpleNamespace, clock: str) -> None:
        self.model, self.clock = classifier(size).train(), CLOCKS[clock]
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-5, weight_decay=0.05)
        runner = SimpleNamespace(model=self.model, optim_wrapper=OptimWrapper(self.optimizer),
                                 logger=logging.getLogger('partial_training'))
        also = ('backbone.norm', 'head') + (EMBEDDING if embedding else ())
        PartialFreezeHook('backbone.blocks', trainable, also).before_run(runner)
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


def describe(rows: Mapping[str, Row], size: SimpleNamespace) -> Dict[str, str]:
    """Sizes."""
    return dict(sizes=f'width {size.width}, {size.layers} blocks, batch {size.batch}, {(size.image // PATCH)**2} tokens')


def measure(row: Row, size: SimpleNamespace, timing: Timing) -> Tuple[List[Dict[str, Any]], Dict[str, List[float]]]:
    """Time a step and the calibrating calls in turn, and predict the one from the others.

    Args:
        row: What is trained: ``trainable`` as for the hook, and whether the ``embedding`` is.
        size: What the options give.
        timing: How it is measured.

    Returns:
        tuple: What the table shows, with the rates in GFLOP/s; and the seconds of every call.
    """
    trainable, embedding = row.options['trainable'], row.options['embedding']
    step = TrainingStep(trainable, embedding, size, timing.clock)
    calls = calibrating_calls(step)
    calibration = np.diff([giga_flops(call) for call in calls.values()], prepend=0)
    done = giga_flops(step)
    step.optimizer.zero_grad(set_to_none=True)
    backward, trained = trained_blocks(trainable, embedding, size.layers)
    patches = 2e-9 * size.batch * (size.image // PATCH)**2 * CHANNELS * PATCH**2 * size.width
    head = 2e-9 * size.batch * size.width * CLASSES
    counted = [share * work + head for share, work in zip((1, backward / size.layers, trained / size.layers), calibration)]
    counted = [counted[0] + patches, counted[1], counted[2] + patches * embedding]
    seconds = time_rounds({**calls, MEASURED: step}, timing)
    times = list(zip(*(seconds[kind] for kind in KINDS)))
    rounds = calibration / np.diff(times, prepend=0).clip(1e-9)  # one row for each
    predicted = (counted / rounds).sum(1).tolist()
    rates = dict(zip(KINDS, np.median(rounds, axis=0).tolist()))
    print(f'{row.title}, GFLOP/s: ' + ', '.join(f'{kind} {rate:.0f}' for kind, rate in rates.items()), flush=True)
    return [dict(
        trained=row.title, counted=dict(zip(KINDS, counted)), done=done, predicted_seconds=statistics.median(predicted),
        measured_seconds=statistics.median(seconds[MEASURED]), wanted=row.wanted,
        **spread([measured / expected for measured, expected in zip(seconds[MEASURED], predicted)]),
        optimizer_seconds=statistics.median(step.optimizer_seconds[1:]),  # the first one allocates the state
        bytes=step.held, rates=rates)], seconds


def trained_blocks(trainable: str, embedding: bool, layers: int) -> Tuple[int, int]:
    """How many of so many blocks hand gradients on, and how many are trained."""
    trained = layers if trainable == 'all' else int(trainable.split(':')[1])
    return trained if trainable.startswith('last') and not embedding else layers, trained
