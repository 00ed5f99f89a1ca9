"""mmpretrain's own tools on a classifier of ours: FLOPs, t-SNE, class activation maps; and mixed precision by a flag."""
import os
from pathlib import Path

import cv2
import mmpretrain
import pytest
from mmengine.config import Config

from tests.image_folders import write_image_folder
from tests.tiny_checkpoints import CONFIGS
from tests.tool_processes import REPO, finish, run_tool, start

TOOLS = Path(mmpretrain.__file__).parent / '.mim' / 'tools'


@pytest.fixture(scope='module')
def run_folder(tmp_path_factory) -> Path:
    """Images of ten classes, ``config.py``, a small fine-tuning, and ``run/epoch_1.pth``, trained with ``--amp``."""
    folder = tmp_path_factory.mktemp('tools')
    for split in ('train', 'test'):
        write_image_folder(folder / split, {f'class{index}': 3 for index in range(10)}, size=32)
    cfg = Config.fromfile(REPO / 'configs' / 'small' / 'finetune_gpt2_imagefolder.py')
    cfg.model.backbone.update(init_cfg=None, language=dict(config=CONFIGS['gpt2'], arm='random', blocks='0:2'))
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.update(num_workers=0, persistent_workers=False)
        dataset = loader.dataset
        while 'dataset' in dataset:
            dataset = dataset.dataset
        dataset.data_root = str(folder)
    cfg.train_cfg.update(max_epochs=1, val_interval=1)
    cfg.optim_wrapper.type = 'OptimWrapper'  # full precision, unless --amp says otherwise
    cfg.dump(folder / 'config.py')
    returncode, output = run_tool('train.py', folder / 'config.py', '--amp', '--work-dir', folder / 'run')
    assert returncode == 0, output
    return folder


def test_amp_by_a_flag(run_folder):
    """What the run dumped and what it trained with."""
    assert Config.fromfile(run_folder / 'run' / 'config.py').optim_wrapper.type == 'lbbt_mm.AutocastOptimWrapper'
    assert (run_folder / 'run' / 'epoch_1.pth').is_file()


@pytest.mark.slow
def test_flops(run_folder):
    returncode, output = finish(start('python', TOOLS / 'analysis_tools' / 'get_flops.py', run_folder / 'config.py',
                                      '--shape', 32))
    assert returncode == 0, output
    assert 'blocks' in output and 'Flops' in output and 'Params' in output


@pytest.mark.slow
def test_t_sne(run_folder, tmp_path):
    returncode, output = finish(start(
        'python', TOOLS / 'visualization' / 'vis_tsne.py', run_folder / 'config.py', '--checkpoint',
        run_folder / 'run' / 'epoch_1.pth', '--vis-stage', 'backbone', '--perplexity', 5, '--device', 'cpu', '--work-dir',
        tmp_path))
    assert returncode == 0, output
    assert [path for path in tmp_path.rglob('*.png') if path.stat().st_size], output


@pytest.mark.slow
def test_class_activation_maps(run_folder, tmp_path):
    pytest.importorskip('pytorch_grad_cam', reason='pip install grad-cam')
    image = next((run_folder / 'test').rglob('*.png'))
    returncode, output = finish(start(
        'python', TOOLS / 'visualization' / 'vis_cam.py', image, run_folder / 'config.py',
        run_folder / 'run' / 'epoch_1.pth', '--vit-like', '--target-layers', 'backbone.blocks.1.norm1', '--save-path',
        tmp_path / 'cam.png', PYTHONPATH=os.environ.get('PYTHONPATH', '')))
    assert returncode == 0, output
    assert cv2.imread(str(tmp_path / 'cam.png')).std() > 0
