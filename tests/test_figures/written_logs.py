"""Logs of runs of ours, and of an experiment, without any run."""
import json
from pathlib import Path

import pandas as pd

from lbbt_mm.files.gsnr_table import GsnrRow, write_gsnr


def write_log(folder: Path, ends: str = 'finished', losses=(3., 2., 1.), gsnr: bool = False, **model) -> Path:
    """Write the log of a run of ours, and how it ended."""
    path = folder / 'a' / 'vis_data' / 'scalars.json'
    path.parent.mkdir(parents=True)
    path.write_text(''.join(json.dumps(dict(loss=loss, iter=step, step=step)) + '\n' for step, loss in enumerate(losses, 1)))
    (folder / 'request.json').write_text(json.dumps(dict(id='a', config=dict(model=model) if model else {}, options=[])))
    if gsnr:
        write_gsnr(folder / 'gsnr.csv', [GsnrRow(1, 0, 0.2, 0.1, 0.1, 2.6, 50, 0., 13, 1)])
    if ends:
        (folder / 'done').write_text(ends)
    return folder


def write_experiment(folder: Path) -> Path:
    """Write the folder of an experiment of three arms, with runs that its summary does not choose."""
    for name in ('cell=1-language-seed0-lr0.1', 'cell=1-language-seed1-lr0.1', 'cell=1-language-seed0-lr0.01',
                 'random-seed0-lr3e-05', 'tuned-seed0-lr0.1-std0.02', 'tuned-seed0-lr0.1-std0.04',
                 'tuned-seed1-lr0.1-std0.04'):
        write_log(folder / 'runs' / name)
    pd.DataFrame(dict(metric='acc', arm=['cell=1-language', 'random', 'tuned'], lr=[0.1, 3e-5, 0.1],
                      mean=[1., 2., 3.])).to_csv(folder / 'summary.csv', index=False)
    pd.DataFrame(dict(arm=['cell=1-language'], status=['finished'])).to_csv(folder / 'results.csv', index=False)
    (folder / 'summary.md').write_text('# x\n\n| a |\n|---|\n\n- acc: language - random: +1.\n')
    return folder
