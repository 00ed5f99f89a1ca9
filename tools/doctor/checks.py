"""The known traps of an environment: each check looks for one and says its cause and its remedy.

Standard library only, so that it runs where nothing else does.
"""
import ast
import re
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, NamedTuple, Tuple


def read_setup(path: Path) -> Dict[str, Any]:
    """The literals of a ``setup.py`` by the names or keywords that they are given; it is read, never run."""
    found = {}
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, (ast.Assign, ast.keyword)):
            name = node.arg if isinstance(node, ast.keyword) else getattr(node.targets[0], 'id', None)
            with suppress(ValueError):  # what is computed is left out
                found[name] = ast.literal_eval(node.value)
    return found


def ranges(requirements: Iterable[str]) -> Dict[str, str]:
    """Distribution -> range, of requirements such as ``'transformers>=4.46,<6'``."""
    return dict(re.match(r'([\w-]+)(.*)', requirement).groups() for requirement in requirements)


# What lbbt_mm asks for, with its extra for analyses, and torchvision, which the codebases ask for.
_SETUP = read_setup(Path(__file__).parents[2] / 'setup.py')
PYTHON = _SETUP['python_requires']
LIBRARIES = {**ranges(_SETUP['install_requires'] + _SETUP['ANALYSIS']), 'torchvision': ''}
OPTIONAL = {'torchvision', 'rich', 'orjson', *ranges(_SETUP['ANALYSIS'])}
# Looked at where they are installed; nothing is said where they are not.
EXTRAS = ranges(_SETUP['VIDEO'] + _SETUP['CAPTIONS'])
# Family -> import package -> (distribution, range)
_IMPORTED_AS = {'mmdetection': 'mmdet', 'mmsegmentation': 'mmseg'}
FAMILIES: Dict[str, Dict[str, Tuple[str, str]]] = {
    family: {_IMPORTED_AS.get(short, short): (name, spec) for name, spec in ranges(requirements).items()
             for short in [name.replace('onedl-', '')] if short.startswith('mm')}
    for family, requirements in (('maintained', _SETUP['MAINTAINED']), ('upstream', sum(_SETUP['UPSTREAM'].values(), [])))}
FOUNDATION = ('mmengine', 'mmcv')
CODEBASES = {'mmdet': 'detection', 'mmseg': 'segmentation', 'mmpretrain': 'classification'}
# Releases of transformers with which mmpretrain's BLIP file imports; mmdet imports mmpretrain where it is installed.
MMPRETRAIN_TRANSFORMERS = {'maintained': '>=4.53,<5', 'upstream': '>=4.46,<4.49'}


class Trap(NamedTuple):
    """Something known to go wrong, found in this environment.

    Args:
        severity: ``'error'`` (it cannot work), ``'warning'`` (a part cannot) or ``'note'``.
        name: Short name.
        cause: What was found and why it matters.
        remedy: What to do.
    """
    severity: str
    name: str
    cause: str
    remedy: str


@dataclass
class Environment:
    """Facts about an environment.

    Args:
        python: Version of Python.
        versions: Distribution name (lower case, hyphens) -> version.
        ops_path: File of mmcv's compiled operators for this Python; empty where there is none.
        foreign_ops: File of operators that were compiled for another Python.
        has_pkg_resources: Whether ``pkg_resources`` can be imported.
        unused_venv: The checkout's own interpreter, where another one is examined.
        probe: What ``probe.py`` printed.
    """
    python: str
    versions: Dict[str, str]
    ops_path: str = ''
    foreign_ops: str = ''
    has_pkg_resources: bool = True
    unused_venv: str = ''
    probe: dict = field(default_factory=dict)

    def installed(self, package: str) -> List[Tuple[str, str, str]]:
        """``(family, distribution, version)`` of each distribution that brings an mm import package."""
        entries = [(family, *packages[package]) for family, packages in FAMILIES.items()]
        return [(family, name, self.versions[name]) for family, name, _ in entries if name in self.versions]

    def families(self) -> List[str]:
        """Families of which anything is installed."""
        return [name for name, packages in FAMILIES.items() if any(d in self.versions for d, _ in packages.values())]

    def library(self, name: str) -> str:
        """Version of a library; empty where it is absent."""
        return self.versions.get(name.replace('_', '-'), '')

    def parts(self) -> Iterator[Tuple[str, str, str, str]]:
        """``(import package, distribution, version, range)`` of all that is asked for; of what is absent without version."""
        yield from ((name, name, self.library(name), spec) for name, spec in LIBRARIES.items())
        yield from ((name, name, self.library(name), spec) for name, spec in EXTRAS.items() if self.library(name))
        for package in FAMILIES['maintained']:
            yield from [(package, name, version, FAMILIES[family][package][1])
                        for family, name, version in self.installed(package)] or [
                            (package, '', '', ' or '.join(' '.join(packages[package]) for packages in FAMILIES.values()))]


