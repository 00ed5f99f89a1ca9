"""Before the first training: a wrong value of a later cell, arm, language model or probe is found, and nothing else is."""
import numpy as np
import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from mmengine.model import BaseModel
from mmengine.registry import MODELS

from lbbt_mm.experiments import trial_builds
from lbbt_mm.experiments.cells import combine, read_levels
from lbbt_mm.experiments.plan import Plan
from lbbt_mm.experiments.source import Source
from tests.fake_training import starts

CONFIG = """
default_scope = 'mmpretrain'
model = dict(
    type='lbbt_mm.LanguageClassifier',
    backbone=dict(
        type='lbbt_mm.LLMBackbone', img_size=8, patch_size=4, attention='bidirectional',
        language=dict(checkpoint='nobody/none', arm='language', seed=0, config=dict(
            model_type='gpt2', n_embd=32, n_head=2, n_layer=2, n_positions=8, initializer_range=0.02))),
    head=dict(type='LinearClsHead', num_classes=4, in_channels=32, loss=dict(type='CrossEntropyLoss')))
load, pack = dict(type='LoadImageFromFile'), dict(type='PackInputs')
labels = dict(type='lbbt_mm.RandomLabel', num_classes=4, data_root='nowhere')
share = dict(type='lbbt_mm.RandomLabelDataset', draw='uniform', num_classes=4, dataset=dict(
    type='CustomDataset', data_root='nowhere', pipeline=[load, pack]))
first = dict(type='CustomDataset', data_root='nowhere', pipeline=[load, labels, pack])
train_dataloader = dict(batch_size=2, dataset=dict(type='ConcatDataset', datasets=[
    first, dict(type='lbbt_mm.EvenSubset', num_samples=2, dataset=share)]))
optim_wrapper = dict(optimizer=dict(type='AdamW', lr=0.01, weight_decay=0.05))
train_cfg = dict(by_epoch=True, max_epochs=4)
default_hooks = dict(partial_freeze=dict(type='lbbt_mm.PartialFreezeHook', trainable='all', priority='LOW'))
randomness = dict(seed=0)
"""
PROBE = CONFIG.replace("img_size=8,", "img_size=8, init_cfg=dict(type='lbbt_mm.BridgeInit', checkpoint=None),")


@pytest.fixture
def folder(folder):
    (folder / 'bridge.py').write_text(CONFIG)
    (folder / 'probe.py').write_text(PROBE)
    return folder


def check(folder, *levels: str, arms=('language', 'random'), **options) -> None:
    """Look at the experiment with these cells."""
    cells = combine(list(map(read_levels, levels)), [])
    plan = Plan(folder / 'bridge.py', folder / 'out', arms, [0, 1], cells=cells, baseline=arms[0], **options)
    trial_builds.check_builds(plan, plan.all_runs())


@pytest.mark.parametrize('level, message', [
    ('LLMBackbone.attention=bidirectional,casual',
     "cell attention=casual, arm language: LLMBackbone: attention='casual'; expected one of 'bidirectional', 'causal'. "),
    ('model.backbone.language.fresh=[blocks],[blcks]', r"cell fresh=\[blcks\], arm language: language.fresh='blcks'; exp"),
    ('model.backbone.language.fresh=[blocks],[final_norm]', 'fresh: final_norm does not come from the language model here'),
    ('model.backbone.language.blocks=0:2,0:9', 'cell blocks=0:9, arm language: language.blocks='),
    ('LLMBackbone.img_size=8,9', 'cell img_size=9, arm language: .*does not divide into patches'),
    ('LinearClsHead.num_classes=4,0', 'cell num_classes=0, arm language: num_classes=0 must be a positive integer'),
    ('CrossEntropyLoss.type=CrossEntropyLoss,CrosEntropyLoss', 'CrosEntropyLoss is not in the'),
    ('RandomLabel.exclude_true=False,Flase', "cell exclude_true=Flase, arm language: RandomLabel: exclude_true='Flase'"),
    ('RandomLabelDataset.exclude_true=True,Flase', "RandomLabelDataset: exclude_true='Flase'; expected True or False"),
    ('EvenSubset.num_samples=2,0', 'EvenSubset: num_samples=0; expected a whole number'),
    ('PartialFreezeHook.trainable=all,lst:1', "cell trainable=lst:1, arm language: trainable='lst:1': expected 'first:N'"),
    ('AdamW.weight_decay=0.05,o.05', 'cell weight_decay=o.05, arm language: .*not supported between'),
])
def test_a_wrong_value_in_a_later_cell(folder, level, message):
    with pytest.raises(ValueError, match=message) as error:
        check(folder, level)
    assert str(error.value).startswith('--cells, --cell: ') and '\n' not in str(error.value)
    assert str(error.value).endswith('Correct the value; no training was begun.')


def test_it_ends_the_tool_before_anything_is_made(compare, folder):
    status, output = compare('--cells', 'LLMBackbone.attention=bidirectional,casual', '--lrs', 1e-2, 1e-1)
    assert status == 2 and output.count('\n') == 1 and not starts(folder) and not (folder / 'out').exists()
    assert output.startswith("--cells, --cell: cell attention=casual, arm language: LLMBackbone: attention='casual'")


