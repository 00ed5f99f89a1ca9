"""Measure what opening two chosen blocks of a large sharded checkpoint costs: bytes read, and memory beside the model.

Each way of reading runs in a process of its own, with the checkpoint's files evicted from the page cache. The model
that the blocks go to is built, and its pages touched, before counting starts. Needs Linux's /proc.
"""
import gc
import io
import math
import os
import shutil
import sys
import tempfile
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping

from harness import in_fresh_process, make_parser
from report import Report, table

from lbbt_mm.argument_types import positive
from lbbt_mm.launch.user_errors import run_tool

MIB, GIB = 1 << 20, 1 << 30
WANTED = {'reported': 1.05, 'disk': 1.05, 'memory': 1.5}
WAYS = {
    'ours': 'LanguageInit',
    'float32': 'from_pretrained(), float32',
    'stored': "from_pretrained(torch_dtype='auto')",
    'first': "from_pretrained(torch_dtype='auto', num_hidden_layers=2), blocks 0 and 1",
}
HEADER = ('way', 'bytes read by its own count', 'bytes read from disk', 'peak extra memory', 'seconds')
NUM_BLOCKS, NUM_SHARDS = 32, 8


def checkpoint_config(family: str, size: int) -> Dict[str, Any]:
    """A Hugging Face config whose 32 blocks take ``size`` bytes in bfloat16, as nearly as whole heads of 64 allow.

    Both kinds of block, ``llama`` and ``gpt2``, have about 12 C^2 parameters: 4 C^2 in attention, 8 C^2 in the feed-forward
    network.
    """
    parameters = size / (2 * NUM_BLOCKS)
    heads = max(1, round((parameters / 12)**0.5 / 64))
    width = 64 * heads
    hidden = max(8, round((parameters - 4 * width**2) / (width * (3 if family == 'llama' else 2))))
    if family == 'llama':
        return dict(model_type='llama', hidden_size=width, num_attention_heads=heads, num_key_value_heads=heads,
                    intermediate_size=hidden, num_hidden_layers=NUM_BLOCKS, vocab_size=1000)
    return dict(model_type='gpt2', n_embd=width, n_head=heads, n_inner=hidden, n_layer=NUM_BLOCKS, n_positions=1024,
                vocab_size=1000)


def write_checkpoint(folder: str, config: Mapping[str, Any], size: int) -> None:
    """Write a checkpoint of meaningless weights, of which no page is all zeros: a file system may leave such pages out."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM
    with torch.device('meta'):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config), torch_dtype=torch.bfloat16)
    model = model.to_empty(device='cpu')
    for parameter in model.parameters():
        torch.nn.init.uniform_(parameter, -1, 1)
    model.tie_weights()
    model.save_pretrained(folder, max_shard_size=size // NUM_SHARDS)


def block_bytes(config: Mapping[str, Any], blocks: List[int]) -> int:
    """Bytes of some blocks' tensors in bfloat16."""
    from lbbt_mm.language import block_tensors, read_spec
    spec = read_spec(config)
    return sum(2 * math.prod(shape) for index in blocks for shape in block_tensors(spec, index).values())


def prepare(way: str, folder: str, blocks: List[int]) -> Callable[[], Dict[str, int]]:
    """Do everything that comes before reading.

    Args:
        way: A key of :data:`WAYS`.
        folder: The checkpoint.
        blocks: Which blocks to read.

    Returns:
        Callable: Fills two LanguageBlocks, and returns what the reader itself counted.
    """
    import torch
    from transformers import AutoConfig, AutoModel

    from lbbt_mm.language import block_tensors
    from lbbt_mm.language.initializer import LanguageInit, copy_block
    from lbbt_mm.models.layers import LanguageBlock
    init = LanguageInit(dict(checkpoint=folder, blocks=blocks))
    spec = init.options.spec
    model = torch.nn.Module()
    model.blocks = torch.nn.ModuleList(LanguageBlock(spec.block) for _ in blocks)
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)  # so that its pages exist
    if way == 'ours':
        opened, open_checkpoint = [], init._open
        init._open = lambda: opened.append(open_checkpoint()) or opened[0]
        return lambda: init(model) or dict(reported=opened[0].bytes_read)
    AutoModel._model_mapping[type(AutoConfig.from_pretrained(folder))]  # imports the model's module
    options = dict(torch_dtype=torch.float32 if way == 'float32' else 'auto',
                   **(dict(num_hidden_layers=2) if way == 'first' else {}))

    def read() -> Dict[str, int]:
        source, report = AutoModel.from_pretrained(folder, output_loading_info=True, **options)
        if report['missing_keys']:
            raise RuntimeError(f'transformers did not find {sorted(report["missing_keys"])[0]!r}')
        weights = source.state_dict()
        for layer, index in zip(model.blocks, range(2) if way == 'first' else blocks):
            copy_block(layer, spec, index, {name: weights[name] for name in block_tensors(spec, index)})
        return {}

    return read


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
    os.environ['HF_HUB_OFFLINE'] = '1'
    for file in Path(folder).iterdir():  # out of the page cache
        with open(file, 'rb') as handle:
            os.fsync(handle.fileno())  # only clean pages can be evicted
            os.posix_fadvise(handle.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):  # both libraries report what they read
        read = prepare(way, folder, blocks)
        gc.collect()
        Path('/proc/self/clear_refs').write_text('5')  # forget the peak so far
        before, start = _proc_values(), time.perf_counter()
        result: Dict[str, float] = read()
        seconds, after = time.perf_counter() - start, _proc_values()
    return dict(result, seconds=seconds, disk=after['read_bytes'] - before['read_bytes'],
                calls=after['rchar'] - before['rchar'], memory=1024 * (after['VmHWM'] - before['VmRSS']))


