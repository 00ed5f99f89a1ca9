"""The bridge part: SmolLM2's blocks learn random labels from two starts, then a probe learns the true ones."""
import argparse
import os
from pathlib import Path

from rich.console import Console

from lbbt_mm.data_makers.digits_to_imagefolder import NUM_TRAIN_DIGITS, make_digits_imagefolder
from lbbt_mm.launch.config_options import option
from tools.demo.arms import Comparison, compare, make_data

CONFIGS = Path(__file__).resolve().parents[2] / 'configs' / 'demo'
BRIDGE, PROBE = CONFIGS / 'bridge_smollm2_digits.py', CONFIGS / 'probe_smollm2_digits.py'
#: Epochs of the small demo; the config has more.
EPOCHS = 8


def run(args: argparse.Namespace, checkpoint: Path, console: Console) -> None:
    """Compare language weights with the language model's own random start.

    Args:
        args: The demo's arguments.
        checkpoint: The language model.
        console: Where to print.
    """
    data = make_data(make_digits_imagefolder, args.out / f'digits_imagefolder-{NUM_TRAIN_DIGITS}')
    console.print(f'Data: handwritten digits in {data}; 500 with random labels for the bridge, all with true ones for the '
                  'probe', soft_wrap=True, highlight=False)
    os.environ['LBBT_DATA_ROOT'] = str(data)  # the configs' pipelines name the folder too
    epochs = args.epochs or (None if args.full else EPOCHS)
    options = [option('model.backbone.language.checkpoint', checkpoint)]
    if epochs:
        options += [f'train_cfg.max_epochs={epochs}', f'train_cfg.val_interval={epochs}']
    arms = ('language', 'shuffled', 'moment_matched', 'random') if args.full else ('language', 'random')
    compare(Comparison(BRIDGE, arms, ('train/accuracy/top1', f'{PROBE.stem}/accuracy/top1'), options,
                       ('--probe', str(PROBE))), args.out / 'bridge', args.seeds, args.fresh)
    console.print('train/: random labels of the training images, which there is nothing to learn from but by heart; probe: '
                  f'true labels of the test images, frozen backbone. Figure: {args.out / "bridge" / "curves.png"}',
                  soft_wrap=True, highlight=False)
