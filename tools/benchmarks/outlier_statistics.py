"""Measure what the statistics of tools/analysis/outliers.py cost on a large sharded checkpoint, in time and in memory.

Set beside each other, in turns: every tensor described, with the files evicted from the page cache and with them in it; the
same files read from the disk and nothing done with them, from front to back by one thread and in pieces by as many as
describe them; and one pass of torch over the same bytes in memory, with all threads: the sum, which is the quickest that it
has, and the number of absolute values above 1. Wanted is the speed of the disk or 70% of that of torch, each the quicker of
the two, and of these the slower. On a busy machine, CPU seconds (of all threads) compare better than those of the clock.
Needs Linux's /proc.
"""
import gc
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Tuple

from harness import in_fresh_process, make_parser
from report import Report, table

from lbbt_mm.argument_types import count, positive
from lbbt_mm.figures.outliers import JOBS
from lbbt_mm.launch.user_errors import run_tool

MIB, GIB = 1 << 20, 1 << 30
#: An 8B checkpoint of 16-bit numbers within 3 GiB: so much memory for each byte of the checkpoint.
MEMORY, SPEED = 3 * GIB / 16e9, 0.7
PASSES = {'sum': lambda tensor: tensor.sum(), 'above 1': lambda tensor: (tensor.abs() > 1).sum()}
DISK = 'front to back', 'in pieces'
NUM_SHARDS = 8


def write_checkpoint(folder: str, size: int, dtype: str) -> int:
    """Write a Llama-like checkpoint of normal numbers in shards; returns its bytes."""
    import torch
    from checkpoint_reading import NUM_BLOCKS, checkpoint_config
    from safetensors.torch import save_file

    from lbbt_mm.language import block_tensors, read_spec
    kind = getattr(torch, dtype)
    spec, index = read_spec(checkpoint_config('llama', round(size * 2 / kind.itemsize))), {}
    for shard in range(NUM_SHARDS):
        file = f'model-{shard + 1:05}-of-{NUM_SHARDS:05}.safetensors'
        blocks = range(NUM_BLOCKS * shard // NUM_SHARDS, NUM_BLOCKS * (shard + 1) // NUM_SHARDS)
        shapes = {f'model.{name}': shape for block in blocks for name, shape in block_tensors(spec, block).items()}
        save_file({name: torch.randn(shape).mul_(0.02).to(kind) for name, shape in shapes.items()}, f'{folder}/{file}')
        index.update(dict.fromkeys(shapes, file))
    Path(folder, 'model.safetensors.index.json').write_text(json.dumps(dict(weight_map=index)))
    return sum(file.stat().st_size for file in shards(folder))


def shards(folder: str) -> List[Path]:
    """The files that hold the tensors."""
    return sorted(Path(folder).glob('*.safetensors'))


def statistics_of(folder: str, jobs: int) -> Callable[[], None]:
    """Import all that is needed; the function that is left describes all tensors."""
    import rich.progress  # noqa: F401
    import torch

    from lbbt_mm.analysis.weight_statistics import Rules, describe
    from lbbt_mm.figures.outliers import describe_all
    from lbbt_mm.figures.weights import open_weights
    describe(lambda: [torch.randn(1000).bfloat16()], Rules())  # what is imported late

    def describe_tensors() -> None:
        torch.set_num_threads(1)
        describe_all(open_weights(folder).tensors, Rules(), jobs, folder, 'checkpoint')

    return describe_tensors


def measure(folder: str, repeats: int, jobs: int, threads: int) -> Dict[str, Any]:
    """Time all sides in turns; to be run in a fresh process.

    Args:
        folder: The checkpoint.
        repeats: Rounds.
        jobs: Threads that read and describe tensors.
        threads: Threads of torch.

    Returns:
        dict: ``seconds`` and ``cpu`` seconds of each round by side, and peak of resident ``memory`` above what there was
        before, of a round before these.
    """
    import torch
    ours = statistics_of(folder, jobs)
    gc.collect()
    evict(folder)
    Path('/proc/self/clear_refs').write_text('5')  # forget the peak so far
    before = _status('VmRSS')
    ours()
    memory = 1024 * (_status('VmHWM') - before)
    sides: Dict[str, Callable[[], Any]] = {'from disk': ours, 'from the page cache': ours, DISK[0]: lambda: read(folder),
                                           DISK[1]: lambda: read_pieces(folder, jobs)}
    seconds, cpu = ({name: [] for name in (*sides, *PASSES)} for _ in range(2))
    for repeat in range(repeats):
        for name, side in sides.items():
            if name != 'from the page cache':
                evict(folder)
            start = clocks()
            side()
            for times, end, begin in zip((seconds, cpu), clocks(), start):
                times[name].append(end - begin)
        torch.set_num_threads(threads)
        for name, spent in torch_passes(folder).items():
            seconds[name].append(spent[0])
            cpu[name].append(spent[1])
        print(f'  round {repeat + 1} of {repeats}: ' + ', '.join(
            f'{name} {spent[-1]:.2f} s' for name, spent in seconds.items()), flush=True)
    return dict(seconds=seconds, cpu=cpu, memory=memory)


def clocks() -> Tuple[float, float]:
    """Seconds of the clock, and of the processor for all threads of this process."""
    return time.perf_counter(), time.process_time()


def evict(folder: str) -> None:
    """Have the system forget what the files hold."""
    for file in shards(folder):
        with open(file, 'rb') as opened:
            os.fsync(opened.fileno())  # only clean pages can be evicted
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read(folder: str) -> None:
    """Read the files from front to back."""
    buffer = bytearray(8 * MIB)
    for file in shards(folder):
        with open(file, 'rb', buffering=0) as opened:
            while opened.readinto(buffer):
                pass


def read_pieces(folder: str, jobs: int) -> None:
    """Read the tensors as they are read to be described, and do nothing with them."""
    from concurrent.futures import ThreadPoolExecutor

    from lbbt_mm.figures.weights import open_weights
    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(lambda one: sum(len(piece) for piece in one.pieces()), open_weights(folder).tensors))


