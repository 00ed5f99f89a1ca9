"""The package as it is installed: whole without the checkout, found by other projects, built in rooms."""
import ast
import os
import re
import subprocess
import sys
import tokenize
import zipfile
from functools import lru_cache
from pathlib import Path

import mmengine
import pytest
from mmengine.config import Config

import lbbt_mm
from tests.tiny_detection import run_config, write_dataset
from tests.tool_processes import REPO, environment

_TABLE = re.search(r'^\| room \|.*?(?=\n\n)', (REPO / 'CONTRIBUTING.md').read_text(), re.MULTILINE | re.DOTALL)[0]
#: Rooms from the ground up, as CONTRIBUTING.md has them: a room imports those before it, and itself.
ROOMS = re.findall(r'`(?:lbbt_mm/)?(\w+)(?:\.py|/)`', ''.join(row.split('|')[1] for row in _TABLE.splitlines()))
MODULES = sorted((REPO / 'lbbt_mm').rglob('*.py'))


@lru_cache(maxsize=None)
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def imported(path: Path) -> set:
    """Modules of the package that a file imports, at its top or later."""
    package = list(path.relative_to(REPO).with_suffix('').parts[:-1])
    found = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.ImportFrom):
            parts = package[:len(package) - node.level + 1] if node.level else []
            base = '.'.join([*parts, *([node.module] if node.module else [])])
            found |= {base, *(f'{base}.{name.name}' for name in node.names)}
        elif isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
    return {name for name in found if name.startswith('lbbt_mm.')}


def room(module: str) -> str:
    return module.split('.')[1]


@pytest.mark.parametrize('path', MODULES, ids=lambda path: str(path.relative_to(REPO)))
def test_a_room_imports_those_below_it(path):
    own = path.relative_to(REPO / 'lbbt_mm').with_suffix('').parts[0]
    if own == '__init__':
        return
    above = {name for name in imported(path) if room(name) in ROOMS and ROOMS.index(room(name)) > ROOMS.index(own)}
    assert not above


def test_analysis_knows_tensors_only():
    """What a figure's number is can be read, and used elsewhere, without the rest of the package or an mm codebase."""
    for path in (REPO / 'lbbt_mm' / 'analysis').glob('*.py'):
        assert {room(name) for name in imported(path)} <= {'analysis'}, path
        assert not re.search(r'^\s*(from|import) (mm\w+|transformers)\b', path.read_text(), re.M), path


def test_every_room_is_in_the_order():
    names = {path.relative_to(REPO / 'lbbt_mm').with_suffix('').parts[0] for path in MODULES}
    assert sorted(names - {'__init__'} | {'tools'}) == sorted(ROOMS)


#: What is started by its name; the doctor's probe is started by the doctor alone.
ENTRY_POINTS = sorted(path for path in (REPO / 'tools').rglob('*.py')
                      if '__main__' in path.read_text() and path.name != 'probe.py')


@pytest.mark.parametrize('folder', sorted({path.parent for path in ENTRY_POINTS}), ids=lambda path: path.name)
def test_help_imports_nothing_that_takes_seconds(folder):
    """So it is there in a tenth of a second; torch alone takes some."""
    code = """import runpy, sys
folder, *tools = sys.argv[1:]
sys.path.insert(0, folder)
for tool in tools:
    sys.argv = [tool, '--help']
    try:
        runpy.run_path(tool, run_name='__main__')
    except SystemExit as ended:
        status = ended.code
    heavy = {'torch', 'mmengine', 'mmcv', 'pandas', 'cv2', 'sklearn', 'matplotlib', 'transformers'} & set(sys.modules)
    print('ended', status, 'loaded', *sorted(heavy))
    if heavy:
        break
"""
    tools = [path for path in ENTRY_POINTS if path.parent == folder]
    done = subprocess.run([sys.executable, '-c', code, folder, *tools], cwd=REPO, env=environment(), capture_output=True,
                          text=True)
    ends = [line for line in done.stdout.splitlines() if line.startswith('ended ')]
    assert ends == ['ended 0 loaded'] * len(tools), (tools[len(ends) - 1], done.stdout[-300:], done.stderr)


def test_nothing_imports_tools():
    for path in MODULES:
        assert not re.search(r'^\s*(from|import) tools\b', path.read_text(), re.M), path


