"""What README and docs show works: every config runs or is built as it stands, every tool takes the flags it is given."""
import re
from pathlib import Path
from typing import List, Tuple

import mmseg
import pytest
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from lbbt_mm.files.config_files import read_config_file
from tests.image_folders import write_image_folder
from tests.tiny_checkpoints import build_model
from tests.tool_processes import REPO, run_tool

PAGES = [REPO / 'README.md', *sorted((REPO / 'docs').glob('*.md'))]
HUB_ID = 'openai-community/gpt2'


def blocks(language: str) -> List[Tuple[str, str]]:
    """Page and text of each code block."""
    block = re.compile(rf'^```{language}\n(.*?)^```', re.MULTILINE | re.DOTALL)
    return [(page.name, text) for page in PAGES for text in block.findall(page.read_text(encoding='utf-8'))]


SNIPPETS = [(page, text) for page, text in blocks('python') if '_base_' in text]
SCRIPTS = [(page, text) for page, text in blocks('python') if '_base_' not in text]


@pytest.mark.parametrize('page, text', SNIPPETS, ids=[f'{page} {number}' for number, (page, _) in enumerate(SNIPPETS)])
def test_a_config_that_is_shown_is_whole_and_its_model_is_built(page, text, folders, tmp_path):
    assert re.search(r'^_base_ = ', text, re.MULTILINE), 'a reader copies it as it stands'
    small = text.replace('PATH/', f'{REPO}/').replace('MMSEG/', f'{Path(mmseg.__file__).parent}/.mim/')
    if 'n_embd' not in text:  # without the language model's config, which is read from the checkpoint
        small = small.replace(HUB_ID, str(folders['gpt2']))
    (tmp_path / 'shown.py').write_text(small)
    cfg = read_config_file(tmp_path / 'shown.py')
    cfg.work_dir = str(tmp_path / 'work')
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    for part in ('train', 'val', 'test'):  # mmengine's runner refuses a loop without its loader and evaluator
        given = [cfg.get(f'{part}_{name}') is not None for name in ('cfg', 'dataloader')]
        assert given[0] == given[1], f'{part}_cfg and {part}_dataloader'
    assert Runner.from_cfg(cfg).model


@pytest.mark.parametrize('page, text', SCRIPTS, ids=[f'{page} {number}' for number, (page, _) in enumerate(SCRIPTS)])
def test_a_script_that_is_shown_prints_what_it_says(page, text, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    exec(compile(text, page, 'exec'), {})
    printed = capsys.readouterr().out
    for said in re.findall(r'^print\(.*?# *([^:\n]+)', text, re.MULTILINE):
        assert said.strip() in printed
    if 'gradients' in text:
        assert [line.split() for line in printed.splitlines()] == [
            ['8', '0.2005', '0.2000'], ['32', '0.0345', '0.0345'], ['256', '0.0039', '0.0040']]


@pytest.mark.slow
def test_readme_s_classifier_trains_as_it_stands_but_for_paths(tmp_path):
    text = next(text for page, text in SNIPPETS if page == 'README.md' and 'LanguageClassifier' in text)
    for split in ('train', 'test'):
        write_image_folder(tmp_path / 'data' / split, {f'class{number}': 1 for number in range(10)})
    build_model('gpt2', n_layer=6).save_pretrained(tmp_path / 'gpt2')
    text = text.replace('data/my_images', str(tmp_path / 'data')).replace(HUB_ID, str(tmp_path / 'gpt2'))
    (tmp_path / 'mine.py').write_text(text)
    returncode, output = run_tool('train.py', tmp_path / 'mine.py', '--work-dir', tmp_path / 'work', '--cfg-options',
                                  'train_cfg.max_epochs=1', *(f'{split}_dataloader.{setting}' for split in ('train', 'val')
                                                              for setting in ('num_workers=0', 'persistent_workers=False')))
    assert returncode == 0, output[-3000:]
    assert 'train/accuracy/top1' in output and 'test/accuracy/top1' in output and 'PartialFreezeHook' in output


COMMANDS = [(page, command) for page, text in blocks('bash') for command in re.sub(r'\\\n\s*', ' ', text).splitlines()
            if 'python tools/' in command or 'tools/dist' in command]


@pytest.mark.parametrize('page, command', COMMANDS, ids=[f'{page} {command[:60]}' for page, command in COMMANDS])
def test_a_command_that_is_shown_names_what_is_there(page, command):
    command = command.split('  #')[0]
    tool = re.search(r'tools/[\w/]+\.(py|sh)', command)[0]
    assert (REPO / tool).is_file()
    source = ''.join(path.read_text() for room in ('tools', 'lbbt_mm') for path in (REPO / room).rglob('*.py'))
    for flag in re.findall(r'(?<= )--[a-z][\w-]*', command):
        size = re.search(rf"\b{flag[2:]}=\(|'{flag[2:]}': \(", (REPO / tool).read_text())
        assert f"'{flag}'" in source or size or flag == '--help' or 'dist' in tool, flag
    for config in re.findall(r'configs/[\w/]+\.py', command):
        assert (REPO / config).is_file(), config
    for config in re.findall(r'configs/[\w/]*\{[\w,]+\}\.py', command):
        head, names, tail = re.fullmatch(r'(.*)\{([\w,]+)\}(.*)', config).groups()
        assert all((REPO / f'{head}{name}{tail}').is_file() for name in names.split(',')), config


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_no_page_counts_the_steps_of_a_list(page):
    assert not re.search(r'(pipeline|param_scheduler|custom_hooks)(\.\d|\[\d)', page.read_text(encoding='utf-8'))


def test_every_link_to_a_file_leads_to_one():
    for page in PAGES:
        for target in re.findall(r'\]\(([^)#\s]+?)(?:#[\w-]+)?\)', page.read_text(encoding='utf-8')):
            if '://' not in target:
                assert (page.parent / target).exists(), f'{page.name}: {target}'


def test_there_are_snippets_to_try():
    assert len(SNIPPETS) >= 5 and len(COMMANDS) >= 30 and Path(PAGES[0]).name == 'README.md'
