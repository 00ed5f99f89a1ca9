"""A benchmark's table beside the facts about machine and sizes, in files that are whole or not there."""
import datetime
import json
import os
import platform
import re
import sys
from pathlib import Path
from typing import Any, Dict, Mapping, Sequence


class Report:
    """A table beside the facts about machine and sizes: NAME.json and NAME.md, whole or not there.

    Args:
        folder: Where to; made if it is not there.
        name: File name without suffix.

    Raises:
        SystemExit: Before anything is measured, where the report would overwrite files of another origin.
    """

    def __init__(self, folder: Path, name: str) -> None:
        from lbbt_mm.files.whole_files import read_dict
        self.folder, self.paths, self.facts = folder, [folder / f'{name}.json', folder / f'{name}.md'], {}
        if os.path.lexists(folder) and not folder.is_dir():
            sys.exit(f'--out {folder} is not a folder. Give another one for the report.')
        there = [path for path in self.paths if os.path.lexists(path)]
        if there and 'facts' not in read_dict(self.paths[0]):
            sys.exit(f'{there[0]} is no report of this benchmark, and it would be overwritten. Give another --out, or move '
                     'that file away.')

    def begin(self, facts: Mapping[str, Any]) -> None:
        """Note and print the facts about the machine, and those given."""
        self.facts = {**machine_facts(), **facts}
        print(self._fact_lines(), flush=True)

    def write(self, table: str, **data: Any) -> None:
        """Write both files.

        Args:
            table: What goes into the Markdown file, below the facts.
            **data: What goes into the JSON file, beside them.
        """
        from lbbt_mm.files.whole_files import write_whole
        self.folder.mkdir(parents=True, exist_ok=True)
        write_whole(self.paths[0], json.dumps(dict(facts=self.facts, **data), indent=2) + '\n')
        write_whole(self.paths[1], f'{self._fact_lines()}\n\n{table}\n')

    def _fact_lines(self) -> str:
        items = [f'{name}: {value}' for name, value in self.facts.items()]
        return '\n'.join('; '.join(items[start:start + 4]) for start in range(0, len(items), 4))


def machine_facts() -> Dict[str, Any]:
    """The machine and the software that a measurement was taken with; the load average is of the minute before."""
    import torch
    try:
        cpu = Path('/proc/cpuinfo').read_text()
    except OSError:
        cpu = ''
    model = re.search(r'^model name\s*: *(.+)', cpu, re.MULTILINE)
    return {
        'date': datetime.date.today().isoformat(),
        'CPU': model[1] if model else platform.processor() or platform.machine(),
        'bf16 instructions': ', '.join(flag for flag in ('avx512_bf16', 'amx_bf16') if flag in cpu.split()) or 'none known',
        'cores': len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count(),
        'load before': round(os.getloadavg()[0], 2),
        'Python': platform.python_version(),
        'torch': torch.__version__,
    }


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table whose columns line up in plain text too."""
    from rich.box import MARKDOWN

    from lbbt_mm.text_table import render_table
    return render_table('', columns, [[str(cell) for cell in row] for row in rows], MARKDOWN, width=1000).strip()
