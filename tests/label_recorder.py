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

parser = argparse.ArgumentParser()
parser.add_argument('config')
parser.add_argument('out')
parser.add_argument('--launcher', default='none')
args = parser.parse_args()
if args.launcher == 'pytorch':
    dist.init_process_group('gloo')
loader_config = Config.fromfile(args.config).to_dict()
with DefaultScope.overwrite_default_scope('mmpretrain'):
    loader = Runner.build_dataloader(loader_config, seed=0)
epochs = []
for epoch in range(2):
    loader.sampler.set_epoch(epoch)
    epochs.append(labels_by_path(
        dict(data_samples=sample) for batch in loader for sample in batch['data_samples']))
Path(args.out, f"rank{os.environ.get('RANK', 0)}.json").write_text(json.dumps(epochs))
if dist.is_initialized():
    dist.destroy_process_group()
