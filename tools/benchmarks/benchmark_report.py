"""What the benchmarks share: facts about the machine, Markdown tables, and files that are whole or not there."""
import datetime
import json
import os
import platform
from pathlib import Path
from typing import Any, Dict, List, Sequence

import torch


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


def write_report(folder: Path, name: str, data: Dict[str, Any], markdown: str) -> None:
    """Write ``name.json`` and ``name.md``; a reader sees the old file or the new one, never half of one.

    Args:
        folder: Where to; made if it is not there.
        name: File name without suffix.
        data: What goes into the JSON file.
        markdown: What goes into the Markdown file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for suffix, text in (('.json', json.dumps(data, indent=2)), ('.md', markdown)):
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
