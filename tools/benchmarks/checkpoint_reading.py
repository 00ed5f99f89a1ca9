"""Measure what opening two chosen blocks of a large sharded checkpoint costs: bytes read, and memory beside the model.

Each way of reading runs in a process of its own, with the checkpoint's files evicted from the page cache. The model
that the blocks go to is built, and its pages touched, before counting starts. Needs Linux's /proc.
"""
import argparse
import gc
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable, Dict, List

import torch
from benchmark_report import fact_lines, machine_facts, markdown_table, refuse_other_report, write_report
from synthetic_checkpoint import NUM_BLOCKS, block_bytes, checkpoint_config, write_checkpoint

from lbbt_mm.argument_types import positive
from lbbt_mm.language import block_tensors
from lbbt_mm.language.initializer import LanguageInit, copy_block
from lbbt_mm.models.layers import LanguageBlock

MIB = 1 << 20
WANTED = {'reported': 1.05, 'disk': 1.05, 'memory': 1.5}
WAYS = {
    'ours': 'LanguageInit',
    'float32': 'from_pretrained(), float32',
    'stored': "from_pretrained(torch_dtype='auto')",
    'first': "from_pretrained(torch_dtype='auto', num_hidden_layers=2), blocks 0 and 1",
}
FROM_PRETRAINED = {
    'float32': dict(torch_dtype=torch.float32),
    'stored': dict(torch_dtype='auto'),
    'first': dict(torch_dtype='auto', num_hidden_layers=2),
}
HEADER = ('way', 'bytes read by its own count', 'bytes read from disk', 'peak extra memory', 'seconds')


def prepare(way: str, folder: str, blocks: List[int]) -> Callable[[], Dict[str, int]]:
    """Do everything that comes before reading.

    Args:
        way: A key of :data:`WAYS`.
        folder: The checkpoint.
        blocks: Which blocks to read.

    Returns:
        Callable: Fills two LanguageBlocks, and returns what the reader itself counted.
    """
    init = LanguageInit(dict(checkpoint=folder, blocks=blocks))
    model = torch.nn.Module()
    model.blocks = torch.nn.ModuleList(LanguageBlock(init.options.spec.block) for _ in blocks)
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)  # so that its pages exist
    if way == 'ours':
        return lambda: _read_with_language_init(init, model)
    from transformers import AutoConfig, AutoModel
    AutoModel._model_mapping[type(AutoConfig.from_pretrained(folder))]  # imports the model's module
    return lambda: _read_with_transformers(init.options.spec, model.blocks, folder, blocks, **FROM_PRETRAINED[way])


def _read_with_language_init(init: LanguageInit, model: torch.nn.Module) -> Dict[str, int]:
    opened = []
    open_checkpoint = init._open
    init._open = lambda: opened.append(open_checkpoint()) or opened[0]
    init(model)
    return dict(reported=opened[0].bytes_read)


def _read_with_transformers(spec, layers, folder: str, blocks: List[int], **options: Any) -> Dict[str, int]:
    from transformers import AutoModel
    source, report = AutoModel.from_pretrained(folder, output_loading_info=True, **options)
    if report['missing_keys']:
        raise RuntimeError(f'transformers did not find {sorted(report["missing_keys"])[0]!r}')
    weights = source.state_dict()
    for layer, index in zip(layers, range(len(blocks)) if 'num_hidden_layers' in options else blocks):
        copy_block(layer, spec, index, {name: weights[name] for name in block_tensors(spec, index)})
    return {}


def measure(way: str, folder: str, blocks: List[int]) -> Dict[str, float]:
    """Read once and count; to be run in a fresh process.

    Args:
        way: A key of :data:`WAYS`.
        folder: The checkpoint.
        blocks: Which blocks to read.

    Returns:
        dict: Bytes ``reported`` by our reader, read from ``disk``, read by system calls (``calls``; memory-mapped reads
        are not among them), peak of resident ``memory`` above what there was before, and ``seconds``.
    """
    read = prepare(way, folder, blocks)
    gc.collect()
    Path('/proc/self/clear_refs').write_text('5')  # forget the peak so far
    before_io, before_memory = _proc_values('io'), _proc_values('status')
    start = time.perf_counter()
    result: Dict[str, float] = read()
    result['seconds'] = time.perf_counter() - start
    after_io, after_memory = _proc_values('io'), _proc_values('status')
    result['disk'] = after_io['read_bytes'] - before_io['read_bytes']
    result['calls'] = after_io['rchar'] - before_io['rchar']
    result['memory'] = 1024 * (after_memory['VmHWM'] - before_memory['VmRSS'])
    return result


