"""What a user gets wrong, over all tools: exit status 2, at most three lines on stderr and none on stdout, nothing left."""
import shutil
import time
from pathlib import Path

import pytest
import torch

from tests.tiny_checkpoints import CONFIGS, build_model
from tests.tiny_detection import REPO, run_config, write_dataset
from tests.tool_processes import finish, run_tool_apart, start


@pytest.fixture(scope='module')
def place(tmp_path_factory) -> Path:
    """A config of a detection run, its data, a language model, and things that are none of these."""
    root = tmp_path_factory.mktemp('bad_inputs')
    write_dataset(root / 'data')
    build_model('gpt2').save_pretrained(root / 'gpt2')
    run_config(root / 'data', language=dict(checkpoint=str(root / 'gpt2'))).dump(root / 'run.py')
    (root / 'broken.py').write_text('model = dict(\n')
    (root / 'raises.py').write_text('a = 1 / 0\n')
    (root / 'empty.py').write_text('')
    (root / 'exits.py').write_text("import sys\nsys.exit('bye')\n")
    (root / 'number.py').write_text("a = int('one')\n")
    (root / 'broken.json').write_text('{"model": {"type": ')
    (root / 'inherits.py').write_text("_base_ = './broken.json'\n")
    (root / 'orphan.py').write_text("_base_ = './gone.py'\n")
    (root / 'itself.py').write_text("hook = dict(type='EMAHook')\nhook['hook'] = hook\ncustom_hooks = [hook]\n")
    (root / 'misspelt.py').write_text("_base_ = './run.py'\ncustom_hook = [dict(type='EMAHook')]\n")
    (root / 'tags.yaml').write_text('a: !!python/object/apply:os.getcwd []\n')
    (root / 'text.pth').write_text('no checkpoint\n')
    (root / 'last_checkpoint').write_text(str(root / 'epoch_1.pth'))
    torch.save(dict(state_dict=dict(x=torch.zeros(1))), root / 'foreign.pth')
    (root / 'there.pkl').write_text('mine')
    (root / 'full').mkdir()
    (root / 'full' / 'precious.txt').write_text('mine')
    shutil.copy(root / 'run.py', root / 'full' / 'run.py')
    return root


