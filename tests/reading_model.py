"""A classifier that reads the true label off the image, and images that show it: what it scores is known beforehand."""
import json
from copy import deepcopy
from pathlib import Path
from typing import Any, List

import numpy as np
import torch
from mmengine.dataset import BaseDataset
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, HOOKS, METRICS, MODELS
from torch import nn

CLASSES = 4
NUM_TRAIN, NUM_TEST = 17, 7
# Pixels tell test images from training images
FIRST_TEST = 100


@DATASETS.register_module()
class NumberImages(BaseDataset):
    """Image ``i`` has pixels ``first + i`` and the label ``(first + i) % 4``."""
    METAINFO = dict(classes=tuple('abcd'))

    def __init__(self, size: int, first: int = 0, **kwargs) -> None:
        self.numbers = range(first, first + size)
        super().__init__(**kwargs)

    def load_data_list(self) -> List[dict]:
        return [dict(img=np.full((2, 2, 3), number, np.uint8), gt_label=number % CLASSES) for number in self.numbers]


@MODELS.register_module()
class ReadingModel(BaseModel):
    """Predicts the number's true label in eval mode, and another one in train mode; notes what it was shown."""

    def __init__(self, offset: int = 0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.linear = nn.Linear(12, 1)
        self.offset = offset
        self.read: List[int] = []
        self.weights_seen: List[float] = []
        self.dtypes: set = set()

    def forward(self, inputs, data_samples, mode='tensor'):
        if mode == 'loss':
            noise = torch.rand(1).item()  # as dropout would draw
            unused = sum(parameter.sum() for parameter in self.linear.parameters())
            return dict(loss=-(self.weight * (1 + noise)).sum() + 0. * unused)
        numbers = [int(image.flatten()[0]) for image in inputs]
        self.read += numbers
        self.weights_seen.append(self.weight.item())
        self.dtypes.add(self.linear(torch.stack(list(inputs)).flatten(1).float()).dtype)
        for number, sample in zip(numbers, data_samples):
            sample.set_pred_label((number + self.offset + self.training) % CLASSES)
            sample.set_field(number, 'number')
        return data_samples


@METRICS.register_module()
class Numbers(BaseMetric):
    """Which numbers were evaluated, on all ranks together."""
    default_prefix = 'numbers'

    def process(self, data_batch, data_samples) -> None:
        self.results += [sample['number'] for sample in data_samples]

    def compute_metrics(self, results: list) -> dict:
        return dict(count=len(results), distinct=len(set(results)), largest=max(results))


@HOOKS.register_module()
class CallRecordingHook(Hook):
    """Notes the hook methods of validation in order, with the numbers of a batch; writes the metrics of each."""
    priority = 'LOWEST'

    def __init__(self) -> None:
        self.calls: List[Any] = []
        self.metrics: List[dict] = []

    def before_val(self, runner) -> None:
        self.calls.append('before_val')

    def before_val_epoch(self, runner) -> None:
        self.calls.append('before_val_epoch')

    def before_val_iter(self, runner, batch_idx, data_batch=None) -> None:
        self.calls.append(('before_val_iter', batch_idx))

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        self.calls.append(('after_val_iter', batch_idx, [sample.number for sample in outputs]))

    def after_val_epoch(self, runner, metrics=None) -> None:
        self.calls.append('after_val_epoch')
        self.metrics.append(metrics)

    def after_val(self, runner) -> None:
        self.calls.append('after_val')
        (Path(runner.work_dir) / f'metrics{runner.rank}.json').write_text(json.dumps(self.metrics))


def dataset(size: int, first: int = 0, *transforms: dict) -> dict:
    """A config of :class:`NumberImages`."""
    return dict(type='NumberImages', size=size, first=first, pipeline=[
        *transforms, dict(type='mmpretrain.PackInputs', meta_keys=('sample_idx', ))])


def run_config(*transforms: dict, **overrides: Any) -> dict:
    """Two epochs with an evaluation after each; random labels in training.

    Args:
        *transforms: Steps of the training pipeline, after the random labels.
        **overrides: Entries that replace those of ``val_cfg`` where they begin with ``val__``, or whole entries.
    """
    labels = dict(type='lbbt_mm.RandomLabel', num_classes=CLASSES, key='sample_idx', seed=1)
    test = dict(dataset=dataset(NUM_TEST, FIRST_TEST), batch_size=3, sampler=dict(type='DefaultSampler', shuffle=False,
                                                                                  round_up=False))
    config = dict(
        custom_imports=dict(imports=['tests.reading_model']),
        model=dict(type='ReadingModel'),
        train_dataloader=dict(dataset=dataset(NUM_TRAIN, 0, labels, *transforms), batch_size=4,
                              sampler=dict(type='DefaultSampler', shuffle=True)),
        val_dataloader=test,
        test_dataloader=deepcopy(test),
        train_cfg=dict(by_epoch=True, max_epochs=2),
        val_cfg=dict(type='lbbt_mm.BridgeValLoop', num_train_samples=10),
        test_cfg=dict(),
        val_evaluator=[dict(type='mmpretrain.Accuracy'), dict(type='Numbers')],
        test_evaluator=[dict(type='mmpretrain.Accuracy')],
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=1.)),
        custom_hooks=[dict(type='CallRecordingHook')],
        randomness=dict(seed=0))
    for key, value in overrides.items():
        if key.startswith('val__'):
            config['val_cfg'][key[len('val__'):]] = value
        else:
            config[key] = value
    return config
