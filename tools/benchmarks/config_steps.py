"""Time training steps of runs as their configs describe them, in turn, and add up the memory they hold.

Each config's model, data, optimizer wrapper and hooks are built as tools/train.py builds them. The steps take the first
batch of the training data over and over.
"""
import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any, Callable, Dict, List

import torch
from benchmark_report import fact_lines, machine_facts, markdown_table, refuse_other_report, write_report
from interleaved_rounds import CLOCKS, timed
from mmengine.config import DictAction
from mmengine.logging import MMLogger
from torch import Tensor

from lbbt_mm.argument_types import count
from lbbt_mm.files.config_files import read_config_file
from lbbt_mm.launch.processes import build_runner

HEADER = ('config', 'trained parameters', 'step s', 'smallest', 'times the first', 'for backward MiB', 'gradients MiB',
          'optimizer MiB')


class ConfigStep:
    """A training step of a config: forward, backward and the optimizer.

    Args:
        path: The config.
        options: What differs from it.
    """

    def __init__(self, path: Path, options: Dict[str, Any]) -> None:
        cfg = read_config_file(path)
        cfg.merge_from_dict(options)
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
        parameters = list(self.model.parameters())
        own = {parameter.untyped_storage().data_ptr() for parameter in parameters}
        kept: Dict[int, int] = {}

        def keep(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in own:
                kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        gradients: List[int] = []

        def measure(*_) -> None:
            gradients.append(sum(parameter.grad.nbytes for parameter in parameters if parameter.grad is not None))

        optimizer = self.optim_wrapper.optimizer
        handle = optimizer.register_step_pre_hook(measure)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            self()
        handle.remove()
        trained = [parameter for parameter in parameters if parameter.requires_grad]
        state = [value for values in optimizer.state.values() for value in values.values()]
        return dict(trained=sum(parameter.numel() for parameter in trained), kept=sum(kept.values()),
                    gradients=gradients[-1],
                    optimizer=sum(value.nbytes for value in state if isinstance(value, Tensor)))


def time_steps(steps: Dict[str, Callable[[], None]], repeats: int, clock: Callable[[], float]) -> Dict[str, List[float]]:
    """Seconds of each config's steps, in rounds whose order alternates, after a round to warm up."""
    for step in steps.values():
        step()
    times: Dict[str, List[float]] = {name: [] for name in steps}
    for repeat in range(repeats):
        for name in list(steps)[::1 if repeat % 2 == 0 else -1]:
            times[name].append(timed(steps[name], clock))
        took = ', '.join(f'{name} {seconds[-1]:.2f} s' for name, seconds in times.items())
        print(f'  round {repeat + 1} of {repeats}: {took}', flush=True)
    return times


def table(times: Dict[str, List[float]], memory: Dict[str, Dict[str, int]]) -> str:
    """Steps and memory as Markdown."""
    first = statistics.median(next(iter(times.values())))
    lines = []
    for name, seconds in times.items():
        held, median = memory[name], statistics.median(seconds)
        lines.append((name, f'{held["trained"]:,}', f'{median:.3f}', f'{min(seconds):.3f}', f'{median / first:.2f}',
                      *(f'{held[what] / (1 << 20):.1f}' for what in ('kept', 'gradients', 'optimizer'))))
    return markdown_table(HEADER, lines)


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0].replace('\n', ' '),
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument('configs', nargs='+', type=Path, metavar='CONFIG', help='the others are compared with the first')
    parser.add_argument('--repeats', type=count, default=10, help='rounds, after one to warm up')
    parser.add_argument('--threads', type=count, default=torch.get_num_threads())
    parser.add_argument('--clock', choices=CLOCKS, default='wall', help='cpu with --threads 1: fair on a busy machine')
    parser.add_argument('--out', type=Path, default=Path('work_dirs/benchmarks'),
                        help='folder for config_steps.json and .md')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, default={}, metavar='KEY=VALUE',
                        help='overrides of all configs')
    args = parser.parse_args()
    for path in args.configs:
        if not path.is_file():
            parser.error(f'{path}: no such config file')
    return args


def main() -> None:
    """Build all configs, time them in turn, write the report."""
    args = parse_args()
    refuse_other_report(args.out, 'config_steps')
    torch.set_num_threads(args.threads)
    facts = dict(machine_facts(args.threads), clock=args.clock, rounds=args.repeats)
    print('\n'.join(fact_lines(facts)), flush=True)
    MMLogger.get_instance('config_steps', log_level='ERROR')
    steps = {path.stem: ConfigStep(path, args.cfg_options) for path in args.configs}
    times = time_steps(steps, args.repeats, CLOCKS[args.clock])
    memory = {name: step.memory() for name, step in steps.items()}
    text = table(times, memory)
    write_report(args.out, 'config_steps', dict(facts=facts, seconds=times, bytes=memory), text + '\n')
    print('\n' + text)


if __name__ == '__main__':
    main()