def test_a_wrong_arm_and_a_language_model_that_does_not_fit(folder, folders):
    with pytest.raises(ValueError, match="^arm mappers: language.arm='mappers' leaves the language blocks out"):
        check(folder, arms=('language', 'mappers'))
    sources = [Source(name, str(folders[name])) for name in ('gpt2', 'llama')]
    check(folder, sources=sources, arms=('language', ))
    with pytest.raises(ValueError, match="^--sources llama: .*position='language', but llama models have no position table"):
        check(folder, sources=sources, arms=('language', ), options=['model.backbone.position=language'])


@pytest.mark.parametrize('option, message', [
    ('model.head.num_classes=0', 'num_classes=0 must be a positive integer'),
    ('model.backbone.init_cfg.leave_out=[patch_embd]', "init_cfg.leave_out: the backbone has no 'patch_embd'")])
def test_a_wrong_value_of_a_probe(folder, option, message):
    with pytest.raises(ValueError, match=f'^probe probe: .*{message}'):
        check(folder, arms=('language', ), probes=[folder / 'probe.py'], probe_options=[option])


def test_values_that_are_right_pass(folder):
    check(folder, 'LLMBackbone.attention=bidirectional,causal', 'RandomLabel.exclude_true=False,True', 'AdamW.lr=1,2',
          probes=[folder / 'probe.py'], probe_options=['model.backbone.init_cfg.leave_out=[patch_embed]'])
    assert not (folder / 'out').exists()


class Computing(BaseModel):
    """A model of somebody else's, which computes with tensors while it is built, and counts how often it is."""
    built = []

    def __init__(self, language, how='item', **others) -> None:
        super().__init__()
        self.built.append(how)
        rates = torch.linspace(0, 1, 3)
        if how == 'wrong':
            raise ValueError('how: found wrong')
        if how == 'absent':
            raise FileNotFoundError('weights.pth')
        self.rates = {'item': lambda: rates[0].item(), 'list': rates.tolist, 'numpy': lambda: np.asarray(rates),
                      'rank': torch.distributed.get_rank, 'world': torch.distributed.get_world_size,
                      'group': lambda: torch.distributed.new_group([0]), 'plain': lambda: 0}[how]()

    def forward(self, inputs):
        return inputs


MODELS.register_module(module=Computing, name='ComputingWhileItIsBuilt')
COMPUTING = """
model = dict(type='ComputingWhileItIsBuilt', how='plain', language=dict(checkpoint='a', arm='language', seed=0))
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.01))
"""


class TestOthersModels:

    @pytest.fixture(autouse=True)
    def computing(self, folder):
        (folder / 'bridge.py').write_text(COMPUTING)
        Computing.built.clear()

    @pytest.mark.parametrize('how', ['item', 'list', 'numpy', 'absent', 'rank', 'world', 'group'])
    def test_what_the_meta_device_or_this_machine_cannot_do_is_no_wrong_value(self, folder, how):
        check(folder, f'model.how=plain,{how}')
        assert how in Computing.built

    def test_a_wrong_value_is_one(self, folder):
        with pytest.raises(ValueError, match='cell how=wrong, arm language: how: found wrong. Correct the value'):
            check(folder, 'model.how=plain,wrong')

    def test_each_is_built_once(self, folder):
        check(folder, 'model.how=plain,item', lrs=[0.1, 0.2])
        assert Computing.built == ['plain', 'plain', 'item', 'item'], 'two arms in each cell, whatever seeds and rates'

    def test_one_start_alone_is_not_built(self, folder):
        check(folder, arms=('language', ), options=['model.how=wrong'])
        assert not Computing.built

    def test_nor_is_what_has_begun(self, folder):
        cells = combine([read_levels('model.how=plain,wrong')], [])
        plan = Plan(folder / 'bridge.py', folder / 'out', ['language'], [0], cells=cells, baseline='language')
        trial_builds.check_builds(plan, plan.all_runs()[:1])
        assert not Computing.built

    def test_modules_that_are_not_here_are_left_to_the_training(self, folder):
        (folder / 'bridge.py').write_text(COMPUTING + "custom_imports = dict(imports=['nobody_has_this'])")
        check(folder, 'model.how=plain,wrong')
        assert not Computing.built


def test_a_hub_that_cannot_be_reached_from_here_is_no_wrong_value(folder, monkeypatch):
    asked = []

    def unreachable(repository, *file, **options):
        asked.append(repository)
        raise LocalEntryNotFoundError('no route')

    monkeypatch.setattr('huggingface_hub.hf_hub_download', unreachable)  # which would try for a minute
    options = ['model.backbone.language.config=None', 'model.backbone.language.init_std=0.02']
    check(folder, options=options, arms=('language', ), probes=[folder / 'probe.py'])
    assert set(asked) == {'nobody/none'}
    alone = len(asked)
    check(folder, 'LLMBackbone.attention=bidirectional,causal', options=options, arms=('language', 'random', 'shuffled'))
    assert len(asked) == 2 * alone, 'it is asked for one build, not for each of them'
