"""Measure what the statistics of tools/analysis/outliers.py cost on a large sharded checkpoint, in time and in memory.

Set beside each other, in turns: every tensor described, with the files evicted from the page cache and with them in it; the
same files read from the disk and nothing done with them, from front to back by one thread and in pieces by as many as
describe them; and one pass of torch over the same bytes, with all threads, read by safetensors from the disk or in memory
already: the sum, which is the quickest that it has, and the number of absolute values above 1. Wanted is the speed of the
disk or 70% of that of torch, each the quickest of its kind, and of these the slower: said for torch that reads the bytes
and for torch that has them. On a busy machine, CPU seconds (of all threads) compare better than those of the clock. Needs
Linux's /proc.
"""
import gc
import json
import math
import os
import shutil
import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping, Tuple

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
#: Where the bytes of torch's pass are -> side of each pass.
TORCH = {where: {name: f'{where}, {name}' for name in PASSES} for where in ('from the disk', 'in memory')}


def write_checkpoint(folder: str, size: int, dtype: str, width: int) -> int:
    """Write blocks of a Llama of normal numbers, one a shard, with the proportions of the 8B one; returns the bytes.

    Args:
        folder: Where to.
        size: About so many bytes, at least one block.
        dtype: Of the numbers.
        width: Of the blocks; 4,096 in the 8B model.
    """
    import torch
    from safetensors.torch import save_file

    from lbbt_mm.language import block_tensors, read_spec
    kind, index = getattr(torch, dtype), {}
    spec = read_spec(dict(model_type='llama', hidden_size=width, num_attention_heads=width // 128,
                          num_key_value_heads=max(1, width // 512), intermediate_size=7 * width // 2,
                          num_hidden_layers=10**4, vocab_size=1000))
    of_block = kind.itemsize * sum(map(math.prod, block_tensors(spec, 0).values()))
    for block in range(max(1, round(size / of_block))):
        file = f'model-{block + 1:05}.safetensors'
        shapes = {f'model.{name}': shape for name, shape in block_tensors(spec, block).items()}
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
    sides.update((side, partial(torch_pass, folder, PASSES[name])) for name, side in TORCH['from the disk'].items())
    seconds, cpu = ({name: [] for name in (*sides, *TORCH['in memory'].values())} for _ in range(2))
    for repeat in range(repeats):
        for name, side in sides.items():
            if name != 'from the page cache':
                evict(folder)
            torch.set_num_threads(threads)
            start = clocks()
            side()
            for times, end, begin in zip((seconds, cpu), clocks(), start):
                times[name].append(end - begin)
        torch.set_num_threads(threads)
        for name, spent in passes_in_memory(folder).items():
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


def tensors_of(folder: str) -> Iterator[Any]:
    """All tensors as safetensors gives them, each read when it is computed with."""
    from safetensors import safe_open
    for file in shards(folder):
        with safe_open(file, 'pt') as opened:
            yield from (opened.get_tensor(name) for name in opened.keys())


def torch_pass(folder: str, compute: Callable[[Any], Any]) -> None:
    """One pass of torch over all tensors, read from the disk."""
    for tensor in tensors_of(folder):
        compute(tensor)


def passes_in_memory(folder: str) -> Dict[str, List[float]]:
    """Seconds, see :func:`clocks`, of each pass over all tensors, each in memory when its time is taken."""
    spent = {side: [0., 0.] for side in TORCH['in memory'].values()}
    for tensor in (tensor.clone() for tensor in tensors_of(folder)):
        for name, side in TORCH['in memory'].items():
            start = clocks()
            PASSES[name](tensor)
            spent[side] = [total + end - begin for total, end, begin in zip(spent[side], clocks(), start)]
    return spent


def _status(name: str) -> int:
    """A number of this process's /proc status, in KiB."""
    lines = Path('/proc/self/status').read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(f'{name}:')))


def result_table(found: Mapping[str, Any], size: int) -> str:
    """Results as Markdown: all sides, how many times as fast ours is, and ours beside what is wanted."""
    middle = {name: statistics.median(spent) for name, spent in found['seconds'].items()}
    ours, rows = middle['from disk'], []
    for name, spent in found['seconds'].items():
        what = 'the disk alone' if name in DISK else 'outliers' if not any(map(name.endswith, PASSES)) else 'torch'
        rows.append((f'{what}, {name}', f'{middle[name]:.2f}', f'{min(spent):.2f} to {max(spent):.2f}',
                     f'{size / middle[name] / GIB:.2f}', f'{statistics.median(found["cpu"][name]):.2f}',
                     f'{middle[name] / ours:.2f}' if what != 'outliers' else '-'))
    said = []
    for where, of_torch in TORCH.items():
        wanted = max(min(middle[name] for name in DISK), min(middle[name] for name in of_torch.values()) / SPEED)
        said.append(f'beside the disk and torch {where}: {ours:.2f} s, wanted {wanted:.2f} s, {wanted / ours:.2f} times as '
                    f'fast: {_met(ours <= wanted)}')
    said.append(f'peak memory above the imports: {found["memory"] / MIB:,.0f} MiB, wanted {MEMORY * size / MIB:,.0f} MiB: '
                f'{_met(found["memory"] <= MEMORY * size)}')
    header = ('side', 'seconds', 'range', 'GiB/s', 'CPU seconds', 'ours is so many times as fast')
    return '\n\n'.join((table(header, rows), *said))


def _met(is_met: bool) -> str:
    return 'met' if is_met else 'MISSED'


def main() -> None:
    """Write the checkpoint, measure, remove the checkpoint."""
    parser = make_parser(__doc__, 'outlier_statistics')
    parser.add_argument('--size', type=positive, default=2., help='of the checkpoint, in GiB')
    parser.add_argument('--dtype', choices=('bfloat16', 'float16', 'float32'), default='bfloat16', help='of its tensors')
    parser.add_argument('--width', type=count, default=4096, help='of its blocks; default: %(default)s, as in the 8B model')
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
        size = in_fresh_process(write_checkpoint, folder, round(args.size * GIB), args.dtype, args.width, method='spawn')
        report.begin({'checkpoint': f'{size / MIB:,.0f} MiB of {args.dtype} in {len(shards(folder))} shards',
                      'jobs': args.jobs, 'threads': args.threads})
        found = in_fresh_process(measure, folder, args.repeats, args.jobs, args.threads, method='spawn')
        text = result_table(found, size)
        report.write(text, size=size, **found)
    print('\n' + text)


if __name__ == '__main__':
    sys.exit(run_tool(main))
