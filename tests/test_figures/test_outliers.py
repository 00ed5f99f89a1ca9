"""tools/analysis/outliers.py: counts of several models side by side, written, printed and drawn."""
import json
import math
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from mmengine.config import Config
from safetensors.torch import load_file, save_file

from lbbt_mm.analysis import weight_statistics
from lbbt_mm.figures import outlier_figure, outliers
from lbbt_mm.figures.trained import OpenedRun
from tests.test_figures.trained_bridge import train_bridge
from tests.tiny_checkpoints import build_model
from tests.tool_processes import run_tool


@pytest.fixture
def tool(figure, monkeypatch):
    """Runs the tool, which draws where that is asked for; gives its exit status and what it printed."""
    monkeypatch.setenv('COLUMNS', '200')
    monkeypatch.setattr(torch, 'set_num_threads', lambda number: None)  # of the tests' own process

    def run(*arguments, draws=False):
        if not draws:
            monkeypatch.setattr(outlier_figure, 'draw', lambda *arguments: None)
        return figure(outliers, *arguments)[:2]

    return run


@pytest.fixture
def vit(tmp_path) -> Path:
    """A checkpoint of mmpretrain's kind."""
    state = {f'backbone.layers.{index}.{name}': torch.randn(20, 60) * (1 + index)
             for index in range(2) for name in ('attn.qkv.weight', 'ffn.layers.0.0.weight')}
    state.update({'backbone.ln1.weight': torch.ones(20), 'backbone.strange': torch.randn(5),
                  'head.fc.weight': torch.zeros(3, 20), 'backbone.steps': torch.tensor(3),
                  'backbone.patch_embed.projection.weight': torch.randn(20, 3, 4, 4)})
    torch.save(dict(state_dict=state, meta={}), tmp_path / 'vit.pth')
    return tmp_path / 'vit.pth'


def numbers(tmp_path, name=''):
    return pd.read_csv(tmp_path / 'out' / f'outliers{name}.csv', keep_default_na=False, na_values=['', 'nan'])


def test_counts_by_tensor_by_group_and_in_all_are_those_of_the_weights(tool, vit, folders, tmp_path):
    status, said = tool(f'ViT={vit}', f'GPT-2={folders["gpt2"]}', '--threshold', 0.9)
    assert status == 0, said
    frame, groups = numbers(tmp_path), numbers(tmp_path, '_groups')
    states = {'ViT': {name: tensor for name, tensor in torch.load(vit)['state_dict'].items() if name != 'backbone.steps'},
              'GPT-2': dict(build_model('gpt2').transformer.state_dict(prefix='transformer.'))}
    for model, state in states.items():
        mine = frame[frame['model'] == model].set_index('tensor')
        assert set(mine.index) == set(state)
        for name, tensor in state.items():
            assert mine.loc[name, 'outliers_absolute'] == (tensor.abs() > 0.9).sum(), name
            assert mine.loc[name, 'largest'] == pytest.approx(float(tensor.abs().max()))
        group = groups[groups['model'] == model].set_index(['by', 'group'])['outliers_absolute']
        assert group['all'].sum() == group['kind'].sum() == group['layer'].sum() == mine['outliers_absolute'].sum()
    found = groups[groups['model'] == 'ViT'].set_index(['by', 'group'])
    assert found.loc[('layer', '1'), 'module'] == 'backbone.layers.1'
    assert found.loc[('layer', '1'), 'outliers_absolute'] == sum(
        int((tensor.abs() > 0.9).sum()) for name, tensor in states['ViT'].items() if '.layers.1.' in name)
    assert found.loc[('kind', 'other'), 'weights'] == 5
    assert '|w| > 0.9' in said and '> 6 std' in said and 'modified z > 6' in said and 'MAD' not in said
    assert 'ViT: no rule knows the kind of 1 tensors (backbone.strange): other.' in said
    assert 'ViT: left out: 1 tensors of integers or that nothing trains (backbone.steps).' in said
    assert 'ViT: 2 of 8 tensors hold equal numbers only' in said