#: Tool, arguments (``{}`` is the place), and what the message says.
TRAIN = [
    ('nowhere.py', 'nowhere.py: no such config file'),
    ('{}', 'no such config file'),
    ('{}/broken.py', 'broken.py: cannot be read as a config (SyntaxError'),
    ('{}/raises.py', 'division by zero'),
    ('{}/tags.yaml', 'tags.yaml'),
    ('{}/exits.py', 'exits.py: cannot be read as a config (SystemExit: bye)'),
    ('{}/number.py', 'number.py: cannot be read as a config (ValueError: invalid literal'),
    ('{}/broken.json', 'broken.json: cannot be read as a config (JSONDecodeError'),
    ('{}/inherits.py', 'broken.json: cannot be read as a config (JSONDecodeError'),
    ('{}/orphan.py', 'gone.py: cannot be read as a config (FileNotFoundError'),
    ('{}/itself.py', 'itself.py: cannot be read as a config (a part of it holds itself'),
    ('{}/misspelt.py', "misspelt.py: nothing reads 'custom_hook' at its top; did you mean custom_hooks"),
    ('{}/run.py --cfg-options custom_imports.imports=[nowhere_to_import]', 'nowhere_to_import'),
    ('{}/run.py --cfg-options default_hooks.checkpoint.interval=two', "default_hooks.checkpoint.interval='two': expected"),
    ('{}/run.py --cfg-options default_hooks.checkpoint.interval=0', 'default_hooks.checkpoint.interval=0: expected'),
    ('{}/run.py --cfg-options train_cfg.dynamic_intervals=[1,2]', 'train_cfg.dynamic_intervals=[1, 2]: expected pairs'),
    ('{}/run.py --cfg-options train_dataloader.dataset.indices=0', 'train_dataloader.dataset.indices=0: expected'),
    ('{}/run.py --cfg-options train_dataloader.dataset.indices=[99]', 'train_dataloader.dataset.indices: holds 99'),
    ('{}/run.py --cfg-options val_evaluator.metric=segm', 'the model has no part that predicts masks'),
    ('{}/run.py --cfg-options val_evaluator.format_only=True', 'outfile_prefix does not say where'),
    ('{}/run.py --cfg-options train_cfg.max_epoch=1', 'did you mean train_cfg.max_epochs'),
    ('{}/run.py --cfg-options optim_wraper.optimizer.lr=1e-3', 'did you mean optim_wrapper.optimizer.lr'),
    ('{}/run.py --cfg-options model.bbox_hed.num_classes=3', 'did you mean model.bbox_head.num_classes'),
    ('{}/run.py --cfg-options train_dataloader.batch_sise=2', 'did you mean train_dataloader.batch_size'),
    ('{}/run.py --cfg-options randomness.sed=2', 'did you mean randomness.seed'),
    ('{}/run.py --cfg-options default_hooks.checkpoint.intervall=2', 'did you mean default_hooks.checkpoint.interval'),
    ('{}/run.py --cfg-options epochs=2', "the config has no 'epochs', and nothing reads it"),
    ('{}/run.py --cfg-options train_dataloader.dataset.pipeline.99.type=x', 'is a list of'),
    ('{}/run.py --cfg-options model.language.amr=host', 'language.amr is not an option here'),
    ('{}/run.py --cfg-options model.language.arm=hots', "language.arm='hots'; expected one of"),
    ('{}/run.py --cfg-options model.language.seed=x', "language.seed='x'"),
    ('{}/run.py --cfg-options model.language.checkpoint=/nowhere', '/nowhere: no such file or folder'),
    ('{}/run.py --cfg-options model.language.checkpoint={}/run.py', 'is a .py file; expected a folder'),
    ('{}/run.py --cfg-options model.language.checkpoint={}/data model.language.config=None', 'has no config.json'),
    ('{}/run.py --cfg-options model.language.encoder_blocks=0:99', 'out of range'),
    ('{}/run.py --cfg-options model.encoder.num_layers=9', 'num_layers=9'),
    ('{}/run.py --cfg-options model.type=Foo', 'Foo is not in the'),
    ('{}/run.py --cfg-options model.bbox_head.num_classes=80', 'num_classes'),
    ('{}/run.py --cfg-options train_cfg.max_epochs=0', 'train_cfg.max_epochs=0: expected a whole number, 1 or more'),
    ('{}/run.py --cfg-options train_cfg.max_epochs=two', "train_cfg.max_epochs='two'"),
    ('{}/run.py --cfg-options train_cfg.val_interval=0', 'train_cfg.val_interval=0'),
    ('{}/run.py --cfg-options train_dataloader.batch_size=0', 'train_dataloader.batch_size=0'),
    ('{}/run.py --cfg-options train_dataloader.num_workers=-1', 'train_dataloader.num_workers=-1'),
    ('{}/run.py --cfg-options train_dataloader.batch_size=50 train_dataloader.drop_last=True '
     'train_dataloader.batch_sampler=None', 'give no batch'),
    ('{}/run.py --cfg-options default_hooks.checkpoint.save_best=coco/bbox_map', 'Did you mean coco/bbox_mAP'),
    ('{}/run.py --cfg-options optim_wrapper.optimizer.type=Adem', 'Did you mean Adam'),
    ('{}/run.py --cfg-options randomness.seed=abc', "randomness.seed='abc': expected a whole number"),
    ('{}/run.py --cfg-options optim_wrapper.optimizer.lr=abc', "lr='abc': expected a number"),
    ('{}/run.py --cfg-options log_level=LOUD', "log_level='LOUD': expected one of"),
    ('{}/run.py --cfg-options train_cfg=None', 'has no train_cfg; expected model'),
    ('{}/run.py --cfg-options val_evaluator.metric_items=[mAPP]', 'Did you mean mAP'),
    ('{}/empty.py', 'has no model; expected model'),
    ('{}/run.py --cfg-options a', "'a': expected KEY=VALUE"),
    ('{}/run.py --cfg-options train_dataloader.dataset.data_root=/nowhere', '/nowhere'),
    ('{}/run.py --cfg-options load_from=/nowhere.pth', '/nowhere.pth'),
    ('{}/run.py --cfg-options load_from={}/text.pth', 'text.pth'),
    ('{}/run.py --cfg-options load_from={}/foreign.pth', 'foreign.pth'),
    ('{}/run.py --cfg-options load_from={}/last_checkpoint', 'the text file that says which checkpoint is the last'),
    ('{}/run.py --resume /nowhere.pth', '/nowhere.pth'),
    ('{}/run.py --resume {}/text.pth', 'text.pth'),
    ('{}/run.py --leave-out bbox_head', '--leave-out bbox_head'),
    ('{}/run.py --launcher slurm', 'launcher slurm'),
    ('{}/run.py --launcher torchrun', "invalid choice: 'torchrun'"),
    ('{}/run.py --no-such-flag', '--no-such-flag'),
    ('', 'required: config'),
]
TEST = [
    ('{}/run.py {}/foreign.pth --amp --cfg-options test_cfg=None', 'has no test_cfg'),
    ('{}/run.py {}/foreign.pth --cfg-options test_dataloader.dataset.indices=[99]', 'indices: holds 99'),
    ('{}/run.py', 'required: checkpoint'),
    ('{}/run.py /nowhere.pth', 'no such checkpoint'),
    ('{}/run.py {}/text.pth', 'text.pth'),
    ('{}/run.py {}/foreign.pth', 'foreign.pth'),
    ('{}/run.py {}/last_checkpoint', 'the text file that says which checkpoint is the last'),
    ('{}/run.py {}/foreign.pth --out {}/x.txt', 'expected a name ending in .pkl'),
    ('{}/run.py {}/foreign.pth --out {}/there.pkl', 'is there already'),
    ('{}/run.py {}/foreign.pth --out {}/run.py/x.pkl', 'run.py is no folder that can be written to'),
    ('{}/run.py {}/foreign.pth --show-dir {}/full', 'holds files already'),
]
OTHERS = [
    ('lbbt.py', '{}/nowhere.py --probe {}/run.py', 'nowhere.py: no such config file'),
    ('lbbt.py', '{}/run.py --probe {}/run.py', 'expected one init_cfg'),
    ('lbbt.py', '{}/run.py --cfg-options model.language.arm=hots', "model.language.arm='hots'; expected one of 'language'"),
    ('lbbt.py', '{}/run.py --gpus 0', 'expected the GPUs themselves, with commas between'),
    ('lbbt.py', '{}/run.py --gpus-per-training 0', 'expected a whole number, 1 or more'),
    ('compare_arms.py', '{}/run.py --gpus 0,1,2 --gpus-per-training 2', 'expected a multiple of 2 GPUs'),
    ('compare_arms.py', '{}/run.py --sources {}/gpt2', 'expected NAME=CHECKPOINT'),
    ('lbbt.py', '{}/run.py --cfg-options train_cfg.max_epoch=1', 'did you mean train_cfg.max_epochs'),
    ('lbbt.py', '{}/run.py --cfg-options visualizer.vis_backends=[]', 'has no LocalVisBackend'),
    ('lbbt.py', '{}/run.py --checkpoint worst', "invalid choice: 'worst'"),
    ('compare_arms.py', '{}/run.py --jobs -1', 'expected a whole number, 1 or more'),
    ('compare_arms.py', '{}/run.py --arms languge', "invalid choice: 'languge'"),
    ('compare_arms.py', '{}/run.py --arms language host', '--baseline-arm random is not among --arms'),
    ('compare_arms.py', '{}/run.py --seeds -1', 'expected a whole number from 0 to 4,294,967,295'),
    ('compare_arms.py', '{}/run.py --lrs 0', 'expected a number above 0'),
    ('compare_arms.py', '{}/run.py --cfg-options visualizer.vis_backends=[]', 'has no LocalVisBackend'),
    ('compare_arms.py', '{}/run.py --shard 3/2', 'expected I/N'),
    ('compare_arms.py', '{}/run.py --cfg-options train_dataloader.dataset.data_root=/nowhere', '/nowhere'),
    ('compare_arms.py', '{}/run.py --cfg-options model.language.checkpoint=/nowhere', '/nowhere'),
    ('lbbt.py', '{}/run.py --cfg-options optim_wrapper.optimizer.type=Adem', 'Did you mean Adam'),
    ('check_data.py', '{}/empty.py', 'has no data set under train_dataloader, val_dataloader'),
    ('check_data.py', '{}/run.py --cfg-options a', "--cfg-options 'a': expected KEY=VALUE"),
    ('check_data.py', '{}/nowhere.py', 'no such config file'),
    ('check_data.py', '{}/run.py --most 0', '--most: 0: expected a whole number, 1 or more'),
    ('check_data.py', '{}/run.py --out {}/run.py', 'is there already'),
    ('check_data.py', '{}/run.py --out {}/run.py/x.csv', 'run.py is no folder that can be written to'),
    ('dataset_converters/digits_to_coco.py', '{}/full', 'full'),
    ('dataset_converters/digits_to_coco.py', '{}/new --num-train 0', 'expected a whole number, 1 or more'),
    ('dataset_converters/digits_to_ade.py', '{}/full', 'full'),
    ('dataset_converters/digits_to_imagefolder.py', '{}/run.py', 'is not a folder'),
    ('dataset_converters/tiny_imagenet_to_imagefolder.py', '{}/nowhere {}/new', 'nowhere'),
    ('dataset_converters/caltech256_to_imagefolder.py', '{}/nowhere {}/new', 'nowhere: no such file or folder'),
    ('dataset_converters/caltech256_to_imagefolder.py', '{}/run.py {}/new', 'run.py is not a complete tar archive'),
    ('dataset_converters/caltech256_to_imagefolder.py', '{}/nowhere {}/new --seed -1', 'expected a whole number from 0'),
    ('demo', '--epochs 0', 'expected a whole number, 1 or more'),
    ('demo', '--only bridges', "invalid choice: 'bridges'"),
]
CASES = [*(('train.py', *case) for case in TRAIN), *(('test.py', *case) for case in TEST), *OTHERS]
_FOLDER = {'train.py': '--work-dir', 'test.py': '--work-dir', 'lbbt.py': '--work-dir', 'compare_arms.py': '--out'}


