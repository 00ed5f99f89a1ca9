"""How long the demo's parts train, and on how much: the one place where its time is tuned.

The short demo is to take at most 8 minutes of training on two shared cores, all parts, arms and seeds together, also where
the processor has no instructions for bfloat16. Some 13 seconds of each of its 30 trainings are the start of a process.
"""
from typing import NamedTuple, Optional, Tuple


class Sizes(NamedTuple):
    """Sizes of a demo; a length of None is the config's own.

    Attributes:
        bridge_arms: Arms of the bridge, the one that the others are compared with last.
        bridge_blocks: SmolLM2's blocks in the bridge; None for the config's own.
        bridge_epochs: Epochs on random labels.
        bridge_digits: Digits with random labels.
        probe_epochs: Epochs of the linear probe on true labels.
        detection_epochs: Epochs on the canvases with boxes.
        detection_batch: Canvases in a batch.
        detection_queries: Boxes that are predicted on a canvas; the fewer, the sooner they are learned.
        segmentation_iterations: Iterations on the canvases with masks, 8 canvases each.
        rectifier_epochs: Epochs of the ViT with and without a rectifier.
        rectifier_digits: Digits that it trains on.
        canvases: Training canvases of detection and of segmentation.
        validation_canvases: What both are measured on.
    """
    bridge_arms: Tuple[str, ...] = ('language', 'random')
    bridge_blocks: Optional[str] = '0:2'
    bridge_epochs: Optional[int] = 5
    bridge_digits: int = 250
    probe_epochs: Optional[int] = 1
    detection_epochs: Optional[int] = 2
    detection_batch: int = 8
    detection_queries: int = 6
    segmentation_iterations: Optional[int] = 100
    rectifier_epochs: Optional[int] = 5
    rectifier_digits: int = 300
    canvases: int = 500
    validation_canvases: int = 100


SHORT = Sizes()
FULL = Sizes(bridge_arms=('language', 'shuffled', 'moment_matched', 'random'), bridge_blocks=None, bridge_epochs=None,
             bridge_digits=500, probe_epochs=None, detection_epochs=None, detection_batch=16, detection_queries=25,
             segmentation_iterations=None, rectifier_epochs=None, rectifier_digits=500, canvases=5000,
             validation_canvases=200)