@pytest.mark.parametrize('name', ['detr_gpt2_coco.py', 'small/segmenter_gpt2_ade20k.py'])
def test_other_projects_inherit_our_configs(name, tmp_path):
    mine = tmp_path / 'mine.py'
    mine.write_text(f"_base_ = __import__('lbbt_mm').config_path({name!r})\nmodel = dict(init_cfg=None)\n")
    assert Config.fromfile(mine).model.type == Config.fromfile(REPO / 'configs' / name).model.type
    several = tmp_path / 'several.py'
    several.write_text(f"_base_ = [__import__('lbbt_mm').config_path({name!r})]\n")
    assert Config.fromfile(several).model == Config.fromfile(REPO / 'configs' / name).model


def test_a_config_that_is_not_there():
    with pytest.raises(FileNotFoundError, match="lbbt_mm has no config 'none.py'. Give a path below its configs folder"):
        lbbt_mm.config_path('none.py')


def test_what_mim_looks_for_is_there():
    import yaml
    index = yaml.safe_load((REPO / 'model-index.yml').read_text())
    metafiles = [path.relative_to(REPO).as_posix() for path in REPO.glob('configs/**/metafile.yml')]
    assert sorted(index['Import']) == sorted(metafiles)
    models = [model for path in index['Import'] for model in yaml.safe_load((REPO / path).read_text())['Models']]
    assert len({model['Name'] for model in models}) == len(models), 'mim keeps one of a name'
    for model in models:
        config = Path(model['Config'])
        assert (REPO / config).is_file()
        assert model['Name'] == {'small': 'small_', 'public_lbbt': 'public_'}.get(config.parent.name, '') + config.stem


