"""A program that does one step on its part of some pairs, as one rank of a run: python pair_ranks.py FOLDER.

FOLDER has ``step.pt``, a dict: ``loss`` (a config), ``image`` and ``text`` (features), ``projection`` (its state). The
program writes ``rankN.pt``: the loss, the mean of the ranks' gradients, and the projection's state behind the step.
"""
import argparse
from pathlib import Path

import torch
import torch.distributed as dist
import torch.nn.functional as F

from lbbt_mm.models.losses import InfoNCELoss, SigmoidPairLoss
from lbbt_mm.models.projections import MLPProjection

LOSSES = dict(InfoNCELoss=InfoNCELoss, SigmoidPairLoss=SigmoidPairLoss)


def step(given: dict, rank: int = 0, world_size: int = 1) -> dict:
    """One step on this rank's pairs, every ``world_size``-th of them."""
    image, text = (given[name][rank::world_size] for name in ('image', 'text'))
    projection = MLPProjection(text.shape[1], image.shape[1], hidden_channels=8, num_layers=3, dropout=0)
    projection.load_state_dict(given['projection'])
    settings = dict(given['loss'])
    loss = LOSSES[settings.pop('type')](**settings)
    value = loss(F.normalize(image, dim=-1), F.normalize(projection(text), dim=-1))
    value.backward()
    gradients = {name: part.grad for module in (projection, loss) for name, part in module.named_parameters()}
    if world_size > 1:
        for gradient in gradients.values():
            dist.all_reduce(gradient)
            gradient /= world_size
    return dict(loss=value.detach(), gradients=gradients, projection=projection.state_dict())


def main() -> None:
    """Join the ranks and do the step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('folder', type=Path)
    parser.add_argument('--launcher', default='none')
    args = parser.parse_args()
    dist.init_process_group('gloo')
    rank = dist.get_rank()
    torch.save(step(torch.load(args.folder / 'step.pt'), rank, dist.get_world_size()), args.folder / f'rank{rank}.pt')
    dist.destroy_process_group()


if __name__ == '__main__':
    main()
