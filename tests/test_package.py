"""The package as it is installed: whole without the checkout, found by other projects, built in rooms."""
import ast
import os
import re
import subprocess
import sys
import tokenize
import zipfile
from pathlib import Path

import pytest
from mmengine.config import Config

import lbbt_mm
from tests.tiny_detection import run_config, write_dataset
from tests.tool_processes import REPO, environment

#: Rooms from the ground up: a room imports those before it, and itself.
ROOMS = ('version', 'errors', 'registry', 'text_table', 'random_state', 'config_keys', 'argument_types',
         'mmengine_internals', 'language', 'files', 'data_makers', 'datasets', 'evaluation', 'models', 'checks', 'engine',
         'launch', 'runs', 'figures', 'experiments', 'zero_shot')
MODULES = sorted((REPO / 'lbbt_mm').rglob('*.py'))


def imported(path: Path) -> set:
    """Modules of the package that a file imports, at its top or later."""
    package = list(path.relative_to(REPO).with_suffix('').parts[:-1])
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
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
    if own in ('__init__', 'analysis'):
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
    assert names - {'__init__', 'analysis'} == set(ROOMS)


@pytest.mark.parametrize('tool', ['train.py', 'test.py', 'lbbt.py', 'compare_arms.py', 'check_data.py', 'demo',
                                  'compare_text_encoders.py',
                                  'precompute_features.py', 'separate_concepts.py', 'zero_shot.py',
                                  'dataset_converters/digits_to_coco.py', 'dataset_converters/digits_to_ade.py',
                                  'dataset_converters/digits_to_imagefolder.py',
                                  'dataset_converters/tiny_imagenet_to_imagefolder.py',
                                  'dataset_converters/caltech256_to_imagefolder.py',
                                  'dataset_converters/emoji_to_captions.py',
                                  'model_converters/efficientnet_lite_to_mmpretrain.py', *(
                                      f'analysis/{path.name}' for path in (REPO / 'tools' / 'analysis').glob('*.py')), *(
                                      f'benchmarks/{name}.py' for name in (
                                          'checkpoint_reading', 'config_steps', 'data_checks', 'detr_layers', 'llm_backbone',
                                          'partial_training', 'segmenter_head', 'cpu_attention', 'gsnr', 'text_features',
                                          'sharelock'))])
def test_help_imports_nothing_that_takes_seconds(tool):
    """So it is there in a tenth of a second; torch alone takes some."""
    start = f"runpy.run_module('tools.{tool}', run_name='__main__')" if '.' not in tool else (
        f"runpy.run_path('tools/{tool}', run_name='__main__')")
    code = f"""import runpy, sys
sys.argv = ['tool', '--help']
sys.path.insert(0, 'tools/benchmarks')
try:
    {start}
finally:
    heavy = {{'torch', 'mmengine', 'mmcv', 'pandas', 'cv2', 'sklearn', 'matplotlib', 'transformers'}}
    print('loaded', *sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, '-c', code], cwd=REPO, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == 'loaded', done.stdout + done.stderr


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
    for path in MODULES:
        if 'families' not in path.parts:
            constants = {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)
                         and isinstance(node.value, str)}
            assert not constants & set(FAMILIES), path


#: A program, a rotary rule, hub ids and configs that are examples.
NO_FAMILY = re.compile(r'llama\.cpp|llama-gguf-split|``llama3``|\w+/gpt2\b|\w+_gpt2\w*\.py')
FAMILY = re.compile(r'\b(gpt-?2|llama|mistral|qwen\d?|smollm|(?-i:OPT)\b)', re.IGNORECASE)


def test_comments_docstrings_and_messages_name_no_family_either():
    """But for papers: what is said of a family comes from its entry."""
    for path in MODULES:
        if 'families' not in path.parts:
            with open(path, 'rb') as file:
                texts = [token.string for token in tokenize.tokenize(file.readline)
                         if token.type in (tokenize.COMMENT, tokenize.STRING, getattr(tokenize, 'FSTRING_MIDDLE', None))]
            lines = [line for text in texts for line in NO_FAMILY.sub('', text).splitlines() if 'arXiv' not in line]
            assert not [line for line in lines if FAMILY.search(line)], path


def test_names_of_arms_stand_with_the_arms():
    """Code asks the table what an arm is; the names are in it, in command lines and in what configs leave out."""
    from lbbt_mm.language.arms import ARMS
    names = set(ARMS) - {'language', 'random', 'mappers', 'none', 'plain'}  # words of other meanings too
    for path in MODULES:
        if path.name not in ('arms.py', 'compare_arms.py'):
            constants = {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)
                         and isinstance(node.value, str)}
            assert not constants & names, path


PRIVATE = re.compile(r'\b(runner|loop|cfg)\._(?!asdict|replace)[a-z]\w*')


@pytest.mark.parametrize('path', MODULES, ids=lambda path: str(path.relative_to(REPO)))
def test_private_names_of_mmengine_stand_in_one_module(path):
    if path.name != 'mmengine_internals.py':
        assert not PRIVATE.findall(path.read_text())