def contents(root: Path) -> dict:
    return {path.relative_to(root): path.read_bytes() if path.is_file() else None for path in sorted(root.rglob('*'))}


def end(tool: str, arguments: list, folder: Path) -> tuple:
    """Run a tool; exit status, stderr and stdout."""
    status, output, errors = run_tool_apart(tool, *arguments, cwd=folder)
    return status, errors, output


@pytest.mark.parametrize('tool, arguments, message', CASES, ids=[f'{tool} {arguments}' for tool, arguments, _ in CASES])
def test_one_line_exit_status_2_and_nothing_left(tool, arguments, message, place, tmp_path):
    given = [argument.replace('{}', str(place)) for argument in arguments.split()]
    if tool in _FOLDER and given:
        given += [_FOLDER[tool], str(tmp_path / 'made' / 'work')]
    before = contents(place)
    status, errors, output = end(tool, given, tmp_path)
    lines = [line for line in errors.splitlines() if line.strip()]
    assert status == 2 and 1 <= len(lines) <= 3, errors
    assert message in errors and 'Traceback' not in errors and output == ''
    assert contents(place) == before and list(tmp_path.iterdir()) == [], 'as before'


def test_there_are_sixty_of_them():
    assert len(CASES) >= 60


def test_a_run_that_is_refused_leaves_an_earlier_one_as_it_was(place, tmp_path):
    work_dir = tmp_path / 'work'
    command = [str(place / 'run.py'), '--work-dir', str(work_dir), '--cfg-options']
    assert end('train.py', [*command, 'train_cfg.max_epochs=1'], tmp_path)[0] == 0
    before = contents(work_dir)
    time.sleep(1.1)  # mmengine names the folder of a run's logs by the second
    status, errors, _ = end('train.py', [*command, 'model.type=Foo'], tmp_path)
    assert status == 2 and 'Foo' in errors and contents(work_dir) == before


