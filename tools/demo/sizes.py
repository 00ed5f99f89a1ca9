"""How long the demo's parts train, and on how much: the one place where its time is tuned.

The short demo is to take at most 8 minutes of training on two shared cores, all parts, arms and seeds together. Where the
processor has no instructions for bfloat16 a step takes several times as long, so there are fewer of them; 10 seconds of each
of the 30 trainings are the start of a process there.
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
    bridge_blocks: Optional[str] = None
    bridge_epochs: Optional[int] = 5
    bridge_digits: int = 300
    probe_epochs: Optional[int] = 2
    detection_epochs: Optional[int] = 2
    detection_batch: int = 8
    detection_queries: int = 6
    segmentation_iterations: Optional[int] = 150
    rectifier_epochs: Optional[int] = 5
    rectifier_digits: int = 300
    canvases: int = 1000
    validation_canvases: int = 150


SHORT = Sizes()
WITHOUT_BFLOAT16 = Sizes(bridge_blocks='0:2', bridge_epochs=4, bridge_digits=150, probe_epochs=1, segmentation_iterations=32,
                         rectifier_epochs=4, rectifier_digits=200, canvases=140, validation_canvases=60)
FULL = Sizes(bridge_arms=('language', 'shuffled', 'moment_matched', 'random'), bridge_epochs=None,
             bridge_digits=500, probe_epochs=None, detection_epochs=None, detection_batch=16, detection_queries=25,
             segmentation_iterations=None, rectifier_epochs=None, rectifier_digits=500, canvases=5000,
             validation_canvases=200)
