"""Takes the place of ``tools/train.py`` where a test is about what happens around a training: it ends in no time.

Run as a script it writes what a training of four epochs writes. ``behaviour.json`` beside its config says which runs, by
the name of their folder, do otherwise, and ``starts.txt`` there lists the runs that were started.
"""
import json
import math
import os
import pickle
import sys
import time
import zipfile
from pathlib import Path
from typing import Dict, List

EPOCHS, STEPS = 4, 2
#: By behaviour: what a validation writes
VALIDATIONS = {
    None: lambda value: {'accuracy/top1': value},
    'val_loss': lambda value: {'val/loss': 100 - value, 'accuracy/top1': value},
    'nan_metric': lambda value: {'accuracy/top1': math.nan},
    'no_val': lambda value: {},
}
CONFIG = '''
data_root = 'images'
model = dict(backbone=dict(language=dict(checkpoint='none', arm='language', seed=0), width=8))
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.01))
train_cfg = dict(by_epoch=True, max_epochs=4)
randomness = dict(seed=0)
'''
PROBE = CONFIG.replace('width=8', "width=8, init_cfg=dict(type='lbbt_mm.BridgeInit', checkpoint=None)")


def write_configs(folder: Path) -> Path:
    """Write the configs ``bridge.py`` and ``probe.py``; returns the first."""
    (folder / 'bridge.py').write_text(CONFIG)
    (folder / 'probe.py').write_text(PROBE)
    return folder / 'bridge.py'


def behave(folder: Path, **runs: str) -> None:
    """Set what runs do: ``fail``, ``nan`` (to the end), ``nan_error``, ``hang``, ``fail_once``; see also below."""
    (folder / 'behaviour.json').write_text(json.dumps(runs))


def starts(folder: Path) -> List[str]:
    """The runs that were started, in their order."""
    path = folder / 'starts.txt'
    return path.read_text().split() if path.exists() else []


def write_checkpoint(path: Path) -> None:
    """Write a complete checkpoint that holds nothing, without torch, which takes seconds to import."""
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('archive/data.pkl', pickle.dumps({}, protocol=2))
        archive.writestr('archive/version', b'3\n')


def accuracy(arm: str, seed: int, lr: float, probe: bool = False, std: float = 0.02) -> float:
    """The final accuracy, half of it for the probe.

    It is best at lr 0.1 for language and at 0.01 for the others; at init_std 0.04 for random_tuned, with lr 0.1.
    """
    tuned = arm == 'random_tuned'
    best = -1 if arm == 'language' or tuned and std == 0.04 else -2
    value = 40 + (20 + seed) * (arm == 'language') + 2 * seed - 4 * abs(math.log10(lr) - best)
    value -= tuned * 10 * abs(math.log2(std / 0.04))
    return value / 2 if probe else value


def main() -> None:
    config, work_dir = Path(sys.argv[1]), Path(sys.argv[sys.argv.index('--work-dir') + 1])
    assert '--resume' in sys.argv
    if os.environ.get('RANK', '0') != '0':
        return  # the first rank writes
    options: Dict[str, str] = {}
    if '--cfg-options' in sys.argv:
        options = dict(option.split('=', 1) for option in sys.argv[sys.argv.index('--cfg-options') + 1:])
    with open(config.parent / 'starts.txt', 'a') as file:
        file.write(f'{work_dir.name}\n')
    behaviour_path = config.parent / 'behaviour.json'
    behaviour = json.loads(behaviour_path.read_text()).get(work_dir.name) if behaviour_path.exists() else None
    arm, seed = options.get('model.backbone.language.arm', 'language'), int(options.get('randomness.seed', 0))
    std = float(options.get('model.backbone.language.init_std', 0.02))
    final = accuracy(arm, seed, float(options.get('optim_wrapper.optimizer.lr', 0.01)), config.stem == 'probe', std)
    marker = work_dir / 'last_checkpoint'
    known = marker.exists() and Path(marker.read_text()).exists()
    first = int(marker.read_text()[:-4].split('_')[-1]) if known else 0
    if behaviour == 'fail' or behaviour == 'fail_once' and first == 0 and starts(config.parent).count(work_dir.name) == 1:
        print('Traceback (most recent call last):\nFileNotFoundError: no such images')
        sys.exit(1)
    scalars = work_dir / f'attempt{first}' / 'vis_data' / 'scalars.json'
    scalars.parent.mkdir(parents=True, exist_ok=True)
    for epoch in range(first + 1, EPOCHS + 1):
        loss = math.nan if behaviour in ('nan', 'nan_error') else 4. / epoch
        with open(scalars, 'a') as file:
            record = dict(lr=0.1, loss=loss, time=0.1, epoch=epoch, iter=epoch * STEPS, step=epoch * STEPS)
            file.write(json.dumps(record) + '\n')
            metrics = VALIDATIONS.get(behaviour, VALIDATIONS[None])(final * epoch / EPOCHS)
            if metrics:
                file.write(json.dumps({**metrics, 'time': 0.1, 'step': epoch}) + '\n')
        print(f'Epoch(train)  [{epoch}][{STEPS}/{STEPS}]  lr: 1e-1  loss: {loss:.4f}', flush=True)
        write_checkpoint(work_dir / f'epoch_{epoch}.pth')
        marker.write_text(str(work_dir / f'epoch_{epoch}.pth'))
        if behaviour == 'nan_error':
            print('AssertionError: loss become infinite or NaN!')
            sys.exit(1)
        if behaviour == 'hang' and epoch == 2:
            (work_dir / 'hangs').write_text(os.environ.get('CUDA_VISIBLE_DEVICES', ''))
            time.sleep(60)
    (work_dir / 'environment.json').write_text(json.dumps(dict(os.environ)))


if __name__ == '__main__':
    main()