@pytest.mark.slow
@pytest.mark.parametrize('flag', [[], ['--traceback']])
def test_as_a_process(flag, place, tmp_path):
    process = start('python', REPO / 'tools' / 'train.py', place / 'broken.py', *flag, cwd=tmp_path)
    finished = finish(process)
    assert finished.returncode == 2 and ('Traceback' in finished.output) == bool(flag)
    assert 'broken.py: cannot be read as a config' in finished.output


def said_and_imported(command, place, folder):
    """What a tool says of its arguments, and which of the packages that take seconds it has imported by then."""
    tool, *arguments = command.format(place / 'nowhere.py', here=place / 'run.py', broken=place / 'broken.py').split()
    script = ("import runpy, sys\ntool, *sys.argv = sys.argv[1:]\ntry:\n    runpy.run_path(tool, run_name='__main__')\n"
              "finally:\n    print(*{'torch', 'mmengine', 'mmdet', 'mmseg', 'mmpretrain'} & set(sys.modules))")
    finished = finish(start('python', '-c', script, REPO / 'tools' / tool, tool, *arguments, cwd=folder))
    assert finished.returncode == 2
    said, imported = finished.output.rsplit('\n', 2)[:2]
    return said, set(imported.split())


@pytest.mark.parametrize('command', ['train.py {}', 'test.py {} x.pth', 'lbbt.py {}', 'compare_arms.py {}',
                                     'check_data.py {}', 'lbbt.py {here} --probe {}'])
