"""Time training steps of runs as their configs describe them, in turn, and add up the memory they hold.

Each config's model, data, optimizer wrapper and hooks are built as tools/train.py builds them. The steps take the first
batch of the training data over and over.
"""
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict, List, Mapping

from harness import make_parser, read_timing, time_rounds
from report import Report, table

from lbbt_mm.files.config_paths import refuse_absent_config
from lbbt_mm.launch.user_errors import run_tool

HEADER = ('config', 'trained parameters', 'step s', 'smallest', 'times the first', 'for backward MiB', 'gradients MiB',
          'optimizer MiB')


class ConfigStep:
    """A training step of a config: forward, backward and the optimizer.

    Args:
        path: The config.
        options: What differs from it, ``KEY=VALUE``.
    """

    def __init__(self, path: Path, options: List[str]) -> None:
        from lbbt_mm.files.config_files import read_config_file
        from lbbt_mm.launch.processes import build_runner
        from lbbt_mm.runs.run_request import override
        cfg = override(read_config_file(path), options)
        self._folder = tempfile.TemporaryDirectory()  # of the runner; goes with this object
        folder = self._folder.name
        cfg.update({f'{phase}_{part}': None for phase in ('val', 'test') for part in ('dataloader', 'cfg', 'evaluator')})
        cfg.update(work_dir=folder, launcher='none', experiment_name=f'{path.stem}-{Path(folder).name}')
        cfg.train_dataloader.update(num_workers=0, persistent_workers=False)
        runner = build_runner(cfg)
        loop = runner.build_train_loop(cfg.train_cfg)
        self.optim_wrapper = runner.optim_wrapper = runner.build_optim_wrapper(cfg.optim_wrapper)
        self.optim_wrapper.initialize_count_status(runner.model, 0, 1)
        runner.call_hook('before_run')
        runner.model.init_weights()
        self.model, self.batch = runner.model.train(), next(iter(loop.dataloader))

    def __call__(self) -> None:
        """Run once."""
        self.model.train_step(self.batch, self.optim_wrapper)

    def memory(self) -> Dict[str, int]:
        """Bytes that a step holds: what it keeps for the backward pass, gradients, optimizer state."""
        from contenders import held_bytes
        from torch.autograd.graph import saved_tensors_hooks
        own = {parameter.untyped_storage().data_ptr() for parameter in self.model.parameters()}
        kept: Dict[int, int] = {}
        held: Dict[str, int] = {}

        def keep(tensor: Any) -> Any:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in own:
                kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        optimizer = self.optim_wrapper.optimizer
        handle = optimizer.register_step_pre_hook(lambda *_: held.update(held_bytes(self.model, optimizer)))
        with saved_tensors_hooks(keep, lambda tensor: tensor):
            self()
        handle.remove()
        return dict(held, kept=sum(kept.values()))


def result_table(times: Mapping[str, List[float]], memory: Mapping[str, Mapping[str, int]]) -> str:
    """Steps and memory as Markdown."""
    first = statistics.median(next(iter(times.values())))
    lines = []
    for name, seconds in times.items():
        held, median = memory[name], statistics.median(seconds)
        lines.append((name, f'{held["trained"]:,}', f'{median:.3f}', f'{min(seconds):.3f}', f'{median / first:.2f}',
                      *(f'{held[what] / (1 << 20):.1f}' for what in ('kept', 'gradients', 'optimizer'))))
    return table(HEADER, lines)


def main() -> None:
    """Build all configs, time them in turn, write the report."""
    parser = make_parser(__doc__.split('\n\n')[0].replace('\n', ' '), 'config_steps', repeats=10)
    parser.add_argument('configs', nargs='+', type=Path, metavar='CONFIG', help='the others are compared with the first')
    parser.add_argument('--cfg-options', nargs='+', default=[], metavar='KEY=VALUE', help='overrides of all configs')
    args = parser.parse_args()
    for path in args.configs:
        try:
            refuse_absent_config(path)
        except FileNotFoundError as error:
            parser.error(str(error))
    report, timing = Report(args.out, 'config_steps'), read_timing(args)
    report.begin(timing._asdict())
    import torch
    from mmengine.logging import MMLogger
    torch.set_num_threads(timing.threads)
    MMLogger.get_instance('config_steps', log_level='ERROR')
    steps = {path.stem: ConfigStep(path, args.cfg_options) for path in args.configs}
    times = time_rounds(steps, timing)
    memory = {name: step.memory() for name, step in steps.items()}
    text = result_table(times, memory)
    report.write(text, seconds=times, bytes=memory)
    print('\n' + text)


if __name__ == '__main__':
    sys.exit(run_tool(main))
