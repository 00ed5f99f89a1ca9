"""A program that does one step on its part of some pairs, as one rank of a run: python pair_ranks.py FOLDER.

FOLDER has ``step.pt``, a dict: ``settings`` of ShareLock, ``image`` and ``text`` (features), ``model`` (its state). The
program writes ``rankN.pt``: the loss, the mean of the ranks' gradients, and the model's state behind the step.
"""
import argparse
from pathlib import Path

import torch
import torch.distributed as dist

from lbbt_mm.registry import MODELS

TEXT = dict(type='lbbt_mm.MLPProjection', in_channels=6, out_channels=5, hidden_channels=8, num_layers=3, dropout=0)


def build(settings: dict) -> torch.nn.Module:
    """A ShareLock that draws nothing."""
    return MODELS.build(dict(type='lbbt_mm.ShareLock', text_projection=TEXT, **settings))


def step(given: dict, rank: int = 0, world_size: int = 1) -> dict:
    """One step on this rank's pairs, every ``world_size``-th of them."""
    model = build(given['settings'])
    model.load_state_dict(given['model'])
    loss = model({name: given[name][rank::world_size] for name in ('image', 'text')}, mode='loss')['loss']
    loss.backward()
    gradients = {name: part.grad for name, part in model.named_parameters()}
    if world_size > 1:
        for gradient in gradients.values():
            dist.all_reduce(gradient)
            gradient /= world_size
    return dict(loss=loss.detach(), gradients=gradients, model=model.state_dict())


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
