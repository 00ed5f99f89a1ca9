"""A small model that has everything in it that behaves otherwise in training, and runs of it."""
import json
from pathlib import Path
from typing import Any, Dict, Set
from unittest.mock import MagicMock

import torch
import torch.nn.functional as F
from mmengine.hooks import Hook
from mmengine.model import BaseModel, is_model_wrapper
from mmengine.optim import OptimWrapper
from mmengine.registry import DATASETS, HOOKS, MODELS
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import Dataset

from lbbt_mm.engine.hooks import PartialFreezeHook

WIDTH, CLASSES = 6, 3


class Block(nn.Module):
    """A residual block with dropout as a module and as a function."""

    def __init__(self, drop: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.fc = nn.Linear(WIDTH, WIDTH)
        self.drop = nn.Dropout(drop)

    def forward(self, x):
        return x + self.drop(F.dropout(self.fc(self.norm(x)), self.drop.p, self.training))


class Backbone(nn.Module):
    """A parameter of its own, dropout between parts, blocks, and a norm with running statistics."""

    def __init__(self, num_blocks: int, drop: float, batch_norm: bool) -> None:
        super().__init__()
        self.patch_embed = nn.Linear(4, WIDTH)
        self.pos_embed = nn.Parameter(torch.randn(WIDTH))
        self.drop_after_pos = nn.Dropout(drop)
        self.blocks = nn.ModuleList(Block(drop) for _ in range(num_blocks))
        self.bn = nn.BatchNorm1d(WIDTH) if batch_norm else nn.GroupNorm(2, WIDTH)

    def forward(self, x):
        x = self.drop_after_pos(self.patch_embed(x) + self.pos_embed)
        for block in self.blocks:
            x = block(x)
        return self.bn(x)


@MODELS.register_module()
class SmallNet(BaseModel):
    """A classifier in the shape of mm's."""

    def __init__(self, num_blocks: int = 4, drop: float = 0.5, batch_norm: bool = True) -> None:
        super().__init__()
        self.backbone = Backbone(num_blocks, drop, batch_norm)
        self.drop = nn.Dropout(drop)
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, x, y=None, mode='tensor'):
        scores = self.head(self.drop(self.backbone(x)))
        return dict(loss=F.cross_entropy(scores, y)) if mode == 'loss' else scores


@DATASETS.register_module()
class EightPoints(Dataset):
    """Eight points, of three classes in turn."""
    metainfo = dict(classes=tuple('abc'))

    def __getitem__(self, index):
        x = torch.randn(4, generator=torch.Generator().manual_seed(index))
        return dict(x=x, y=index % CLASSES)

    def __len__(self):
        return 8


@HOOKS.register_module()
class ExchangeRecordingHook(Hook):
    """Writes how many numbers each step exchanges between ranks, and what each rank's weights add up to."""

    def __init__(self) -> None:
        self.exchanged = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        if is_model_wrapper(runner.model):
            assert not runner.model.find_unused_parameters
            self.exchanged.append(runner.model._get_ddp_logging_data()['total_parameter_size_bytes'] // 4)

    def after_train(self, runner) -> None:
        total = float(sum(parameter.double().sum() for parameter in runner.model.parameters()))
        record = dict(exchanged=self.exchanged, total=total)
        (Path(runner.work_dir) / f'rank{runner.rank}.json').write_text(json.dumps(record))


def loader(batch_size: int = 4, sampler: str = 'DefaultSampler') -> dict:
    """A config of a data loader."""
    return dict(dataset=dict(type='EightPoints'), sampler=dict(type=sampler, shuffle=True), batch_size=batch_size,
                collate_fn=dict(type='default_collate'))


def train(work_dir, hook=None, model=None, epochs: int = 2, optim_wrapper=None, resume=False, hooks=(), batch_size=4,
          train_cfg=None, sampler='DefaultSampler', **options) -> Runner:
    """Train in a runner of mmengine's, without dropout's luck: every step has a seed of its own."""
    train.count += 1
    torch.manual_seed(0)
    runner = Runner(
        model=model or SmallNet(),
        work_dir=str(work_dir),
        train_dataloader=loader(batch_size, sampler),
        train_cfg=train_cfg or dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=optim_wrapper or dict(optimizer=dict(type='AdamW', lr=1e-2, weight_decay=0.5)),
        custom_hooks=[dict(type='lbbt_mm.SeedingHook')] + ([hook] if hook else []) + list(hooks),
        randomness=dict(seed=0),
        resume=resume,
        log_level='ERROR',
        experiment_name=f'small_net{train.count}',
        **options)
    runner.train()
    return runner


train.count = 0


def mock_runner(model: nn.Module, **options: Any) -> MagicMock:
    """What the hook sees of a runner that trains."""
    optim_wrapper = OptimWrapper(torch.optim.AdamW(model.parameters(), lr=0.1))
    return MagicMock(spec=Runner, model=model, optim_wrapper=optim_wrapper, logger=MagicMock(), cfg={}, max_epochs=3,
                     train_loop=None, **options)


def freeze(model: nn.Module, **options: Any) -> nn.Module:
    """The model as the hook leaves it before training, in train mode; without ``also`` nothing but the blocks trains."""
    PartialFreezeHook(**{'also': (), **options}).before_run(mock_runner(model))
    return model.train()


def trainable(model: nn.Module) -> Set[str]:
    """Names of the parameters that take gradients."""
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def below(model: nn.Module, *prefixes: str) -> Set[str]:
    """Names of the parameters that begin with one of ``prefixes``."""
    return {name for name, _ in model.named_parameters() if name.startswith(prefixes)}


def state_of(runner: Runner) -> Set[str]:
    """Names of the parameters that the optimizer keeps something of."""
    state = runner.optim_wrapper.optimizer.state
    return {name for name, parameter in runner.model.named_parameters() if state.get(parameter)}


def weights(model: nn.Module) -> Dict[str, torch.Tensor]:
    """A copy of all tensors."""
    return {name: tensor.clone().cpu() for name, tensor in model.state_dict().items()}


def changed(before: Dict[str, torch.Tensor], after: Dict[str, torch.Tensor]) -> Set[str]:
    """Names of the tensors that differ."""
    return {name for name in before if not torch.equal(before[name], after[name])}
