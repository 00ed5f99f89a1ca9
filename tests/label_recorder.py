"""A program that loads a dataset as one rank of a run and writes the labels it sees: python label_recorder.py CONFIG OUT."""
import argparse
import json
import os
from pathlib import Path

import torch.distributed as dist
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from tests.image_folders import labels_by_path


def main() -> None:
    """Two epochs of the loader that CONFIG describes; OUT gets ``rankN.json``, a dict of path -> label for each epoch."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config')
    parser.add_argument('out', type=Path)
    parser.add_argument('--launcher', default='none')
    args = parser.parse_args()
    if args.launcher == 'pytorch':
        dist.init_process_group('gloo')
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        loader = Runner.build_dataloader(Config.fromfile(args.config).to_dict(), seed=0)
    epochs = []
    for epoch in range(2):
        loader.sampler.set_epoch(epoch)
        samples = (dict(data_samples=sample) for batch in loader for sample in batch['data_samples'])
        epochs.append(labels_by_path(samples))
    (args.out / f"rank{os.environ.get('RANK', 0)}.json").write_text(json.dumps(epochs))
    if dist.is_initialized():
        dist.destroy_process_group()


if __name__ == '__main__':
    main()
