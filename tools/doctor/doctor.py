"""Show what is installed against what is supported, and name the known traps.

Needs nothing but the standard library; exits with 0 when the environment can work and with 1 when it cannot.
"""
import argparse
import json
import os
import platform
import re
import subprocess
import sys
from dataclasses import asdict, dataclass
from importlib import metadata
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from pathlib import Path
from typing import Dict, List, Optional, Tuple

from checks import CODEBASES, FAMILIES, LIBRARIES, PYTHON, Environment, Trap, accepts, find_traps

TOOLS = Path(__file__).resolve().parent
_BF16_INSTRUCTIONS = ('amx_bf16', 'avx512_bf16', 'bf16')
_ALIASES = {'mmcv-lite': 'mmcv', 'mmcv-full': 'mmcv'}
_COLORS = {'ok': 'green', 'missing': 'yellow', 'outside': 'red', 'broken': 'red', 'error': 'red', 'warning': 'yellow'}


@dataclass
class Row:
    """One line of the table."""
    part: str
    found: str
    supported: str
    status: str


def installed_versions() -> Dict[str, str]:
    """Versions of all distributions, by lower-case name with hyphens; nothing is imported."""
    versions: Dict[str, str] = {}
    for distribution in metadata.distributions():
        name = distribution.metadata['Name']
        if name:  # an interrupted pip leaves folders without metadata
            name = re.sub(r'[-_.]+', '-', name).lower()
            versions.setdefault(_ALIASES.get(name, name), distribution.version)
    return versions


def package_folder(package: str) -> Optional[Path]:
    """Folder of an import package, without importing it."""
    spec = find_spec(package)
    return Path(spec.origin).parent if spec and spec.origin else None


def accepted_versions() -> Dict[str, Dict[str, Tuple[str, str]]]:
    """The ranges of mmcv and mmengine that installed codebases assert on import, read from their source."""
    accepted: Dict[str, Dict[str, Tuple[str, str]]] = {}
    for codebase in CODEBASES:
        folder = package_folder(codebase)
        source = (folder / '__init__.py').read_text(encoding='utf-8') if folder else ''
        bounds = {(library, end): version for library, end, version in re.findall(
            r"^(mmcv|mmengine)_(minimum|maximum)_version = '([^']+)'", source, flags=re.M)}
        accepted[codebase] = {
            library: (bounds[library, 'minimum'], bounds[library, 'maximum'])
            for library in ('mmcv', 'mmengine') if {(library, 'minimum'), (library, 'maximum')} <= set(bounds)
        }
    return accepted


def find_mmcv_ops() -> Tuple[str, str]:
    """Path of mmcv's compiled operators for this Python, and of some for another one; empty where there are none."""
    folder = package_folder('mmcv')
    files = sorted(folder.glob('_ext*')) if folder else []
    ours = [path for path in files if path.name in {f'_ext{suffix}' for suffix in EXTENSION_SUFFIXES}]
    others = [path for path in files if path not in ours and path.suffix in ('.so', '.pyd', '.dylib')]
    return str(ours[0]) if ours else '', str(others[0]) if others else ''