@pytest.fixture(scope='module')
def installed(tmp_path_factory) -> Path:
    """A folder with the package as a wheel brings it; what it needs is this environment's."""
    folder = tmp_path_factory.mktemp('installed')
    source = folder / 'source'
    source.mkdir()
    for name in ('lbbt_mm', 'configs', 'tools', 'setup.py', 'pyproject.toml', 'README.md', 'model-index.yml'):
        (source / name).symlink_to(REPO / name)
    done = subprocess.run([sys.executable, '-m', 'pip', 'wheel', '--no-deps', '--no-build-isolation', '--no-input', '-q',
                           '-w', folder, source], capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(next(folder.glob('lbbt_mm-*.whl'))) as wheel:
        wheel.extractall(folder / 'site')
    return folder / 'site'


def test_a_wheel_trains_without_the_checkout(installed, folders, tmp_path):
    """Two iterations, by a run of ours, from the folder alone: another working directory, the package first on the path."""
    for name in ('configs/detr_gpt2_coco.py', 'configs/_base_/language/gpt2.py', 'tools/train.py', 'tools/dist_train.sh',
                 'tools/compare_arms.py', 'tools/demo/__main__.py', 'model-index.yml', 'configs/metafile.yml',
                 'configs/segmentation/metafile.yml'):
        assert (installed / 'lbbt_mm' / '.mim' / name).is_file(), name
    cfg = run_config(write_dataset(tmp_path / 'data', num_train=2, num_val=1), train_cfg__max_epochs=1)
    cfg.dump(tmp_path / 'run.py')
    code = ('import sys, lbbt_mm\n'
            'assert lbbt_mm.__file__.startswith(sys.argv[1]), lbbt_mm.__file__\n'
            'assert lbbt_mm.config_path("detr_gpt2_coco.py").startswith(sys.argv[1])\n'
            'from lbbt_mm.runs.training_run import TrainingRun\n'
            'run = TrainingRun("run.py", "out", ["model.language.arm=host"])\n'
            'print(run.run(), run.records()["train"][-1]["iter"])')
    env = environment(PYTHONPATH=installed, PYTHONSAFEPATH='1')
    done = subprocess.run([sys.executable, '-c', code, str(installed)], env=env, cwd=tmp_path, capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split()[-2] == 'finished'  # what codebases print while they are imported comes before
    log = (tmp_path / 'out' / 'train.log').read_text()
    assert os.fspath(REPO) not in log.replace(f'{REPO}/.venv', '')


def test_names_of_families_stand_with_the_families():
    """Elsewhere a family is an entry of the table, whatever it is called."""
    from lbbt_mm.language import FAMILIES
    assert all(names.search(name.upper()) for name in FAMILIES for names in (FAMILY, IN_IDENTIFIER)), 'add its name there'
    for path in MODULES:
        if 'families' not in path.parts:
            constants = {node.value for node in ast.walk(parsed(path)) if isinstance(node, ast.Constant)
                         and isinstance(node.value, str)}
            assert not constants & set(FAMILIES), path


#: For readers whose first language is another: "one row for each run", "the results so far" and "unchanged" say it too.
HARD_WORDS = re.compile(r'\ban?\s+\w+\s+an?\s+(run|row|label|block|layer|metric|model|seed|epoch|score|observation|class'
                        r'|figure)\b|\bwhat\s+there\s+is\b|\bas\s+it\s+is[.,;:]', re.IGNORECASE)


def test_sentences_are_plain():
    pages = [REPO / 'README.md', REPO / 'CONTRIBUTING.md', *(REPO / 'docs').glob('*.md'), *(REPO / 'tools').rglob('*.py')]
    for path in [*MODULES, *pages]:
        assert not [found[0] for found in HARD_WORDS.finditer(path.read_text(encoding='utf-8'))], path


#: A program, a rotary rule, hub ids and configs that are examples.
NO_FAMILY = re.compile(r'llama\.cpp|llama-gguf-split|``llama3``|\w+/gpt2\b|\w+_gpt2\w*\.py')
FAMILY = re.compile(r'\b(gpt-?2|llama|mistral|qwen\d?|smollm|(?-i:OPT)\b)', re.IGNORECASE)
IN_IDENTIFIER = re.compile(r'gpt_?2|llama|mistral|qwen|smollm|(?-i:^OPT(?![A-Z]))', re.IGNORECASE)


def test_identifiers_comments_docstrings_and_messages_name_no_family_either():
    """But for papers: what is said of a family comes from its entry."""
    for path in MODULES:
        if 'families' not in path.parts:
            with open(path, 'rb') as file:
                tokens = list(tokenize.tokenize(file.readline))
            texts = [token.string for token in tokens
                     if token.type in (tokenize.COMMENT, tokenize.STRING, getattr(tokenize, 'FSTRING_MIDDLE', None))]
            lines = [line for text in texts for line in NO_FAMILY.sub('', text).splitlines() if 'arXiv' not in line]
            names = [token.string for token in tokens if token.type == tokenize.NAME]
            assert not [line for line in lines if FAMILY.search(line)] + list(filter(IN_IDENTIFIER.search, names)), path


def test_names_of_arms_stand_with_the_arms():
    """Code asks the table what an arm is; the names are in it, in command lines and in what configs leave out."""
    from lbbt_mm.language.arms import ARMS
    names = set(ARMS) - {'language', 'random', 'mappers', 'none', 'plain'}  # words of other meanings too
    for path in MODULES:
        if path.name not in ('arms.py', 'compare_arms.py'):
            constants = {node.value for node in ast.walk(parsed(path)) if isinstance(node, ast.Constant)
                         and isinstance(node.value, str)}
            assert not constants & names, path


PRIVATE = re.compile(r'_[a-zA-Z]\w*[^\W_]')


def private_names(path: Path) -> list:
    """The private names that a module gives to its own parts, and those that it takes from other things, be it as text."""
    own, others = set(), set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            own.add(node.name)
        if isinstance(node, (ast.Module, ast.ClassDef)):
            own |= {target.id for line in node.body for target in getattr(line, 'targets', [getattr(line, 'target', None)])
                    if isinstance(target, ast.Name)}
        if isinstance(node, ast.Attribute):
            (own if ast.unparse(node.value) in ('self', 'cls', 'super()') else others).add(node.attr)
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            others.add(node.value)
    return [{name for name in names if PRIVATE.fullmatch(name)} for names in (own, others)]


def test_private_names_of_mmengine_stand_in_one_module():
    theirs = set().union(*(private_names(path)[0] for path in Path(mmengine.__file__).parent.rglob('*.py')))
    for path in MODULES:
        own, others = private_names(path)
        found = others & theirs - own - {'_dataloader'}  # how keys of configs end
        assert bool(found) == (path.name == 'mmengine_internals.py'), (path, found)