def numbers(version: str) -> Tuple[int, ...]:
    """Release numbers of a version, padded so that 2.1 equals 2.1.0; suffixes such as rc1 or +cu128 do not count."""
    match = re.match(r'\d+(?:\.\d+)*', version)
    release = tuple(int(part) for part in match[0].split('.')) if match else ()
    return release + (0, ) * (6 - len(release))


def accepts(spec: str, version: str) -> bool:
    """Whether a range such as ``'>=4.46,<6'`` holds a version."""
    for part in filter(None, spec.split(',')):
        operator, bound = re.match(r'(>=|<)(.+)', part).groups()
        if (numbers(version) >= numbers(bound)) != (operator == '>='):
            return False
    return True


def check_python(env: Environment) -> Iterator[Trap]:
    """Find a Python that is too old, newer than any mm release lists, or not the one that ``make install`` set up."""
    if env.unused_venv:
        yield Trap('note', 'another interpreter', 'This report is about the Python that runs it, and this checkout has an '
                   'environment of its own.', f'{env.unused_venv} tools/doctor/doctor.py')
    if not accepts(PYTHON, env.python):
        severity = 'error' if numbers(env.python) < numbers('3.9') else 'warning'
        yield Trap(severity, 'python', f'Python {env.python} is outside {PYTHON}; the mm packages list no such release.',
                   'Make the environment with Python 3.11: PYTHON=python3.11 make install.')


def check_libraries(env: Environment) -> Iterator[Trap]:
    """Find libraries that are absent or broken."""
    for severity in ('error', 'warning'):
        missing = [name for name in LIBRARIES if not env.library(name) and (name in OPTIONAL) == (severity == 'warning')]
        if missing:
            wanted = ' '.join(f"'{name}{LIBRARIES[name]}'" for name in missing)
            yield Trap(severity, 'missing libraries', f"Not installed: {', '.join(missing)}.",
                       f'make install, or in an environment of your own pip install {wanted}')
    if 'torch_error' in env.probe and env.library('torch'):
        yield Trap('error', 'torch does not import', env.probe['torch_error'],
                   'Reinstall torch for this Python and machine: pip install --force-reinstall torch.')


def check_versions(env: Environment) -> Iterator[Trap]:
    """Find libraries and mm packages outside their range."""
    for package, name, version, spec in env.parts():
        if version and not accepts(spec, version):
            severity = 'warning' if name in EXTRAS else 'error'
            yield Trap(severity, f'{package} version', f'{name} {version} is outside {spec}.', f"pip install '{name}{spec}'")


def check_families(env: Environment) -> Iterator[Trap]:
    """Find packages of both mm families, which install the same import packages."""
    for package in FAMILIES['upstream']:
        found = env.installed(package)
        if len(found) > 1:
            both = ' and '.join(f'{name} {version}' for _, name, version in found)
            yield Trap('error', f'two distributions of {package}',
                       f'{both} are both installed and overwrite each other\'s files in {package}/.',
                       f"pip uninstall {' '.join(name for _, name, _ in found)}, then install one of them again.")
    if len(env.families()) > 1:
        yield Trap('warning', 'mixed mm families', 'Upstream and maintained (onedl-*) mm packages are mixed; this was '
                   'never tried.', 'Keep to one family: the requirements of this checkout name the maintained one.')


def check_codebases(env: Environment) -> Iterator[Trap]:
    """Find mm packages that are absent."""
    family = (env.families() or ['maintained'])[0]
    missing = [package for package in FAMILIES[family] if not env.installed(package)]
    none_left = all(package in missing for package in CODEBASES)
    for package in missing:
        name, spec = FAMILIES[family][package]
        if package in FOUNDATION:
            build = 'MMCV_WITH_OPS=1 pip install --no-build-isolation' if package == 'mmcv' else 'pip install'
            yield Trap('error', f'{package} is missing', f'{package} is not installed: lbbt_mm cannot work without.',
                       f"make install, or {build} '{name}{spec}'")
        elif not none_left:
            yield Trap('warning', f'{package} is missing', f'No {CODEBASES[package]} models; the rest works.',
                       f"pip install '{name}{spec}'")
    if none_left:
        yield Trap('error', 'no codebase', 'None of mmdet, mmseg and mmpretrain is installed: there is nothing to plug '
                   'into.', "make install, or pip install '.[onedl]' (or one of the extras det, seg and cls)")


def check_transformers(env: Environment) -> Iterator[Trap]:
    """Find a transformers with which mmpretrain, and mmdet through it, does not import."""
    version = env.library('transformers')
    for family, name, _ in env.installed('mmpretrain'):
        spec = MMPRETRAIN_TRANSFORMERS[family]
        if version and not accepts(spec, version):
            broken = env.probe.get('import_errors', {'mmpretrain': 'unknown'}).get('mmpretrain')
            effect = 'does not import (its BLIP file asks for what other releases lack), and mmdet imports it too' \
                if broken else 'was never tried, though it imports here'
            yield Trap('error' if broken else 'warning', 'transformers outside the range of mmpretrain',
                       f'With transformers {version} mmpretrain.models of {name} {effect}; {spec} was seen to work.',
                       f"pip install 'transformers{spec}'")