def _proc_values() -> Dict[str, int]:
    """Numbers in this process's /proc files, by name; memory in KiB."""
    lines = [line for file in ('io', 'status') for line in Path(f'/proc/self/{file}').read_text().splitlines()]
    pairs = [line.replace(' kB', '').split(':', 1) for line in lines]
    return {name: int(value) for name, value in pairs if value.strip().isdigit()}


def result_table(results: Mapping[str, Mapping[str, float]], size: int) -> str:
    """Results as Markdown; each figure with its ratio to the blocks' size, and ours with what is wanted."""
    lines = []
    for way, result in results.items():
        ratios = {key: result[key] / size for key in WANTED if key in result}
        cells = {key: f'{result[key] / MIB:,.1f} MiB = {ratio:.3f}x' for key, ratio in ratios.items()}
        if way == 'ours':
            cells = {key: f'{cell}, wanted {WANTED[key]}: ' + ('met' if ratios[key] <= WANTED[key] else 'MISSED')
                     for key, cell in cells.items()}
        lines.append((WAYS[way], *(cells.get(key, '') for key in WANTED), f'{result["seconds"]:.2f}'))
    return table(HEADER, lines)


def main() -> None:
    """Write the checkpoint, measure each way, remove the checkpoint."""
    parser = make_parser(__doc__, 'checkpoint_reading')
    parser.add_argument('--size', type=positive, default=2., help='of the checkpoint, in GiB')
    parser.add_argument('--family', choices=('llama', 'gpt2'), default='llama', help='of the language model')
    parser.add_argument('--blocks', type=int, nargs=2, default=[9, 22], help='two of the 32 blocks')
    parser.add_argument('--ways', nargs='+', choices=WAYS, default=list(WAYS), metavar='WAY', help=' '.join(WAYS))
    args = parser.parse_args()
    if not all(0 <= block < NUM_BLOCKS for block in args.blocks):
        parser.error(f'--blocks {" ".join(map(str, args.blocks))}: expected two from 0 to {NUM_BLOCKS - 1}')
    report, temporary = Report(args.out, 'checkpoint_reading'), tempfile.gettempdir()
    free = shutil.disk_usage(temporary).free
    if free < 1.1 * args.size * GIB:
        sys.exit(f'{temporary} has {free / GIB:.1f} GiB free; the checkpoint needs {1.1 * args.size:.1f}. '
                 'Set TMPDIR to a larger disk, or give a smaller --size.')
    with tempfile.TemporaryDirectory(prefix='lbbt_mm_checkpoint_') as folder:
        print(f'writing a checkpoint of {args.size} GiB', flush=True)
        config = checkpoint_config(args.family, round(args.size * GIB))
        in_fresh_process(write_checkpoint, folder, config, round(args.size * GIB), method='spawn')
        written, chosen = sum(file.stat().st_size for file in Path(folder).iterdir()), block_bytes(config, args.blocks)
        report.begin({'read-ahead of the disk': _read_ahead(temporary), 'checkpoint': f'{written / MIB:,.0f} MiB, {config}',
                      'chosen blocks': f'{args.blocks}, {chosen / MIB:,.1f} MiB in bfloat16'})
        results = {}
        for way in args.ways:
            print(f'reading: {WAYS[way]}', flush=True)
            # The second time counts: the first brings what a way imports while it reads into the page cache.
            for _ in range(2):
                results[way] = in_fresh_process(measure, way, folder, args.blocks, method='spawn')
    text = result_table(results, chosen)
    report.write(text, block_bytes=chosen, results=results)
    print('\n' + text)


def _read_ahead(folder: str) -> str:
    """What the kernel reads beyond what was asked for, at each break in the order of reading."""
    device = os.stat(folder).st_dev
    try:
        return Path(f'/sys/dev/block/{os.major(device)}:{os.minor(device)}/queue/read_ahead_kb').read_text().strip() + ' KiB'
    except OSError:
        return 'unknown'


if __name__ == '__main__':
    sys.exit(run_tool(main))
