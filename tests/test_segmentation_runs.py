"""A Segmenter from end to end: trained, killed and resumed, on two ranks, tested at one and several scales, drawn."""
import json
import os
import pickle
import re
import shutil
import signal
import time

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.apis import MMSegInferencer
from mmseg.registry import DATASETS, METRICS

from lbbt_mm.files.safe_checkpoints import load_checkpoint_safely
from tests.closeness import assert_close, rounding, size_of
from tests.tiny_segmentation import CLASSES, augmentation, run_config, write_dataset
from tests.tool_processes import REPO, finish, free_port, run_ranks, run_tool, start


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp('data') / 'rectangles')


def random_run(data, language, **overrides):
    """A config that draws random numbers wherever it can: augmentation, dropout, drop path; one data worker."""
    loader = dict(num_workers=1, persistent_workers=True, dataset=dict(pipeline=augmentation()))
    head = dict(proj_drop=0.1, attn_drop=0.1, drop_path_rate=0.1)
    return run_config(data, language=dict(checkpoint=str(language), config=None, fit='select'), train_dataloader=loader,
                      model=dict(decode_head=dict(num_heads=3, **head), backbone=dict(drop_path_rate=0.1)), **overrides)


def train(folder, cfg, *arguments):
    cfg.dump(folder / 'run.py')
    returncode, output = run_tool('train.py', folder / 'run.py', '--work-dir', folder / 'work', *arguments)
    assert returncode == 0, output
    return output


def weights(path):
    return load_checkpoint_safely(path)['state_dict']


def assert_same_weights(one, other):
    one, other = weights(one), weights(other)
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


def last(output, name='mIoU'):
    return float(re.findall(rf'{name}: ([0-9.]+)', output)[-1])


# ----------------------------------------------------------------------------------------- killed and resumed
@pytest.fixture(scope='module')
def trained(data, folders, tmp_path_factory):
    """Six iterations with parts of GPT-2's blocks, whose config was read from the checkpoint."""
    folder = tmp_path_factory.mktemp('trained')
    return folder / 'work', train(folder, random_run(data, folders['gpt2']))


def test_the_load_report_says_what_was_selected(trained):
    text = ' '.join(trained[1].split())
    assert 'LanguageInit: arm language' in text and 'selected 24 channels, 3 of 4 heads of 8, 96 of 128 hidden units' in text


@pytest.mark.slow
def test_a_run_that_was_killed_ends_with_the_same_weights_without_its_language_model(trained, data, folders, tmp_path):
    shutil.copytree(folders['gpt2'], tmp_path / 'language')
    random_run(data, tmp_path / 'language').dump(tmp_path / 'run.py')
    work_dir, marker = tmp_path / 'work', tmp_path / 'work' / 'last_checkpoint'
    process = start('python', REPO / 'tools' / 'train.py', tmp_path / 'run.py', '--work-dir', work_dir)
    while process.poll() is None and not (marker.exists() and 'iter_2' in marker.read_text()):
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    output = finish(process).output
    assert process.returncode == -signal.SIGKILL, output
    assert not (work_dir / 'iter_6.pth').exists(), 'it was killed in the middle'
    shutil.rmtree(tmp_path / 'language')

    returncode, output = run_tool('train.py', work_dir / 'run.py', '--work-dir', work_dir, '--resume')
    assert returncode == 0, output
    assert 'Auto resumed from the latest checkpoint' in output and 'LanguageInit: arm' not in output
    assert_same_weights(work_dir / 'iter_6.pth', trained[0] / 'iter_6.pth')


def test_the_number_of_workers_does_not_matter(trained, data, folders, tmp_path):
    cfg = random_run(data, folders['gpt2'])
    cfg.train_dataloader.num_workers = 2
    train(tmp_path, cfg)
    assert_same_weights(tmp_path / 'work' / 'iter_6.pth', trained[0] / 'iter_6.pth')


