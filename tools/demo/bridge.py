"""The bridge part: SmolLM2's blocks learn random labels from two starts, then a probe learns the true ones."""
from pathlib import Path
from typing import List

from lbbt_mm.data_makers.digits_to_imagefolder import NUM_TRAIN_DIGITS, make_digits_imagefolder
from lbbt_mm.launch.config_options import option
from tools.demo.part import CONFIGS, Part, length, quick_precision
from tools.demo.sizes import Sizes

PROBE = CONFIGS / 'probe_smollm2_digits.py'


def options(checkpoint: Path, sizes: Sizes) -> List[str]:
    """Overrides of the bridge's config."""
    digits = sizes.bridge_digits
    return [option('model.backbone.language.checkpoint', checkpoint), f'train_dataloader.dataset.num_samples={digits}',
            f'val_cfg.num_train_samples={digits}', *length(sizes.bridge_epochs),
            *([option('model.backbone.language.blocks', sizes.bridge_blocks)] if sizes.bridge_blocks else [])]


def probe_options(sizes: Sizes) -> List[str]:
    """Arguments that name the probe, and overrides of its config."""
    overrides = [*length(sizes.probe_epochs), *quick_precision(PROBE)]
    return ['--probe', str(PROBE), *(['--probe-cfg-options', *overrides] if overrides else [])]


PART = Part(
    config=CONFIGS / 'bridge_smollm2_digits.py',
    arms=(),
    metrics=('train/accuracy/top1', f'{PROBE.stem}/accuracy/top1'),
    make_data=lambda out, sizes: make_digits_imagefolder(out / f'digits_imagefolder-{NUM_TRAIN_DIGITS}'),
    options=options,
    more=probe_options,
    data='handwritten digits; {bridge_digits} with random labels for the bridge, all with true ones for the probe',
    note='train/: random labels of the training images, which can only be learned by heart; probe: true '
    'labels of the test images, frozen backbone.')