def test_figure_and_curves(tool, vit, tmp_path):
    assert tool(vit, '--rule', 'std', '--threshold', 2, draws=True)[0] == 0
    assert (tmp_path / 'out' / 'outliers.png').stat().st_size > 10000 and (tmp_path / 'out' / 'outliers.pdf').is_file()
    curves = numbers(tmp_path, '_curves')
    density, further = (curves[curves['curve'] == name] for name in ('density', 'further'))
    assert ((density['high'] - density['low']) * density['value']).sum() == pytest.approx(1)
    assert (density['low'].to_numpy()[1:] >= density['high'].to_numpy()[:-1]).all()
    state = torch.load(vit)['state_dict']
    values = torch.cat([tensor.flatten() for tensor in state.values() if tensor.is_floating_point()])
    for bin in density.itertuples():
        inside = (values >= bin.low) & (values < bin.high) if bin.low > 0 else (values > bin.low) & (values <= bin.high)
        if bin.low * bin.high > 0:
            assert bin.value * (bin.high - bin.low) * len(values) == pytest.approx(float(inside.sum()), abs=1e-3)
    assert (np.diff(further['value']) <= 0).all() and further['value'].iloc[0] > 0.8


def test_a_constant_tensor_is_a_gap(tool, vit, tmp_path):
    status, said = tool(vit, '--only', '*.ln1.*', 'head.*')
    assert status == 0
    frame = numbers(tmp_path)
    assert frame['kurtosis'].isna().all() and frame['outliers_std'].isna().all() and (frame['outliers_absolute'] == 0).all()
    assert 'no numbered layers' not in said and '-' in said.split('Outliers in all')[1]


def test_rates_are_of_the_weights_that_were_looked_at(tool, tmp_path):
    """Half of these weights are equal, which have no number by std."""
    torch.save({'layers.0.a': torch.cat([torch.arange(999.), torch.tensor([1e6])]), 'layers.0.b': torch.ones(1000)},
               tmp_path / 'a.pth')
    status, said = tool(tmp_path / 'a.pth', '--threshold', 1e5)
    row = next(line for line in said.split('Outliers in all')[1].splitlines() if line.startswith('│ a '))
    assert status == 0 and re.findall(r'[\w.,]+', row)[1:8] == ['2,000', '1', '500', '1', '1000', '1', '1000'], said
    assert numbers(tmp_path, '_groups').loc[0, ['outliers_absolute_of', 'outliers_std_of']].tolist() == [2000, 1000]


def test_only_chooses_tensors(tool, vit, tmp_path):
    assert tool(vit, '--only', '*.attn.*')[0] == 0
    assert numbers(tmp_path)['kind'].unique().tolist() == ['attention qkv']


def test_of_several_models_a_pattern_may_be_of_one(tool, vit, folders, tmp_path):
    assert tool(f'a={vit}', f'b={folders["gpt2"]}', '--only', 'backbone.*', 'transformer.*')[0] == 0
    assert set(numbers(tmp_path)['model']) == {'a', 'b'}


@pytest.mark.slow
def test_a_run_before_and_after(tool, tmp_path):
    run = train_bridge(tmp_path, 'train_cfg.max_epochs=1', 'train_cfg.val_interval=1')
    status, said = tool(f'bridge={run}', '--before')
    assert status == 0, said
    frame = numbers(tmp_path)
    start, end = (frame[frame['model'] == model].set_index('tensor') for model in ('bridge, start', 'bridge'))
    assert set(start.index) == set(end.index)
    assert start.loc['head.fc.bias', 'std'] == 0 < end.loc['head.fc.bias', 'std']
    block = build_model('gpt2').transformer.h[1].mlp.c_fc.weight.detach()
    assert start.loc['backbone.blocks.1.mlp.fc1.weight', 'largest'] == pytest.approx(float(block.abs().max()))
    assert 'attention qkv' in said


def test_an_interrupted_command_goes_on_where_it_was(tool, vit, folders, monkeypatch, tmp_path):
    described, describe = [], weight_statistics.describe

    def counted(read, rules):
        described.append(1)
        if len(described) == 10:
            raise KeyboardInterrupt
        return describe(read, rules)

    monkeypatch.setattr(weight_statistics, 'describe', counted)
    models = f'a={vit}', f'b={folders["gpt2"]}', '--jobs', 1
    assert tool(*models)[0] == 130
    first = len(described)
    assert tool(*models)[0] == 0
    assert len(described) - first == len(numbers(tmp_path)) - 8  # those of the first model are known


