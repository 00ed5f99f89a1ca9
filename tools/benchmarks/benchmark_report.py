"""What the benchmarks share: facts about the machine, Markdown tables, and files that are whole or not there."""
import datetime
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any, Dict, List, Sequence

import torch

_SUFFIXES = ('.json', '.md')


def machine_facts(threads: int) -> Dict[str, Any]:
    """Describe the machine and the software that a measurement was taken with.

    Args:
        threads: Threads that torch computes with.

    Returns:
        dict: Name of the fact -> value; the load average is of the minute before.
    """
    cpu = _cpu_info()
    flags = cpu.get('flags', '').split()
    return {
        'date': datetime.date.today().isoformat(),
        'CPU': cpu.get('model name') or platform.processor() or platform.machine(),
        'bf16 instructions': ', '.join(flag for flag in ('avx512_bf16', 'amx_bf16') if flag in flags) or 'none known',
        'cores': len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count(),
        'threads': threads,
        'load before': round(os.getloadavg()[0], 2),
        'Python': platform.python_version(),
        'torch': torch.__version__,
    }


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns line up in plain text too."""
    widths = [max(len(str(row[i])) for row in (header, *rows)) for i in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        return '| ' + ' | '.join(str(cell).ljust(width) for cell, width in zip(cells, widths)) + ' |'

    return '\n'.join([line(header), '|' + '|'.join('-' * (width + 2) for width in widths) + '|', *map(line, rows)])


def fact_lines(facts: Dict[str, Any]) -> List[str]:
    """Facts as lines of text, a few on each."""
    items = [f'{name}: {value}' for name, value in facts.items()]
    return ['; '.join(items[start:start + 4]) for start in range(0, len(items), 4)]


def refuse_other_report(folder: Path, name: str) -> None:
    """End the benchmark, before it measures anything, where its report would overwrite files of another origin.

    Args:
        folder: Where the report goes.
        name: File name without suffix.
    """
    there = [folder / f'{name}{suffix}' for suffix in _SUFFIXES if os.path.lexists(folder / f'{name}{suffix}')]
    try:
        found = json.loads((folder / f'{name}.json').read_text())
    except (OSError, ValueError, RecursionError):
        found = None
    if os.path.lexists(folder) and not folder.is_dir():
        sys.exit(f'--out {folder} is not a folder. Give another one for the report.')
    if there and not (isinstance(found, dict) and 'facts' in found):
        sys.exit(f'{there[0]} is no report of this benchmark, and it would be overwritten. Give another --out, or move that '
                 'file away.')


def write_report(folder: Path, name: str, data: Dict[str, Any], markdown: str) -> None:
    """Write ``name.json`` and ``name.md``; a reader sees the old file or the new one, never half of one.

    Args:
        folder: Where to; made if it is not there.
        name: File name without suffix.
        data: What goes into the JSON file.
        markdown: What goes into the Markdown file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for suffix, text in zip(_SUFFIXES, (json.dumps(data, indent=2), markdown)):
        unfinished = folder / f'.{name}{suffix}.{os.getpid()}'
        unfinished.write_text(text + '\n', encoding='utf-8')
        os.replace(unfinished, folder / (name + suffix))


def _cpu_info() -> Dict[str, str]:
    """The first processor's entry in /proc/cpuinfo; empty where there is none."""
    try:
        text = Path('/proc/cpuinfo').read_text()
    except OSError:
        return {}
    pairs = (line.split(':', 1) for line in text.split('\n\n')[0].splitlines() if ':' in line)
    return {key.strip(): value.strip() for key, value in pairs}
