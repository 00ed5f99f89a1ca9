"""The bridge part of ``demo.py``: four arms of SmolLM2's blocks learn random labels, then a probe learns the true ones."""
import os
import sys
import time
from pathlib import Path
from typing import Optional

from rich.console import Console

from lbbt_mm.data_makers.digits_to_imagefolder import NUM_TRAIN_DIGITS, make_digits_imagefolder
from lbbt_mm.experiments.compare_arms import main as compare_arms
from lbbt_mm.launch.config_options import option
from tools.demo.arms import make_data

CONFIGS = Path(__file__).resolve().parents[2] / 'configs' / 'demo'
BRIDGE, PROBE = CONFIGS / 'bridge_smollm2_digits.py', CONFIGS / 'probe_smollm2_digits.py'


def run_bridge_demo(out: Path, checkpoint: Path, console: Console, epochs: Optional[int] = None,
                    fresh: bool = False) -> None:
    """Run ``compare_arms.py`` on the digits, two arms at the same time where there are two cores.

    Args:
        out: The demo's folder.
        checkpoint: The language model.
        console: Where to print.
        epochs: Number of epochs of the bridge; None for the config's.
        fresh: Whether to remove the runs that are there, and start again.
    """
    started = time.monotonic()
    data = make_data(make_digits_imagefolder, out / f'digits_imagefolder-{NUM_TRAIN_DIGITS}')
    console.print(f'Data: handwritten digits in {data}; 500 with random labels for the bridge, all with true ones for the '
                  'probe', soft_wrap=True)
    os.environ['LBBT_DATA_ROOT'] = str(data)  # the configs' pipelines name the folder too
    options = [option('model.backbone.language.checkpoint', checkpoint)]
    if epochs:
        options += [f'train_cfg.max_epochs={epochs}', f'train_cfg.val_interval={epochs}', f'param_scheduler.1.end={epochs}']
    jobs = 2 if len(os.sched_getaffinity(0)) > 1 else 1
    failed = compare_arms([str(BRIDGE), '--probe', str(PROBE), '--seeds', '0', '--jobs', str(jobs), '--out',
                           str(out / 'bridge'), '--metric', 'train/accuracy/top1', 'test/accuracy/top1',
                           f'{PROBE.stem}/accuracy/top1', *(['--fresh'] if fresh else []), '--cfg-options', *options])
    if failed:
        sys.exit(failed)
    console.print(f'{(time.monotonic() - started) / 60:.1f} minutes in this call. train/: random labels of the training '
                  'images; test/: true labels, on which a model trained with random ones cannot be good; probe: true '
                  f'labels, frozen backbone. Figure: {out / "bridge" / "curves.png"}', soft_wrap=True)