def test_what_is_done_is_not_done_again(tool, vit, folders, monkeypatch, tmp_path):
    describe, done = weight_statistics.describe, []
    monkeypatch.setattr(weight_statistics, 'describe', lambda read, rules: done.append(1) or describe(read, rules))
    assert tool(f'a={vit}')[0] == 0
    first, one = len(done), numbers(tmp_path)
    assert tool(f'a={vit}')[0] == 0 and len(done) == first
    pd.testing.assert_frame_equal(numbers(tmp_path), one)
    assert tool(f'other={vit}', f'b={folders["gpt2"]}', '--rule', 'std')[0] == 0
    both = numbers(tmp_path)
    assert len(done) - first == (both['model'] == 'b').sum(), 'another label, another rule of the picture: what is new'
    again = both[both['model'] == 'other'].assign(model='a').reset_index(drop=True)
    pd.testing.assert_frame_equal(again, one, check_dtype=False)
    before = len(done)
    assert tool(f'a={vit}', '--threshold', 0.5)[0] == 0 and len(done) == before + first, 'another question'
    state = torch.load(vit)
    state['state_dict']['head.fc.weight'][0, 0] = 7
    torch.save(state, vit)
    assert tool(f'a={vit}', '--threshold', 0.5)[0] == 0
    assert numbers(tmp_path).set_index('tensor').loc['head.fc.weight', 'largest'] == 7, 'another file'


class TestStarts:

    @pytest.fixture
    def run(self, trained, tmp_path):
        """The folder of a run, as ours are; its request has the config."""
        folder = tmp_path / 'work'
        folder.mkdir()
        config, checkpoint = trained().split(',')
        shutil.copy(checkpoint, folder / 'epoch_1.pth')
        (folder / 'last_checkpoint').write_text(str(folder / 'epoch_1.pth'))
        (folder / 'request.json').write_text(json.dumps(dict(id='a', config=Config.fromfile(config).to_dict(), options=[])))
        return folder

    @pytest.fixture
    def built(self, monkeypatch):
        """A list that grows with each start that is built."""
        built, at_start = [], OpenedRun.at_start
        monkeypatch.setattr(OpenedRun, 'at_start', lambda self: built.append(self.label) or at_start(self))
        return built

    def test_a_start_that_is_done_is_not_built_again(self, tool, run, built, tmp_path):
        status, said = tool(f'a={run}', '--before')
        assert status == 0 and built == ['a'], said
        first = numbers(tmp_path)
        assert set(first['model']) == {'a', 'a, start'}
        assert tool(f'a={run}', '--before')[0] == 0 and built == ['a']
        pd.testing.assert_frame_equal(numbers(tmp_path), first, check_dtype=False)
        assert tool(f'a={run}', '--before', '--only', '*.blocks.1.*')[0] == 0
        assert built == ['a', 'a'], 'other tensors are looked at'
        some = numbers(tmp_path).drop(columns='layer')  # counted among those that are chosen
        known = first[first['tensor'].isin(set(some['tensor']))].drop(columns='layer').reset_index(drop=True)
        pd.testing.assert_frame_equal(some, known, check_dtype=False)

    @pytest.mark.parametrize('of', ['language', 'load_from'])
    def test_a_start_from_other_files_is_another_one(self, tool, run, built, folders, tmp_path, of):
        request = json.loads((run / 'request.json').read_text())
        shutil.copytree(folders['gpt2'], tmp_path / 'language')
        request['config']['model']['backbone']['language']['checkpoint'] = str(tmp_path / 'language')
        weights, key = tmp_path / 'language' / 'model.safetensors', 'transformer.h.0.mlp.c_fc.weight'
        if of == 'load_from':
            weights, key = tmp_path / 'from.pth', 'backbone.blocks.0.mlp.fc1.weight'
            shutil.copy(run / 'epoch_1.pth', weights)
            request['config']['load_from'] = str(weights)
        (run / 'request.json').write_text(json.dumps(request))

        def largest():
            status, said = tool(f'a={run}', '--before')
            assert status == 0, said
            start = numbers(tmp_path).set_index(['model', 'tensor'])['largest']['a, start']
            return start['backbone.blocks.0.mlp.fc1.weight']

        first = largest()
        if of == 'load_from':
            state = torch.load(weights)
            state['state_dict'][key] *= 3
            torch.save(state, weights)
        else:
            state = load_file(weights)
            save_file({**state, key: 3 * state[key]}, weights, metadata=dict(format='pt'))
        assert largest() == pytest.approx(3 * first) and built == ['a', 'a']
        parts = len(json.loads((tmp_path / 'out' / 'outliers.parts.json').read_text())['parts'])
        assert largest() == pytest.approx(3 * first) and built == ['a', 'a']
        assert parts == 3, 'names and numbers of the start, numbers of the end; those of the earlier start are dropped'

    def test_overrides_of_the_config_are_those_of_the_start(self, tool, run, built, tmp_path):
        one, other = (tool(f'a={run}', '--before', *more) and numbers(tmp_path).set_index(['model', 'tensor'])['largest']
                      for more in ((), ('--cfg-options', 'randomness.seed=5')))
        assert one['a'].equals(other['a']) and not one['a, start'].equals(other['a, start']) and len(built) == 2

    def test_what_a_message_advises_the_tool_takes(self, tool, run, tmp_path):
        """A run that began from a checkpoint with another head, which its config does not say that it left out."""
        state = torch.load(run / 'epoch_1.pth')['state_dict']
        torch.save(dict(state_dict={**state, 'head.fc.weight': torch.zeros(7, 32), 'head.fc.bias': torch.zeros(7)}),
                   tmp_path / 'from.pth')
        request = json.loads((run / 'request.json').read_text())
        request['config']['load_from'] = f'{tmp_path}/from.pth'
        (run / 'request.json').write_text(json.dumps(request))
        said = refused(tool, f'a={run}', '--before')
        assert "Name what the training left out: --cfg-options leave_out=['PART']." in said
        status, said = tool(f'a={run}', '--before', '--cfg-options', "leave_out=['head']")
        assert status == 0, said