def test_a_config_that_is_not_there_is_refused_before_torch_is_imported(command, place, tmp_path):
    said, imported = said_and_imported(command, place, tmp_path)
    assert 'nowhere.py: no such config file' in said and not imported


@pytest.mark.parametrize('command', ['train.py {broken}', pytest.param('test.py {broken} x.pth', marks=pytest.mark.slow)])
def test_a_config_that_cannot_be_read_is_refused_before_the_mm_codebases_are_imported(command, place, tmp_path):
    said, imported = said_and_imported(command, place, tmp_path)
    assert 'broken.py: cannot be read as a config' in said and not imported & {'mmdet', 'mmseg', 'mmpretrain'}


@pytest.mark.slow
def test_a_locale_of_ascii_only(place, tmp_path):
    config = tmp_path / 'é.py'
    shutil.copy(place / 'run.py', config)
    process = start('python', REPO / 'tools' / 'train.py', config, '--work-dir', tmp_path / 'wörk', '--cfg-options',
                    'train_cfg.max_epochs=1', cwd=tmp_path, LC_ALL='C', PYTHONCOERCECLOCALE=0, PYTHONUTF8=0)
    finished = finish(process)
    assert finished.returncode == 0, finished.output[-2000:]
    assert (tmp_path / 'wörk' / 'epoch_1.pth').is_file()


def test_the_tiny_model_of_these_tests_trains(place):
    """Else the refusals above might have another cause."""
    assert CONFIGS['gpt2']['n_embd'] == 32