# ------------------------------------------------------------------------------------------------- two ranks
@pytest.mark.slow
def test_two_ranks_are_one_process_with_the_same_total_batch(data, folders, tmp_path):
    """SGD, no dropout, no augmentation, as many ignored pixels in every image."""
    for ranks in (1, 2):
        cfg = run_config(data, language=dict(checkpoint=str(folders['gpt2'])), train_dataloader__batch_size=4 // ranks,
                         custom_imports=dict(imports=['tests.recording_hook']))
        cfg.optim_wrapper.optimizer = dict(type='SGD', lr=0.05, momentum=0.9)
        cfg.custom_hooks.append(dict(type='RecordingHook'))
        cfg.dump(tmp_path / f'ranks{ranks}.py')
        arguments = (tmp_path / f'ranks{ranks}.py', '--work-dir', tmp_path / f'work{ranks}')
        returncode, output = run_tool('train.py', *arguments) if ranks == 1 else run_ranks('train.py', 2, *arguments)
        assert returncode == 0, output
    one, two = (json.loads((tmp_path / f'work{ranks}' / 'steps.json').read_text()) for ranks in (1, 2))
    assert [images for images, _ in one] == [images for images, _ in two] and len(one) == 6
    assert [loss for _, loss in one] == pytest.approx([loss for _, loss in two], rel=rounding(depth=4))
    ours, theirs = (weights(tmp_path / f'work{ranks}' / 'iter_6.pth') for ranks in (1, 2))
    start_of = weights(tmp_path / 'work1' / 'iter_1.pth')
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert_close(tensor, theirs[name], depth=4, size=size_of(*ours.values()), msg=name)
    assert max(float((tensor - start_of[name]).abs().max()) for name, tensor in ours.items()) > 1e-3


# --------------------------------------------------------------------------------------------------- testing
@pytest.fixture(scope='module')
def learned(data, folders, tmp_path_factory):
    """150 iterations in bfloat16, tested on the training images, which it has learnt by then."""
    folder = tmp_path_factory.mktemp('learned')
    cfg = run_config(data, language=dict(checkpoint=str(folders['gpt2'])), train_cfg__max_iters=150,
                     train_cfg__val_interval=150, default_hooks__checkpoint__interval=150)
    for loader in (cfg.val_dataloader, cfg.test_dataloader):
        loader.dataset.data_prefix = dict(img_path='images/training', seg_map_path='annotations/training')
    return folder / 'work', train(folder, cfg, '--amp')


def test_what_it_learnt_shows_in_the_miou(learned):
    assert last(learned[1]) > 50


def test_tta_gives_the_single_scale_and_the_multi_scale_miou(learned, tmp_path):
    work_dir, output = learned
    returncode, tested = run_tool('test.py', work_dir / 'run.py', work_dir / 'iter_150.pth', '--tta', '--work-dir',
                                  tmp_path / 'work', '--show-dir', tmp_path / 'pictures')
    assert returncode == 0, tested
    rows = {cells[0]: cells[1:] for cells in ([cell.strip() for cell in line.strip('|').split('|')]
                                              for line in tested.splitlines() if line.startswith('|')) if '(' in cells[0]}
    single, multiple = rows['single (ss)'], rows['multiple, flipped (ms)']
    assert len(single) == len(multiple) == 3
    # bfloat16 in training's evaluation, float32 here
    assert float(single[1]) == pytest.approx(last(output), abs=1) and float(multiple[1]) > 30 and single != multiple
    pictures = list((tmp_path / 'pictures').rglob('*.png'))
    assert len(pictures) == 12 and cv2.imread(str(pictures[0])).shape[2] == 3


def test_sliding_windows_on_the_command_line(learned, tmp_path):
    work_dir, _ = learned
    returncode, output = run_tool('test.py', work_dir / 'run.py', work_dir / 'iter_150.pth', '--work-dir', tmp_path / 'work',
                                  '--amp', '--cfg-options', 'model.test_cfg.mode=slide', 'model.test_cfg.crop_size=24,24',
                                  'model.test_cfg.stride=8,8')
    assert returncode == 0, output
    assert last(output) > 30


