"""A comparison of language models in miniature: pictures whose features are sums of those of their captions' words."""
import csv
from pathlib import Path
from typing import Any, List, NamedTuple, Sequence

import torch

from tests.feature_stores import write_store
from tests.tiny_checkpoints import build_model
from tests.tiny_tokenizer import write_tokenizer
from tests.tool_processes import REPO

NOUNS, COLORS, VERBS = ('cat', 'dog', 'bird'), ('red', 'green', 'blue'), ('sits', 'stands', 'runs')
#: What makes a run of a few steps out of the small config.
FEW_STEPS = ['train_cfg.max_iters=8', 'train_cfg.val_interval=4', 'train_dataloader.batch_size=16',
             'train_dataloader.sampler.batch_size=16', 'model.text_projection.hidden_channels=16',
             'default_hooks.checkpoint.interval=4', 'param_scheduler.0.end=4', 'param_scheduler.1.begin=4',
             'train_dataloader.dataset.val_share=0.2', 'val_dataloader.dataset.val_share=0.2']


class Files(NamedTuple):
    """What a comparison is given, all in one folder."""
    folder: Path

    def arguments(self, languages: Sequence[str], *more: Any) -> List[str]:
        """A command line."""
        return list(map(str, [
            REPO / 'configs' / 'small' / 'sharelock_emoji.py', '--language', *languages, '--captions',
            self.folder / 'train.csv', '--images', self.folder / 'train', '--test-images', self.folder / 'test', '--task',
            f'nouns={self.folder / "labels.txt"},{self.folder / "names.txt"}', '--templates', 'a red {}', '--out',
            self.folder / 'out', *more]))

    def language(self, name: str) -> str:
        """A tiny language model with a tokenizer."""
        if not (self.folder / name).exists():
            build_model(name).save_pretrained(self.folder / name)
            write_tokenizer(self.folder / name)
        return str(self.folder / name)


def write_comparison(folder: Path, each: int = 3) -> Files:
    """Write pictures' features, captions and labels; what is green, and birds, are for tests.

    Args:
        folder: Where.
        each: Pictures of a caption.
    """
    generator = torch.Generator().manual_seed(0)
    parts = {word: torch.randn(6, generator=generator) for word in (*NOUNS, *COLORS, *VERBS)}
    words = [words for words in torch.cartesian_prod(*map(torch.arange, (3, 3, 3))).tolist() for _ in range(each)]
    rows = {f'images/{number:03d}.png': [NOUNS[noun], COLORS[color], VERBS[verb]]
            for number, (noun, color, verb) in enumerate(words)}
    for split in ('train', 'test'):
        keys = [key for key, found in rows.items() if bool({'bird', 'green'} & set(found)) == (split == 'test')]
        features = torch.stack([sum(parts[word] for word in rows[key]) for key in keys])
        write_store(folder / split, 'image', keys, features + 0.1 * torch.randn(features.shape, generator=generator))
        with open(folder / f'{split}.csv', 'w', newline='') as file:
            csv.writer(file).writerows([['image', 'caption'], *(
                [key, 'a {1} {0} {2}'.format(*rows[key])] for key in keys)])
    (folder / 'labels.txt').write_text(''.join(f'{key} {NOUNS.index(rows[key][0])}\n' for key in keys))
    (folder / 'names.txt').write_text(''.join(f'{name}\n' for name in NOUNS))
    (folder / 'text.txt').write_text('the red cat sits here a blue dog runs there now ' * 3)
    return Files(folder)
