"""BridgeValLoop: Train-acc1 on random labels and Test-acc1 on true ones, at each evaluation."""
import json
import random
from copy import deepcopy

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.registry import DATASETS, LOOPS, MODELS
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from lbbt_mm.engine.loops import BridgeValLoop, bridge_val_loop
from tests.reading_model import CLASSES, FIRST_TEST, NUM_TEST, NUM_TRAIN, Numbers, dataset, run_config
from tests.tool_processes import run_ranks

# What EvenSubset takes: 10 of 17, at even distances
CHOSEN = [index * NUM_TRAIN // 10 for index in range(10)]
TEST = list(range(FIRST_TEST, FIRST_TEST + NUM_TEST))


def build(work_dir, *transforms: dict, **overrides) -> Runner:
    build.count += 1
    cfg = Config({**run_config(*transforms, **overrides), 'work_dir': str(work_dir), 'log_level': 'ERROR',
                  'experiment_name': f'bridge{build.count}'})
    return Runner.from_cfg(cfg)


build.count = 0


def classifier(num_classes: int = CLASSES) -> dict:
    """Entries of the config for a model of mmpretrain's."""
    model = dict(
        type='mmpretrain.ImageClassifier',
        data_preprocessor=dict(type='mmpretrain.ClsDataPreprocessor', num_classes=num_classes),
        backbone=dict(type='mmpretrain.VisionTransformer', img_size=2, patch_size=1, out_type='avg_featmap',
                      arch=dict(embed_dims=8, num_layers=1, num_heads=2, feedforward_channels=8)),
        head=dict(type='mmpretrain.LinearClsHead', num_classes=num_classes, in_channels=8, cal_acc=True))
    return dict(model=model, custom_hooks=[], default_scope='mmpretrain')


def recorder(runner: Runner):
    return next(hook for hook in runner.hooks if type(hook).__name__ == 'CallRecordingHook')


def share_read(numbers) -> float:
    """Per cent of training images whose random label is the true one, which the model reads."""
    data = DATASETS.build(run_config()['train_dataloader']['dataset'])
    labels = {number: int(data[number]['data_samples'].gt_label) for number in numbers}
    return 100 * sum(labels[number] == number % CLASSES for number in numbers) / len(numbers)


# ------------------------------------------------------------- what it measures


def test_it_is_found_by_its_scoped_name():
    assert LOOPS.get('lbbt_mm.BridgeValLoop') is BridgeValLoop


def test_it_reports_random_labels_of_training_images_and_true_labels_of_test_images(tmp_path):
    runner = build(tmp_path)
    runner.train()
    metrics = recorder(runner).metrics
    assert len(metrics) == 2 and metrics[0] == metrics[1]
    assert set(metrics[0]) == {f'{part}/{name}' for part in ('train', 'test') for name in
                               ('accuracy/top1', 'numbers/count', 'numbers/distinct', 'numbers/largest')}
    assert metrics[0]['test/accuracy/top1'] == 100, 'in eval mode the model reads the true label'
    assert metrics[0]['train/accuracy/top1'] == pytest.approx(share_read(CHOSEN))
    assert 0 < share_read(CHOSEN) < 100


def test_the_training_images_are_evenly_spaced_and_the_same_each_time(tmp_path):
    runner = build(tmp_path)
    runner.train()
    assert runner.model.read == 2 * (TEST + CHOSEN)


def test_all_training_images_where_there_are_fewer_than_asked_for(tmp_path):
    runner = build(tmp_path, val__num_train_samples=1000)
    metrics = runner.val()
    assert metrics['train/numbers/distinct'] == NUM_TRAIN
    assert metrics['train/accuracy/top1'] == pytest.approx(share_read(range(NUM_TRAIN)))


def test_a_thousand_training_images_where_no_number_is_given(tmp_path):
    cfg = run_config()
    del cfg['val_cfg']['num_train_samples']
    cfg['train_dataloader']['dataset'] = dict(type='RepeatDataset', times=100, dataset=cfg['train_dataloader']['dataset'])
    loop = build(tmp_path, val_cfg=cfg['val_cfg'], train_dataloader=cfg['train_dataloader']).val_loop
    assert len(loop.train_dataloader.dataset) == 1000 < 100 * NUM_TRAIN


def test_the_loader_of_training_images_is_set_up_as_that_of_the_test_images(tmp_path):
    loop = build(tmp_path).val_loop
    ours, theirs = loop.train_dataloader, loop.dataloader
    assert ours.batch_sampler.batch_size == theirs.batch_sampler.batch_size == 3
    for name in ('num_workers', 'collate_fn', 'worker_init_fn', 'pin_memory', 'persistent_workers'):
        assert getattr(ours, name) == getattr(theirs, name), name


def test_a_model_and_classes_of_mmpretrain_s(tmp_path):
    runner = build(tmp_path, **classifier(), val_evaluator=dict(type='mmpretrain.Accuracy', topk=(1, 2)))
    runner.train()
    metrics = runner.val_loop.run()
    assert set(metrics) == {f'{part}/accuracy/top{k}' for part in ('train', 'test') for k in (1, 2)}
    assert all(0 <= value <= 100 for value in metrics.values())


@pytest.mark.parametrize('built', [False, True])
def test_a_data_loader_of_one_s_own(built, tmp_path):
    data = dict(dataset=dataset(5, 40), batch_size=2, sampler=dict(type='DefaultSampler', shuffle=False))
    loader = Runner.build_dataloader(deepcopy(data)) if built else data
    runner = build(tmp_path)
    loop = BridgeValLoop(runner, runner._val_dataloader, runner._val_evaluator, loader, num_train_samples=3)
    assert isinstance(loop.train_dataloader, DataLoader)
    metrics = loop.run()
    assert runner.model.read == TEST + list(range(40, 45))
    assert metrics['train/accuracy/top1'] == 100, 'these have their true labels'


def test_a_data_loader_in_the_config(tmp_path):
    data = dict(dataset=dataset(5, 40), batch_size=2, sampler=dict(type='DefaultSampler', shuffle=False))
    assert build(tmp_path, val__train_dataloader=data).val()['train/numbers/largest'] == 44


@pytest.mark.parametrize('draw, options', [
    ('permute', {}), ('uniform', dict(num_classes=CLASSES)), ('uniform', dict(num_classes=CLASSES, exclude_true=True))])
@pytest.mark.parametrize('own', [False, True])
def test_an_exact_share_of_random_labels_is_measured_as_it_is_trained(draw, options, own, tmp_path):
    labelled = dict(type='lbbt_mm.RandomLabelDataset', draw=draw, ratio=0.5, seed=1, dataset=dataset(NUM_TRAIN), **options)
    loader = dict(batch_size=2, sampler=dict(type='DefaultSampler', shuffle=False))
    mine = dict(loader, dataset=dict(type='lbbt_mm.EvenSubset', num_samples=10, dataset=deepcopy(labelled)))
    runner = build(tmp_path, train_dataloader=dict(loader, dataset=labelled), **(dict(val__train_dataloader=mine) if own
                                                                                else {}))
    runner.train()
    trained = runner.train_dataloader.dataset
    assert sum(trained.get_data_info(number)['label_is_random'] for number in range(NUM_TRAIN)) == 9
    labels = {number: trained.get_data_info(number)['gt_label'] for number in CHOSEN}
    measured = runner.val_loop.train_dataloader.dataset
    assert [measured[index]['data_samples'].gt_label.item() for index in range(10)] == [*labels.values()]
    true = sum(label == number % CLASSES for number, label in labels.items())
    assert 0 < true < 10 and recorder(runner).metrics[-1]['train/accuracy/top1'] == pytest.approx(100 * true / 10)
    assert recorder(runner).metrics[-1]['test/accuracy/top1'] == 100


@pytest.mark.parametrize('evaluator', [
    dict(type='Numbers'), [dict(type='Numbers')], dict(metrics=[dict(type='Numbers')]), Evaluator([Numbers()])
], ids=['dict', 'list', 'metrics', 'built'])
def test_the_training_images_have_an_evaluator_of_their_own(evaluator, tmp_path):
    runner = build(tmp_path)
    loop = BridgeValLoop(runner, runner._val_dataloader, evaluator, num_train_samples=10)
    train, test = (loop._parts[part].evaluator for part in ('train', 'test'))
    assert train is not test and train.metrics[0] is not test.metrics[0], 'a metric keeps its results'
    for _ in range(2):
        metrics = loop.run()
        assert metrics == {'train/numbers/count': 10, 'train/numbers/distinct': 10, 'train/numbers/largest': CHOSEN[-1],
                           'test/numbers/count': NUM_TEST, 'test/numbers/distinct': NUM_TEST,
                           'test/numbers/largest': TEST[-1]}


def test_another_evaluator_for_the_training_images(tmp_path):
    metrics = build(tmp_path, val__train_evaluator=dict(type='mmpretrain.Accuracy', prefix='seen')).val()
    assert 'train/seen/top1' in metrics and 'test/accuracy/top1' in metrics and 'train/numbers/count' not in metrics


def test_half_precision(tmp_path):
    for fp16, dtype in ((False, torch.float32), (True, torch.bfloat16)):
        runner = build(tmp_path, val__fp16=fp16)
        runner.val()
        assert runner.model.dtypes == {dtype if runner.model.weight.device.type == 'cpu' or not fp16 else torch.float16}


# ------------------------------------------------------------- with what else mmengine does


def test_hooks_see_one_validation_over_the_test_images(tmp_path):
    runner = build(tmp_path)
    runner.val()
    iterations = [step for index, numbers in enumerate((TEST[:3], TEST[3:6], TEST[6:]))
                  for step in (('before_val_iter', index), ('after_val_iter', index, numbers))]
    assert recorder(runner).calls == ['before_val', 'before_val_epoch', *iterations, 'after_val_epoch', 'after_val']


@pytest.mark.parametrize('key', ['train/accuracy/top1', 'test/accuracy/top1'])
def test_the_best_checkpoint_by_either(key, tmp_path):
    runner = build(tmp_path, default_hooks=dict(checkpoint=dict(type='CheckpointHook', save_best=key, rule='greater')))
    runner.train()
    assert (tmp_path / f"best_{key.replace('/', '_')}_epoch_1.pth").is_file()
    assert runner.message_hub.get_info('best_score') == recorder(runner).metrics[0][key]


def test_both_are_logged(tmp_path):
    cfg = Config({**run_config(), 'work_dir': str(tmp_path), 'experiment_name': 'bridge_log'})
    runner = Runner.from_cfg(cfg)
    runner.train()
    lines = [json.loads(line) for line in next(tmp_path.glob('*/vis_data/scalars.json')).read_text().splitlines()]
    logged = [line for line in lines if 'test/accuracy/top1' in line]
    assert [line['step'] for line in logged] == [1, 2]
    assert all(line['train/accuracy/top1'] == pytest.approx(share_read(CHOSEN)) for line in logged)
    text = next(tmp_path.glob('*/*.log')).read_text()
    assert f'Epoch(val) [1][3/3]    train/accuracy/top1: {share_read(CHOSEN):.4f}' in text
    assert 'test/accuracy/top1: 100.0000' in text


def test_averaged_weights_are_what_both_sets_are_measured_with(tmp_path):
    runner = build(tmp_path, custom_hooks=[dict(type='EMAHook', momentum=0.001)])
    runner.train()
    seen = runner.model.weights_seen
    batches = len(seen) // 2
    assert len(set(seen[:batches])) == len(set(seen[batches:])) == 1
    assert seen[-1] < 3 < runner.model.weight.item(), 'training has moved farther than the average'


def test_a_test_is_mmengine_s_own(tmp_path):
    metrics = build(tmp_path).test()
    assert metrics == {'accuracy/top1': 100}


def test_a_validation_without_a_training(tmp_path):
    assert build(tmp_path).val()['train/numbers/count'] == 10


def test_evaluation_leaves_the_random_state_of_training_alone(tmp_path):
    flip = dict(type='mmpretrain.RandomFlip', prob=0.5)
    runner = build(tmp_path, flip)
    loop = runner.val_loop

    def state():
        return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()

    before = state()
    loop.run()
    assert state() == before


def test_a_training_with_evaluations_is_the_one_without(tmp_path):
    ends = []
    for name, interval in (('with', 1), ('without', 100)):
        runner = build(tmp_path / name, train_cfg=dict(by_epoch=True, max_epochs=3, val_begin=interval))
        runner.train()
        assert len(recorder(runner).metrics) == (3 if name == 'with' else 0)
        ends.append(runner.model.weight.item())
    assert ends[0] == ends[1]


def test_seeded_training_samples_are_evaluated_by_their_plain_selves(tmp_path):
    runner = build(tmp_path, custom_hooks=[dict(type='lbbt_mm.SeedingHook'), dict(type='CallRecordingHook')])
    runner.train()
    assert runner.model.read == 2 * (TEST + CHOSEN)


def test_two_ranks_count_every_sample_once(tmp_path):
    """Of 10 + 7 samples one rank gets 5 + 4 and the other 5 + 3; then 9 + 7, with an odd number of both."""
    for num_train in (10, 9):
        path = tmp_path / f'run{num_train}.py'
        Config(run_config(val__num_train_samples=num_train)).dump(path)
        returncode, output = run_ranks('train.py', 2, path, '--work-dir', tmp_path / str(num_train), cwd=tmp_path)
        assert returncode == 0, output
        ranks = [json.loads((tmp_path / str(num_train) / f'metrics{rank}.json').read_text()) for rank in range(2)]
        assert ranks[0] == ranks[1] and len(ranks[0]) == 2
        chosen = [index * NUM_TRAIN // num_train for index in range(num_train)]
        for metrics in ranks[0]:
            assert metrics['train/numbers/count'] == metrics['train/numbers/distinct'] == num_train
            assert metrics['test/numbers/count'] == metrics['test/numbers/distinct'] == NUM_TEST
            assert metrics['train/accuracy/top1'] == pytest.approx(share_read(chosen))
            assert metrics['test/accuracy/top1'] == 100


# ------------------------------------------------------------- what is refused


@pytest.mark.parametrize('value', [0, -3, 2.5, True, None])
def test_a_number_of_samples_that_is_none(value, tmp_path):
    with pytest.raises(ValueError, match='num_train_samples=.*expected a whole number, 1 or more'):
        build(tmp_path, val__num_train_samples=value).val()


@pytest.mark.parametrize('step', [None, 'RandomErasing', 'ColorJitter'])
@pytest.mark.parametrize('around', [lambda data: data, lambda data: dict(type='ConcatDataset', datasets=[data, data])])
def test_training_images_that_are_augmented_are_said(step, around, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(bridge_val_loop, 'print_log', lambda message, *where: said.append(message))
    loader = run_config(*([dict(type=f'mmpretrain.{step}')] if step else []))['train_dataloader']
    build(tmp_path, train_dataloader=dict(loader, dataset=around(loader['dataset']))).val_loop  # noqa: B018
    assert [f'of images after {step} of the training pipeline' in message for message in said] == [True] * bool(step)


def test_a_run_without_training_images(tmp_path):
    with pytest.raises(ValueError, match='train_dataloader=None takes images from the training dataset'):
        build(tmp_path, train_dataloader=None, train_cfg=None, optim_wrapper=None).val()


def test_labels_that_the_head_does_not_have_are_refused_before_training(tmp_path):
    """Whatever tool trains: they would be a CUDA assertion, or on a CPU an index out of range."""
    runner = build(tmp_path, **classifier(num_classes=CLASSES - 1))
    with pytest.raises(ValueError, match=r'train_dataloader.dataset.pipeline.0: RandomLabel has num_classes=4, but '
                       'model.head.num_classes=3. Set both to the same number'):
        runner.train()
    assert runner.iter == 0


def test_a_runner_that_was_built_without_a_config(tmp_path):
    cfg = {**run_config(), 'work_dir': str(tmp_path), 'log_level': 'ERROR', 'experiment_name': 'bridge_without_config'}
    cfg.pop('custom_imports')
    runner = Runner(**{**cfg, 'model': MODELS.build(cfg['model'])})
    assert not runner.cfg
    assert runner.val()['train/numbers/count'] == 10