def measure_in_fresh_process(way: str, folder: Path, blocks: List[int]) -> Dict[str, float]:
    """Evict the checkpoint from the page cache and run :func:`measure` in another process.

    It runs twice, and the second run counts: the first brings the modules and libraries that a way imports while it reads
    into the page cache, which the bytes read from disk would include otherwise.
    """
    command = [sys.executable, __file__, '--measure', way, str(folder), '--blocks', *map(str, blocks)]
    for _ in range(2):
        for file in folder.iterdir():
            with open(file, 'rb') as handle:
                os.fsync(handle.fileno())  # only clean pages can be evicted
                os.posix_fadvise(handle.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ, HF_HUB_OFFLINE='1'))
        if done.returncode:
            raise RuntimeError(f'{WAYS[way]} failed:\n{done.stderr}')
    return json.loads(done.stdout.strip().splitlines()[-1])


def table(results: Dict[str, Dict[str, float]], size: int) -> str:
    """Results as Markdown; each figure with its ratio to the blocks' size, and ours with what is wanted."""
    lines = []
    for way, result in results.items():
        line = [WAYS[way]]
        for key in ('reported', 'disk', 'memory'):
            if key not in result:
                line.append('')
                continue
            ratio = result[key] / size
            text = f'{result[key] / MIB:,.1f} MiB = {ratio:.3f}x'
            if way == 'ours':
                text += f', wanted {WANTED[key]}: ' + ('met' if ratio <= WANTED[key] else 'MISSED')
            line.append(text)
        lines.append((*line, f'{result["seconds"]:.2f}'))
    return markdown_table(HEADER, lines)


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument('--size', type=positive, default=2., help='of the checkpoint, in GiB')
    parser.add_argument('--family', choices=('llama', 'gpt2'), default='llama')
    parser.add_argument('--blocks', type=int, nargs=2, default=[9, 22], help='two of the 32 blocks')
    parser.add_argument('--ways', nargs='+', choices=WAYS, default=list(WAYS), metavar='WAY', help=' '.join(WAYS))
    parser.add_argument('--out', type=Path, default=Path('work_dirs/benchmarks'),
                        help='folder for checkpoint_reading.json and .md')
    parser.add_argument('--measure', nargs=2, metavar=('WAY', 'FOLDER'), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if not all(0 <= block < NUM_BLOCKS for block in args.blocks):
        parser.error(f'--blocks {" ".join(map(str, args.blocks))}: expected two from 0 to {NUM_BLOCKS - 1}')
    return args


def main() -> None:
    """Write the checkpoint, measure each way, remove the checkpoint."""
    args = parse_args()
    if args.measure:
        print(json.dumps(measure(*args.measure, args.blocks)))
        return
    refuse_other_report(args.out, 'checkpoint_reading')
    size = round(args.size * (1 << 30))
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if free < 1.1 * size:
        sys.exit(f'{tempfile.gettempdir()} has {free / (1 << 30):.1f} GiB free; the checkpoint needs {1.1 * args.size:.1f}. '
                 'Set TMPDIR to a larger disk, or give a smaller --size.')
    facts = machine_facts(torch.get_num_threads())
    facts['read-ahead of the disk'] = _read_ahead(tempfile.gettempdir())
    with tempfile.TemporaryDirectory(prefix='lbbt_mm_checkpoint_') as name:
        print(f'writing a checkpoint of {args.size} GiB', flush=True)
        config = checkpoint_config(args.family, size)
        spec = write_checkpoint(Path(name), config)
        facts['checkpoint'] = f'{sum(file.stat().st_size for file in Path(name).iterdir()) / MIB:,.0f} MiB, {config}'
        chosen = block_bytes(spec, args.blocks)
        facts['chosen blocks'] = f'{args.blocks}, {chosen / MIB:,.1f} MiB in bfloat16'
        results = {}
        for way in args.ways:
            print(f'reading: {WAYS[way]}', flush=True)
            results[way] = measure_in_fresh_process(way, Path(name), args.blocks)
    markdown = '\n'.join([*fact_lines(facts), '', table(results, chosen)])
    write_report(args.out, 'checkpoint_reading', dict(facts=facts, block_bytes=chosen, results=results), markdown)
    print('\n' + markdown)


def _read_ahead(folder: str) -> str:
    """What the kernel reads beyond what was asked for, at each break in the order of reading."""
    device = os.stat(folder).st_dev
    try:
        return Path(f'/sys/dev/block/{os.major(device)}:{os.minor(device)}/queue/read_ahead_kb').read_text().strip() + ' KiB'
    except OSError:
        return 'unknown'


def _proc_values(file: str) -> Dict[str, Any]:
    """Numbers in one of this process's /proc files, by name; memory in KiB."""
    pairs = (line.split(':', 1) for line in Path(f'/proc/self/{file}').read_text().splitlines())
    return {name: int(value.split()[0]) for name, value in pairs if value.split() and value.split()[0].isdigit()}


if __name__ == '__main__':
    main()