def check_mmcv_ops(env: Environment) -> Iterator[Trap]:
    """Find an mmcv without operators, or with operators for another Python, torch or device."""
    if not env.installed('mmcv'):
        return
    needed = [package for package in ('mmdet', 'mmseg') if env.installed(package)]
    severity = 'error' if needed else 'warning'
    name = env.installed('mmcv')[0][1]
    remedy = f'MMCV_WITH_OPS=1 pip install --no-build-isolation --no-cache-dir --force-reinstall --no-deps {name}'
    if numbers(env.versions.get('torch', '0')) >= numbers('2.14'):
        remedy = f"First pip install 'torch<2.14' (mmcv's source is too old for its C++20), then {remedy}"
    if not env.ops_path:
        why = 'those here are for another Python' if env.foreign_ops else 'it was installed without compiling them'
        yield Trap(severity, 'mmcv without operators', f'mmcv has no compiled operators ({why}); mmdet and mmseg import '
                   'them.', remedy)
    elif 'ops_error' in env.probe:
        yield Trap(severity, 'mmcv operators do not load', 'They were most likely compiled for another torch than '
                   f"{env.versions.get('torch')}: {env.probe['ops_error']}", remedy)
    elif env.probe.get('cuda_devices') and env.probe.get('ops_cuda') == 'not available':
        yield Trap('note', 'mmcv operators without CUDA', 'There is a GPU, and mmcv was compiled for the CPU only. '
                   'Our models need none of its CUDA operators; stock models may.', f'With nvcc on the PATH: {remedy}')


def check_opencv(env: Environment) -> Iterator[Trap]:
    """Find several opencv distributions in one cv2 folder, and a cv2 that does not import."""
    found = {name: version for name, version in env.versions.items() if name.startswith('opencv-')}
    repair = 'pip install --force-reinstall --no-deps opencv-python-headless'
    if 'opencv-python' in found:
        repair += f"=={found['opencv-python']}"
    if 'cv2_error' in env.probe and found:
        yield Trap('error', 'cv2 does not import', f"{env.probe['cv2_error']} (servers often lack libGL).", repair)
    if len(found) > 1:
        listed = ', '.join(f'{name} {version}' for name, version in sorted(found.items()))
        same = len(set(found.values())) == 1
        yield Trap('note' if same else 'warning', 'several opencv distributions',
                   f'{listed} share the folder cv2: uninstalling one of them breaks the other'
                   + ('.' if same else ', and their versions differ.'), f'When cv2 breaks: {repair}')


def check_mmengine(env: Environment) -> Iterator[Trap]:
    """Find what mmengine lacks: pkg_resources, which setuptools dropped in release 82; for upstream, a way to resume."""
    upstream = any(family == 'upstream' for family, _, _ in env.installed('mmengine'))
    if not env.has_pkg_resources:
        found = f"setuptools {env.versions['setuptools']}" if 'setuptools' in env.versions else 'This environment'
        yield Trap('error' if upstream else 'warning', 'no pkg_resources',
                   f"{found} has no pkg_resources: upstream mmengine imports it to find bases such as 'mmdet::...', and "
                   'so do builds of older packages.', "pip install 'setuptools>=77,<81'")
    if upstream and accepts('>=2.6', env.versions.get('torch', '0')):
        yield Trap('warning', 'upstream mmengine cannot resume', f"torch {env.versions['torch']} loads weights only, and "
                   "upstream mmengine's checkpoints hold classes of its own: its stock tools cannot resume.",
                   'Resume with tools/train.py of lbbt_mm, which allows just those classes.')


def check_imports(env: Environment) -> Iterator[Trap]:
    """Find codebases whose models do not import, for a reason that no other check knows."""
    for codebase, error in env.probe.get('import_errors', {}).items():
        absent = re.search(r"No module named '(\w+)'", error)
        remedy = (f'pip install {absent[1]}' if absent else 'Compare the versions above with requirements/constraints.txt, '
                  'which were seen to work together.')
        yield Trap('error', f'{codebase} does not import', error, remedy)


CHECKS = (check_python, check_libraries, check_versions, check_families, check_codebases, check_transformers,
          check_mmcv_ops, check_opencv, check_mmengine)


def find_traps(env: Environment) -> List[Trap]:
    """Run all checks; errors come first."""
    traps = [trap for check in CHECKS for trap in check(env)]
    if all(trap.severity != 'error' for trap in traps):
        traps.extend(check_imports(env))
    return sorted(traps, key=lambda trap: ('error', 'warning', 'note').index(trap.severity))
