"""A hook that writes down what all ranks together saw and got, for runs that are to be compared."""
import json
from pathlib import Path

import torch
from mmengine.dist import all_gather_object
from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module()
class RecordingHook(Hook):
    """Write the images and the mean loss of every step, and the gradients of the first, to the work directory.

    ``steps.json`` has one ``[image ids of all ranks, loss]`` a step. ``gradients.pth`` has what the first step left in
    AdamW's first moments, which is a tenth of the gradient.
    """
    priority = 'VERY_LOW'

    def __init__(self) -> None:
        self.steps = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        seen = all_gather_object([getattr(sample, 'img_id', sample.img_path) for sample in data_batch['data_samples']])
        losses = all_gather_object(float(outputs['loss']))
        self.steps.append([sorted(sum(seen, [])), sum(losses) / len(losses)])
        if runner.rank == 0 and runner.iter == 0:
            state = runner.optim_wrapper.optimizer.state
            model = getattr(runner.model, 'module', runner.model)
            torch.save({name: state[parameter]['exp_avg'] for name, parameter in model.named_parameters()
                        if 'exp_avg' in state[parameter]}, Path(runner.work_dir) / 'gradients.pth')

    def after_train(self, runner) -> None:
        if runner.rank == 0:
            (Path(runner.work_dir) / 'steps.json').write_text(json.dumps(self.steps))