def torch_passes(folder: str) -> Dict[str, List[float]]:
    """Seconds, see :func:`clocks`, of one pass of torch over all tensors, each in memory when its time is taken."""
    from safetensors import safe_open
    spent = {side: [0., 0.] for side in PASSES}
    for file in shards(folder):
        with safe_open(file, 'pt') as opened:
            for name in opened.keys():
                tensor = opened.get_tensor(name).clone()
                for side, compute in PASSES.items():
                    start = clocks()
                    compute(tensor)
                    spent[side] = [total + end - begin for total, end, begin in zip(spent[side], clocks(), start)]
    return spent


def _status(name: str) -> int:
    """A number of this process's /proc status, in KiB."""
    lines = Path('/proc/self/status').read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(f'{name}:')))


def result_table(found: Mapping[str, Any], size: int) -> str:
    """Results as Markdown: speeds of all sides, and ours beside what is wanted."""
    middle = {name: statistics.median(spent) for name, spent in found['seconds'].items()}
    wanted = max(min(middle[name] for name in DISK), min(middle[name] for name in PASSES) / SPEED)
    ratio, rows = wanted / middle['from disk'], []
    for name, spent in found['seconds'].items():
        said = f'wanted {wanted:.2f} s: {ratio:.2f} times as fast, ' + ('met' if ratio >= 1 else 'MISSED')
        what = 'the disk alone' if name in DISK else 'torch, in memory' if name in PASSES else 'outliers'
        side = f'{what}, {name}'
        rows.append((side, f'{middle[name]:.2f}', f'{min(spent):.2f} to {max(spent):.2f}',
                     f'{size / middle[name] / GIB:.2f}', f'{statistics.median(found["cpu"][name]):.2f}',
                     said if name == 'from disk' else ''))
    memory = f'{found["memory"] / MIB:,.0f} MiB, wanted {MEMORY * size / MIB:,.0f} MiB: ' + (
        'met' if found['memory'] <= MEMORY * size else 'MISSED')
    header = ('side', 'seconds', 'range', 'GiB/s', 'CPU seconds', 'ours')
    return f'{table(header, rows)}\n\npeak memory above the imports: {memory}'


def main() -> None:
    """Write the checkpoint, measure, remove the checkpoint."""
    parser = make_parser(__doc__, 'outlier_statistics')
    parser.add_argument('--size', type=positive, default=2., help='of the checkpoint, in GiB')
    parser.add_argument('--dtype', choices=('bfloat16', 'float16', 'float32'), default='bfloat16', help='of its tensors')
    parser.add_argument('--repeats', type=count, default=5, metavar='N', help='rounds, after one to warm up')
    parser.add_argument('--jobs', type=count, default=JOBS, metavar='N', help='tensors at once, described or only read')
    parser.add_argument('--threads', type=count, default=os.cpu_count() or 1, metavar='N', help='of torch')
    args = parser.parse_args()
    report, temporary = Report(args.out, 'outlier_statistics'), tempfile.gettempdir()
    free = shutil.disk_usage(temporary).free
    if free < 1.1 * args.size * GIB:
        sys.exit(f'{temporary} has {free / GIB:.1f} GiB free; the checkpoint needs {1.1 * args.size:.1f}. '
                 'Set TMPDIR to a larger disk, or give a smaller --size.')
    with tempfile.TemporaryDirectory(prefix='lbbt_mm_checkpoint_') as folder:
        print(f'writing a checkpoint of {args.size} GiB', flush=True)
        size = in_fresh_process(write_checkpoint, folder, round(args.size * GIB), args.dtype, method='spawn')
        report.begin({'checkpoint': f'{size / MIB:,.0f} MiB of {args.dtype} in {NUM_SHARDS} shards',
                      'jobs': args.jobs, 'threads': args.threads})
        found = in_fresh_process(measure, folder, args.repeats, args.jobs, args.threads, method='spawn')
        text = result_table(found, size)
        report.write(text, size=size, **found)
    print('\n' + text)


if __name__ == '__main__':
    sys.exit(run_tool(main))
