"""A stock classifier of all classes, tested on folders of some of them by a config alone."""
import re

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from tests.image_folders import build, each, write_image_folder
from tests.tiny_detection import REPO
from tests.tiny_rectified import HEAD, VIT
from tests.tool_processes import run_tool

CLASSES = [f'n0000000{number}' for number in range(8)]
PRESENT = [2, 5, 7]


@pytest.fixture(scope='module')
def tested(tmp_path_factory):
    """The shipped config with a small ViT, random weights and images; the folder and what the test printed."""
    folder = tmp_path_factory.mktemp('subset')
    write_image_folder(folder / 'imagenet_r', {CLASSES[number]: 4 for number in PRESENT}, size=32)
    (folder / 'classes.txt').write_text(''.join(f'{name} a name\n' for name in CLASSES))
    (folder / 'run.py').write_text(
        f"_base_ = {str(REPO / 'configs' / 'rectifier' / 'vit_s_imagenet_r.py')!r}\n"
        f'model = dict(backbone=dict(_delete_=True, **{VIT!r}), head=dict(_delete_=True, **{dict(HEAD, num_classes=8)!r}))\n'
        'data_preprocessor, test_evaluator = dict(num_classes=8), dict(topk=(1, 2))\n'
        'resize = [dict(type="Resize", scale=(16, 16))]\n'
        'test_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(dataset=dict(\n'
        '    pipeline=[_base_.load, *resize, _base_.pack])))\n')
    cfg = Config.fromfile(folder / 'run.py')
    torch.manual_seed(0)
    model = build_model(cfg)
    for parameter in model.parameters():
        parameter.data.normal_()
    torch.save(dict(state_dict=model.state_dict()), folder / 'model.pth')
    returncode, output = run_tool(
        'test.py', folder / 'run.py', folder / 'model.pth', '--work-dir', folder / 'work',
        LBBT_DATA_ROOT=folder / 'imagenet_r', LBBT_IMAGENET_CLASSES=folder / 'classes.txt')
    assert returncode == 0, output
    return folder, cfg, model.eval(), output


def build_model(cfg):
    init_default_scope('mmpretrain')
    return MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor))


@torch.no_grad()
def test_a_test_gives_the_accuracy_among_the_classes_that_occur(tested):
    folder, cfg, model, output = tested
    plain = cfg.test_dataloader.dataset.dataset  # mmpretrain's own, whose labels are places among the folders
    plain.data_root = str(folder / 'imagenet_r')
    right = 0
    for sample in each(build(plain)):
        batch = model.data_preprocessor(dict(inputs=[sample['inputs']], data_samples=[sample['data_samples']]))
        scores = model(**batch, mode='tensor')[0][PRESENT]
        right += int(scores.argmax() == sample['data_samples'].gt_label)
    shown = float(re.findall(r'accuracy/top1: ([\d.]+)', output)[-1])
    assert shown == pytest.approx(100 * right / 12, abs=0.01) and 0 < right < 12


def test_more_than_there_are_classes_is_one_line(tested):
    folder = tested[0]
    returncode, output = run_tool(
        'test.py', folder / 'run.py', folder / 'model.pth', '--work-dir', folder / 'other', '--cfg-options',
        'test_evaluator.topk=5', LBBT_DATA_ROOT=folder / 'imagenet_r', LBBT_IMAGENET_CLASSES=folder / 'classes.txt')
    assert returncode == 2 and 'Traceback' not in output
    assert 'topk=(5,), and the data set has 3 classes; expected numbers from 1 to 3.' in output.splitlines()[-1]
