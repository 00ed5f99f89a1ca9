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
from importlib import metadata
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Optional, Tuple

from checks import CODEBASES, PYTHON, Environment, Trap, accepts, find_traps

TOOLS = Path(__file__).resolve().parent
_BF16_INSTRUCTIONS = ('amx_bf16', 'avx512_bf16', 'bf16')
_ALIASES = {'mmcv-lite': 'mmcv', 'mmcv-full': 'mmcv'}
# Of terminals: red, green, yellow
_COLORS = {'ok': 32, 'missing': 33, 'outside': 31, 'broken': 31, 'error': 31, 'warning': 33}


class Row(NamedTuple):
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


def part_rows(env: Environment) -> Iterator[Row]:
    """Rows of Python, the libraries, the mm packages with their family, and mmcv's operators."""
    yield Row('python', env.python, PYTHON, 'ok' if accepts(PYTHON, env.python) else 'outside')
    broken = {*env.probe.get('import_errors', {}), *(name[:-len('_error')] for name in env.probe if name.endswith('_error'))}
    for package, name, version, spec in env.parts():
        status = 'missing' if not version else 'broken' if package in broken else None
        status = status or ('ok' if accepts(spec, version) else 'outside')
        yield Row(package, f'{version}, {name}' if name != package and version else version or '-', spec or 'any', status)
    families, cuda = env.families(), env.probe.get('ops_cuda')
    status = ('missing', 'ok', 'outside')[min(len(families), 2)]
    yield Row('mm family', ' and '.join(families) or '-', 'maintained or upstream', status)
    found, status = ('not usable', 'broken') if env.ops_path else ('-', 'missing')
    if cuda:
        found, status = 'compiled, ' + ('CPU only' if cuda == 'not available' else f'CUDA {cuda}'), 'ok'
    yield Row('mmcv operators', found, 'compiled', status)


def device_rows(env: Environment) -> Iterator[Row]:
    """Rows of processor, GPUs and communication backends."""
    backends = ', '.join(env.probe.get('backends', []))
    yield Row('CPU', describe_cpu(), 'any', 'ok')
    yield Row('CUDA devices', ', '.join(env.probe.get('cuda_devices', [])) or 'none', 'optional', 'ok')
    yield Row('backends', backends or 'none', 'gloo for CPUs, nccl for GPUs', 'ok' if backends else 'missing')


def print_report(rows: List[Row], traps: List[Trap]) -> None:
    """Print table and traps, in colours where a terminal shows them."""
    in_colour = sys.stdout.isatty() and not os.environ.get('NO_COLOR')

    def paint(text: str, kind: str) -> str:
        return f'\033[{_COLORS.get(kind, 36)}m{text}\033[0m' if in_colour else text

    lines = [Row(*Row._fields), *rows]
    widths = [max(map(len, column)) for column in zip(*lines)]
    for line in lines:
        *cells, status = line
        print('  '.join([*(cell.ljust(width) for cell, width in zip(cells, widths)), paint(status, status)]))
    for trap in traps:
        print(f'\n{paint(trap.severity.upper(), trap.severity)}: {trap.name}\n  cause:  {trap.cause}\n'
              f'  remedy: {trap.remedy}')


def main() -> int:
    """Examine the environment, print the report and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--json', action='store_true', help='print the report as JSON')
    as_json = parser.parse_args().json
    env = examine()
    rows, traps = [*part_rows(env), *device_rows(env)], find_traps(env)
    works = not any(trap.severity == 'error' for trap in traps)
    if as_json:
        print(json.dumps(dict(works=works, table=[row._asdict() for row in rows], traps=[trap._asdict() for trap in traps]),
                         indent=2))
    else:
        print_report(rows, traps)
        print('\nThis environment can work.' if works else '\nThis environment cannot work until the errors are cured.')
    return 0 if works else 1


if __name__ == '__main__':
    sys.exit(main())