def run_probe(ops_path: str) -> dict:
    """Import what can break in a process of its own."""
    command = [sys.executable, *(['-S'] if sys.flags.no_site else []), str(TOOLS / 'probe.py')]
    search_path = [entry for entry in sys.path if Path(entry or '.').resolve() != TOOLS]
    codebases = [codebase for codebase in CODEBASES if package_folder(codebase)]
    request = json.dumps([search_path, ops_path, codebases])
    try:
        done = subprocess.run([*command, request], capture_output=True, text=True, timeout=300)
        return json.loads(done.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        return {'torch_error': 'importing it took more than 300 s'}
    except (IndexError, ValueError):
        return {'torch_error': f'its process ended with code {done.returncode}: {done.stderr.strip()[-300:]}'}


def examine() -> Environment:
    """Gather the facts about the environment that runs this."""
    ops_path, foreign_ops = find_mmcv_ops()
    venv = TOOLS.parents[1] / '.venv'
    uses_other = (venv / 'bin' / 'python').exists() and Path(sys.prefix).resolve() != venv
    return Environment(
        python=platform.python_version(),
        versions=installed_versions(),
        accepted=accepted_versions(),
        ops_path=ops_path,
        foreign_ops=foreign_ops,
        has_pkg_resources=find_spec('pkg_resources') is not None,
        unused_venv=str(venv / 'bin' / 'python') if uses_other else '',
        probe=run_probe(ops_path))


def describe_cpu() -> str:
    """Number of usable cores and the bf16 instructions among the processor's flags."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
    try:
        flags = set(Path('/proc/cpuinfo').read_text().split())
    except OSError:
        return f'{cores} cores'
    bf16 = [name for name in _BF16_INSTRUCTIONS if name in flags]
    return f'{cores} cores, ' + (f"bf16 in hardware ({', '.join(bf16)})" if bf16 else 'no bf16 in hardware: --amp is slow')


def library_rows(env: Environment) -> List[Row]:
    """Rows of Python and the libraries that are no mm packages."""
    rows = [Row('python', env.python, PYTHON, 'ok' if accepts(PYTHON, env.python) else 'outside')]
    for name, spec in LIBRARIES.items():
        version = env.versions.get(name.replace('_', '-'))
        status = 'missing' if version is None else 'ok' if accepts(spec, version) else 'outside'
        if name == 'torch' and 'torch_error' in env.probe and version:
            status = 'broken'
        rows.append(Row(name, version or '-', spec or 'any', status))
    return rows


def mm_rows(env: Environment) -> List[Row]:
    """Rows of the mm packages with their family, and of mmcv's operators."""
    families = env.families()
    status = 'missing' if not families else 'ok' if len(families) == 1 else 'outside'
    rows = [Row('mm family', ' and '.join(families) or '-', 'maintained or upstream', status)]
    for package in FAMILIES['maintained']:
        found = env.installed(package)
        for family, name, version in found:
            spec = FAMILIES[family][package][1]
            status = 'ok' if accepts(spec, version) else 'outside'
            if package in env.probe.get('import_errors', {}):
                status = 'broken'
            rows.append(Row(package, f'{version}, {name}', spec, status))
        if not found:
            both = ' or '.join(f'{packages[package][0]} {packages[package][1]}' for packages in FAMILIES.values())
            rows.append(Row(package, '-', both, 'missing'))
    if 'ops_cuda' in env.probe:
        kind = 'CPU only' if env.probe['ops_cuda'] == 'not available' else f"CUDA {env.probe['ops_cuda']}"
        rows.append(Row('mmcv operators', f'compiled, {kind}', 'compiled', 'ok'))
    else:
        rows.append(Row('mmcv operators', 'not usable' if env.ops_path else '-', 'compiled',
                        'broken' if env.ops_path else 'missing'))
    return rows


def device_rows(env: Environment) -> List[Row]:
    """Rows of processor, GPUs and communication backends."""
    gpus = ', '.join(env.probe.get('cuda_devices', [])) or 'none'
    backends = ', '.join(env.probe.get('backends', [])) or 'none'
    return [
        Row('CPU', describe_cpu(), 'any', 'ok'),
        Row('CUDA devices', gpus, 'optional', 'ok'),
        Row('backends', backends, 'gloo for CPUs, nccl for GPUs', 'ok' if backends != 'none' else 'missing'),
    ]


def print_plain(rows: List[Row], traps: List[Trap]) -> None:
    """Print the report without rich."""
    lines = [('part', 'found', 'supported', 'status')] + [tuple(asdict(row).values()) for row in rows]
    widths = [max(len(line[column]) for line in lines) for column in range(4)]
    for line in lines:
        print('  '.join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())
    for trap in traps:
        print(f'\n{trap.severity.upper()}: {trap.name}\n  cause:  {trap.cause}\n  remedy: {trap.remedy}')


def print_rich(rows: List[Row], traps: List[Trap]) -> None:
    """Print the report with rich."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table
    console = Console()
    table = Table('part', 'found', 'supported', 'status')
    for row in rows:
        color = _COLORS[row.status]
        table.add_row(row.part, escape(row.found), row.supported, f'[{color}]{row.status}[/{color}]')
    console.print(table)
    for trap in traps:
        color = _COLORS.get(trap.severity, 'cyan')
        console.print(f'\n[{color}]{trap.severity.upper()}[/{color}]: {escape(trap.name)}\n  cause:  {escape(trap.cause)}\n'
                      f'  remedy: {escape(trap.remedy)}', soft_wrap=True, highlight=False)


def main() -> int:
    """Examine the environment, print the report and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--json', action='store_true', help='print the report as JSON')
    as_json = parser.parse_args().json
    env = examine()
    rows = library_rows(env) + mm_rows(env) + device_rows(env)
    traps = find_traps(env)
    works = not any(trap.severity == 'error' for trap in traps)
    if as_json:
        print(json.dumps(dict(works=works, table=[asdict(row) for row in rows],
                              traps=[asdict(trap) for trap in traps]), indent=2))
        return 0 if works else 1
    if find_spec('rich'):
        print_rich(rows, traps)
    else:
        print_plain(rows, traps)
    print('\nThis environment can work.' if works else '\nThis environment cannot work until the errors are cured.')
    return 0 if works else 1


if __name__ == '__main__':
    sys.exit(main())