@pytest.mark.slow
def test_two_ranks_give_the_miou_of_one(learned, tmp_path):
    work_dir, _ = learned
    arguments = (work_dir / 'run.py', work_dir / 'iter_150.pth', '--work-dir')
    returncode, one = run_tool('test.py', *arguments, tmp_path / 'one')
    assert returncode == 0, one
    process = start('bash', REPO / 'tools' / 'dist_test.sh', *arguments[:2], 2, '--work-dir', tmp_path / 'two', '--tta',
                    '--out', tmp_path / 'masks.pkl', PORT=free_port())
    returncode, two = finish(process)
    assert returncode == 0, two
    single = next(line for line in two.splitlines() if 'single (ss)' in line)
    assert f' {last(one):.2f} ' in single and 'multiple, flipped (ms)' in two
    assert len(pickle.loads((tmp_path / 'masks.pkl').read_bytes())) == 12


def test_mmseg_s_inferencer_takes_the_config_and_the_checkpoint_as_they_are(learned, data):
    """Offline, without the language model's weights."""
    work_dir, _ = learned
    inferencer = MMSegInferencer(str(work_dir / 'run.py'), str(work_dir / 'iter_150.pth'), device='cpu')
    assert tuple(inferencer.model.dataset_meta['classes']) == CLASSES
    image = str(data / 'images' / 'training' / '000.jpg')
    predicted = inferencer(image, show=False)['predictions']
    truth = cv2.imread(str(data / 'annotations' / 'training' / '000.png'), cv2.IMREAD_UNCHANGED)
    assert predicted.shape == truth.shape
    counted = truth > 0
    assert (predicted[counted] + 1 == truth[counted]).mean() > 0.7


def test_tta_ratios_below_a_patch_are_refused_before_the_test(learned, tmp_path):
    work_dir, _ = learned
    cfg = Config.fromfile(work_dir / 'run.py')
    cfg.tta_pipeline[1].transforms[0] = [dict(type='Resize', scale_factor=0.1, keep_ratio=True)]
    cfg.dump(tmp_path / 'small.py')
    returncode, output = run_tool('test.py', tmp_path / 'small.py', work_dir / 'iter_150.pth', '--tta', '--work-dir',
                                  tmp_path)
    assert returncode != 0
    assert 'smaller than a patch of 8x8. Remove that ratio' in output and 'Iter(test)' not in output


def test_a_bad_mask_is_refused_before_training(folders, tmp_path):
    root = write_dataset(tmp_path / 'data', 2, 1)
    cv2.imwrite(str(root / 'annotations' / 'training' / '001.png'), np.full((48, 64), 9, np.uint8))
    run_config(root, language=dict(checkpoint=str(folders['gpt2']))).dump(tmp_path / 'run.py')
    returncode, output = run_tool('train.py', tmp_path / 'run.py', '--work-dir', tmp_path / 'work')
    assert returncode != 0
    assert '001.png holds 9; expected 1 to 4' in output and not (tmp_path / 'work').exists()


def test_a_perfect_prediction_has_100_miou(data, log):
    init_default_scope('mmseg')
    cfg = run_config(data)
    dataset, metric = DATASETS.build(cfg.train_dataloader.dataset), METRICS.build(cfg.val_evaluator)
    metric.dataset_meta = dataset.metainfo
    for index, path in enumerate(sorted((data / 'annotations' / 'training').iterdir())):
        truth = dataset[index]['data_samples'].gt_sem_seg.data
        mask = cv2.resize(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), (32, 32), interpolation=cv2.INTER_NEAREST)
        predicted = torch.from_numpy(mask).long()[None] - 1  # 0 is ignored, the first class is 1
        predicted[predicted < 0] = 3  # any class will do there
        metric.process({}, [dict(pred_sem_seg=dict(data=predicted), gt_sem_seg=dict(data=truth))])
    assert len(dataset) == 12 and metric.evaluate(12)['mIoU'] == 100