# ------------------------------------------------------------------------------------------------------------ bad input
def refused(tool, *arguments) -> str:
    status, said = tool(*arguments)
    assert status == 2 and said.count('\n') == 1, said
    return said


def test_nan_is_refused_with_the_tensor_s_name(tool, tmp_path):
    torch.save({'layers.0.a': torch.ones(3), 'layers.1.a': torch.tensor([1, math.nan])}, tmp_path / 'a.pth')
    assert "a.pth: tensor 'layers.1.a' holds NaN or infinity; expected finite numbers. The file is damaged" in refused(
        tool, tmp_path / 'a.pth')


def test_models_whose_layers_cannot_be_set_side_by_side_are_refused(tool, vit, tmp_path):
    torch.save({'fc.weight': torch.ones(3)}, tmp_path / 'mlp.pth')
    assert 'mlp has no numbered layers; expected one stack of numbered layers in each model' in refused(
        tool, vit, tmp_path / 'mlp.pth')
    assert tool(tmp_path / 'mlp.pth', draws=True)[0] == 0


def test_a_module_that_is_not_there_is_refused(tool, vit):
    assert 'vit.pth: no tensor is named like --only decoder.*; found for example backbone.layers.0.attn.qkv.weight and ' in \
        refused(tool, vit, '--only', 'decoder.*')
    assert 'no tensor is named like --only decoder.*; found' in refused(tool, vit, '--only', 'backbone.*', 'decoder.*')


def test_a_file_that_changed_its_length_is_refused_as_such(tool, folders, tmp_path, monkeypatch):
    save_file({'layers.0.a': torch.randn(100, 100)}, tmp_path / 'a.safetensors')
    from lbbt_mm.figures import weights
    opened = weights.open_weights(str(tmp_path / 'a.safetensors'))
    (tmp_path / 'a.safetensors').write_bytes((tmp_path / 'a.safetensors').read_bytes()[:9000])
    monkeypatch.setattr(weights, 'open_weights', lambda where: opened)
    assert "tensor 'layers.0.a' is cut off" in refused(tool, tmp_path / 'a.safetensors')


def test_before_without_a_run_is_refused(tool, vit):
    assert '--before: none of the models is the folder of a run' in refused(tool, vit, '--before')


@pytest.mark.parametrize('arguments, said', [
    (['a.pth', 'b/a.pth'], 'MODEL: a is there twice. Give names that differ: LABEL=MODEL'),
    (['a.pth', '--cfg-options', 'x=1'], '--cfg-options is about models as their training began. Give --before'),
    (['a.pth', '--tail', '1'], '--tail: 1: expected a number above 0 and below 1'),
    (['a.pth', '--threshold', '0'], 'expected a number above 0'), (['a.pth', '--rule', 'none'], 'invalid choice')])
def test_command_lines_that_cannot_be(arguments, said, capsys):
    with pytest.raises(SystemExit) as ended:
        outliers.parse_args(arguments)
    assert ended.value.code == 2 and said in capsys.readouterr().err


def test_the_tool_itself(vit, tmp_path):
    done = run_tool('analysis/outliers.py', vit, '--rule', 'robust', '--out', tmp_path / 'out')
    assert done.returncode == 0 and 'Outliers by layer' in done.output, done.output
