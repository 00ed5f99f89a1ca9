"""The weight of the auxiliary loss over a training: Eq. 9 of the rectifier paper, also in a resumed run and on two ranks."""
import json
from types import SimpleNamespace

import pytest
import torch
from mmengine.optim import OptimWrapper

from lbbt_mm.engine.hooks import AuxiliaryWeightHook
from lbbt_mm.files.checkpoint_files import load_checkpoint_safely
from lbbt_mm.files.run_records import read_records
from tests.closeness import assert_close, size_of
from tests.image_folders import write_image_folder
from tests.tiny_rectified import run_config
from tests.tool_processes import run_ranks, run_tool


def test_the_weight_is_equation_9():
    hook = AuxiliaryWeightHook()
    for epoch in range(300):
        assert hook.weight(epoch, 300) == pytest.approx(max(0.10, 0.35 * (300 - epoch) / 300))
    assert hook.weight(0, 300) == 0.35 and hook.weight(299, 300) == 0.1


@pytest.mark.parametrize(('options', 'message'), [
    (dict(initial=1.2), 'initial=1.2; expected a number from 0 to 1'), (dict(floor=-0.1), 'floor=-0.1'),
    (dict(initial='0.3'), "initial='0.3'"), (dict(floor=True), 'floor=True')])
def test_a_weight_outside_0_to_1_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        AuxiliaryWeightHook(**options)


def test_a_model_without_an_auxiliary_loss_is_refused_in_training_alone():
    model = torch.nn.Linear(1, 1)
    optim_wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), 0.1))
    with pytest.raises(ValueError, match='found a Linear; expected a model with an auxiliary loss'):
        AuxiliaryWeightHook().before_run(SimpleNamespace(model=model, optim_wrapper=optim_wrapper))
    AuxiliaryWeightHook().before_run(SimpleNamespace(model=model, optim_wrapper=dict(lr=0.1)))  # as in Runner.test


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp('images')
    for seed, split in enumerate(('train', 'test')):
        write_image_folder(root / split, dict(a=4, b=4, c=4), size=16, seed=seed)
    return root


def train(folder, cfg, *arguments, ranks=1):
    folder.mkdir(exist_ok=True)
    cfg.dump(folder / 'run.py')
    given = (folder / 'run.py', '--work-dir', folder / 'work', *arguments)
    returncode, output = run_tool('train.py', *given) if ranks == 1 else run_ranks('train.py', ranks, *given)
    assert returncode == 0, output
    return folder / 'work'


@pytest.fixture(scope='module')
def whole(data, folders, tmp_path_factory):
    """Work directory of three epochs in one go."""
    return train(tmp_path_factory.mktemp('whole'), run_config(data, folders['gpt2']))


def test_a_plain_model_with_the_hook_ends_in_one_line_before_it_starts(data, folders, tmp_path):
    cfg = run_config(data, folders['gpt2'])
    cfg.model = dict(type='ImageClassifier', backbone=cfg.model.backbone, head=cfg.model.head,
                     data_preprocessor=cfg.model.data_preprocessor)
    cfg.custom_hooks = [hook for hook in cfg.custom_hooks if 'Language' not in hook.type]
    cfg.dump(tmp_path / 'run.py')
    returncode, output = run_tool('train.py', tmp_path / 'run.py', '--work-dir', tmp_path / 'work')
    assert returncode == 2 and 'found a ImageClassifier; expected a model with an auxiliary loss' in output.splitlines()[-1]
    assert 'Traceback' not in output and not read_records(tmp_path / 'work')['train']


@pytest.mark.parametrize('options', (dict(path='inserted'), dict(arm='plain')))
def test_a_model_without_an_auxiliary_loss_is_a_note_in_the_log(whole, data, folders, tmp_path, options):
    work = train(tmp_path, run_config(data, folders['gpt2'], **options))
    said = 'AuxiliaryWeightHook: the model has no auxiliary loss, so the hook does nothing.'
    assert [said in next(folder.glob('*/*.log')).read_text() for folder in (work, whole)] == [True, False]
    records = read_records(work)['train']
    assert records and not any('lambda' in record for record in records)


def weights(work):
    return load_checkpoint_safely(work / 'epoch_3.pth')['state_dict']


def test_both_losses_both_accuracies_and_the_weight_are_logged(whole):
    records = read_records(whole)['train']
    assert [record['lambda'] for record in records] == pytest.approx([0.6] * 3 + [0.4] * 3 + [0.2] * 3)
    for record in records:
        assert record['loss'] == pytest.approx(
            (1 - record['lambda']) * record['main_unweighted'] + record['lambda'] * record['aux_unweighted'], rel=1e-4)
        assert {'accuracy_top-1', 'aux_accuracy_top-1', 'loss_main', 'loss_aux'} <= record.keys()


def test_a_run_resumed_in_the_middle_of_the_schedule_is_the_run(whole, data, folders, tmp_path):
    first = run_config(data, folders['gpt2'])
    work = train(tmp_path, first)
    for path in (work / 'epoch_3.pth', work / 'epoch_2.pth'):
        path.unlink()
    (work / 'last_checkpoint').write_text(str(work / 'epoch_1.pth'))
    train(tmp_path, first, '--resume')
    resumed, straight = weights(work), weights(whole)
    assert all(torch.equal(resumed[name], tensor) for name, tensor in straight.items())


def test_two_ranks_are_one_with_the_same_total_batch(whole, data, folders, tmp_path):
    work = train(tmp_path / 'two', run_config(data, folders['gpt2'], batch_size=2), ranks=2)
    ours, theirs = weights(work), weights(whole)
    for name, tensor in theirs.items():
        assert_close(ours[name], tensor, depth=8, size=size_of(*theirs.values()), msg=name)
    assert json.dumps(sorted(ours)) == json.dumps(sorted(theirs))
