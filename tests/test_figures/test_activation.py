"""tools/analysis/activation.py: its numbers are those of the models, and what it cannot measure it says."""

from functools import partial

import cv2
import pytest
import torch
from mmengine.config import Config

from lbbt_mm.figures import activation, activation_ratios
from lbbt_mm.figures.preprocessing import preprocess
from lbbt_mm.figures.trained import OpenedRun, read_trained
from lbbt_mm.models.blocks import measured_blocks
from lbbt_mm.models.layers.block_watch import BlockWatch
from tests import tiny_detection, tiny_rectified
from tests.image_folders import write_image_folder
from tests.tool_processes import run_tool


@pytest.fixture
def tool(figure):
    """Runs the tool; returns its exit status, what it printed, and its numbers."""
    return partial(figure, activation)


def normalised_images(tmp_path):
    paths = sorted((tmp_path / 'images' / 'test').glob('*/*.png'))
    images = [torch.from_numpy(cv2.imread(str(path))[:, :, ::-1].copy()).permute(2, 0, 1).float() for path in paths]
    return (torch.stack(images) - 127) / 64


@torch.no_grad()
def ratios_of(model, images):
    """Equations 5 and 6 on the input of the down projection."""
    found = []
    handles = [block.mlp.fc2.register_forward_pre_hook(
        lambda module, args: found.append((args[0].mean(dim=1) > 0).double().mean().item()))
        for block in measured_blocks(model).values()]
    model(images)
    for handle in handles:
        handle.remove()
    return found


def test_numbers_are_those_of_the_model_at_its_start_and_end(trained, tool, tmp_path):
    run = trained()
    status, output, table = tool(f'one={run}', '--batch-size', 5)
    assert status == 0 and 'one' in output, output
    opened = OpenedRun(read_trained(run))
    real = table[table.images == 'real'].set_index('at')
    for at, model in (('start', opened.at_start()), ('end', opened.at_end())):
        expected = ratios_of(model, normalised_images(tmp_path))
        assert real.loc[at].ratio.tolist() == pytest.approx(expected)
        assert real.loc[at].block.tolist() == [f'backbone.blocks.{number}' for number in range(4)]
    assert real.loc['start'].ratio.tolist() != real.loc['end'].ratio.tolist()
    assert set(table.samples) == {12} and set(table.neurons) == {128} and set(table.images) == {'real', 'pixels'}
    for ending in ('png', 'pdf'):
        assert (tmp_path / 'out' / f'activation.{ending}').stat().st_size > 1000


def test_control_images_are_what_the_model_gets(trained, tool, tmp_path):
    status, output, table = tool(trained(), '--control', 'constant', 'noise', '--at', 'end')
    assert status == 0, output
    images = (normalised_images(tmp_path) * 64 + 127).mean((-1, -2), keepdim=True).round()
    model = OpenedRun(read_trained(f'{tmp_path}/run.py,{tmp_path}/run.pth')).at_end()
    expected = ratios_of(model, ((images - 127) / 64).expand(-1, -1, 8, 8))
    assert table[table.images == 'constant'].ratio.tolist() == pytest.approx(expected)
    assert set(table.images) == {'real', 'constant', 'noise'} and set(table['at']) == {'end'}


def test_the_public_code_s_variant_counts_outputs_of_attention(trained, tool, tmp_path):
    run = trained()
    status, output, table = tool(run, '--variant', 'public', '--at', 'end', '--batch-size', 5, '--control', 'none')
    assert status == 0, output
    model, found = OpenedRun(read_trained(run)).at_end(), []
    with torch.no_grad(), BlockWatch(measured_blocks(model), lambda name, out, tokens: found.append(out), 'attention'):
        model(normalised_images(tmp_path))
    magnitudes = [out.abs().mean(dim=1) for out in found]
    assert table.ratio.tolist() == pytest.approx([(one > 0.6 * one.mean()).double().mean().item() for one in magnitudes])
    assert set(table.neurons) == {32} and set(table.units) == {'attention'}


@pytest.mark.parametrize('units', ('gate', 'product'))
def test_units_that_the_public_variant_does_not_count_are_refused(units, capsys):
    with pytest.raises(SystemExit):
        activation.parse_args(['run', '--variant', 'public', '--units', units])
    assert f'--units {units}: --variant public counts outputs of attention' in capsys.readouterr().err
    assert activation.parse_args(['run']).units == 'gate'


def test_units_of_a_gated_network(trained, tool):
    run = trained(model_type='llama')
    gate, product = (tool(run, '--units', units, '--at', 'end', '--control', 'none', out=units)[2] for units in (
        'gate', 'product'))
    assert set(gate.neurons) == set(product.neurons) == {64}
    assert gate.ratio.tolist() != product.ratio.tolist()


def test_runs_of_one_label_are_a_mean_with_a_deviation(trained, tool):
    *runs, other = [trained(f'seed{seed}', seed=seed) for seed in range(3)]
    status, output, table = tool(*(f'same={run}' for run in runs), f'other={other}', '--at', 'end', '--control', 'none')
    assert status == 0, output
    values = table[table.label == 'same'].groupby('checkpoint').ratio.mean()
    assert len(values) == 2 and f'{values.mean():.3f} ± {values.std():.3f}' in output
    assert f'{table[table.label == "other"].ratio.mean():.3f} ' in output


def test_each_checkpoint_is_read_once(trained, tool, monkeypatch):
    read, at_end = [], OpenedRun.at_end
    monkeypatch.setattr(OpenedRun, 'at_end', lambda run, *args: read.append(run.checkpoint.stem) or at_end(run, *args))
    runs = [f'same={trained(name, seed=seed)}' for seed, name in enumerate(('one', 'two'))]
    status, output, table = tool(*runs, '--at', 'end', '--control', 'none')
    assert status == 0 and read == ['one', 'two'], output


def test_what_is_done_is_not_done_again(trained, tool, monkeypatch):
    run, calls, blocks = trained(), [], activation_ratios._blocks
    monkeypatch.setattr(activation_ratios, '_blocks', lambda *args: calls.append(args[2]) or blocks(*args))
    first = tool(run, '--at', 'end')[2]
    assert calls == ['real', 'pixels']
    assert tool(run, '--at', 'end')[2].equals(first) and len(calls) == 2
    again = tool(f'one={run}', trained('two', seed=1), '--at', 'end', '--control', 'pixels', 'noise')[2]
    assert calls[2:] == ['noise', 'real', 'pixels', 'noise'], 'only what is new'
    assert again[(again.label == 'one') & (again.images == 'real')].ratio.tolist() == first[
        first.images == 'real'].ratio.tolist()
    tool(run, '--at', 'end', '--max-samples', '6')
    assert calls[6:] == ['real', 'pixels'], 'another question'


def broken(model):
    model.backbone.blocks[2].mlp.fc1.weight[0, 0] = float('nan')


@pytest.mark.parametrize('options, why', [
    (dict(out_indices=1), 'which did not run.'),
    (dict(change=broken), 'whose activations are not finite: the run has diverged. Give an earlier checkpoint.')])
def test_blocks_without_a_number_are_gaps_that_are_named(trained, tool, options, why):
    status, output, table = tool(f'one={trained(**options)}', '--at', 'end')
    assert status == 0, output
    assert sorted(set(table[table.ratio.isna()].number)) == [2, 3] and table.ratio.notna().sum() == 4
    assert f'one, end: no number for backbone.blocks.2, backbone.blocks.3, {why}\n' in output


def test_a_gap_in_one_run_of_several_names_the_run_and_leaves_no_mean(trained, tool, tmp_path):
    good, bad = trained(), trained('bad', seed=1, change=broken)
    status, output, table = tool(f'one={good}', f'one={bad}', '--at', 'end', '--control', 'none')
    assert status == 0, output
    assert (f'one ({tmp_path}/bad.pth), end: no number for backbone.blocks.2, backbone.blocks.3, whose activations are not '
            'finite') in output
    row = next(line for line in output.splitlines() if line.startswith('│ one '))
    assert [cell.strip() for cell in row.split('│')[4:-1]] == ['2', '4', '-', '-', '-', '-'], row
    assert table.ratio.isna().sum() == 2


def test_blocks_that_do_not_run_are_no_part_of_the_mean_which_says_so(trained, tool):
    output, table = tool(f'one={trained(out_indices=1)}', '--at', 'end', '--control', 'none')[1:]
    row = next(line for line in output.splitlines() if line.startswith('│ one '))
    assert '2 of 4' in row and f'{table.ratio.mean():.3f}' in row


def resting(model):
    model.backbone.blocks[2].mlp.fc1.weight.zero_()
    model.backbone.blocks[2].mlp.fc1.bias.fill_(-9.)


def test_where_no_pair_differs_there_is_no_part_between_images_and_it_is_said(trained, tool):
    output, table = tool(f'one={trained(change=resting)}', '--at', 'end', '--control', 'none')[1:]
    assert table[table.number == 2][['ratio', 'always', 'never']].values.tolist() == [[0., 0., 1.]]
    assert ('one, end: no between_images (real) for backbone.blocks.2, where no pair of an image and a neuron differs.\n'
            in output)
    row = next(line for line in output.splitlines() if line.startswith('│ one '))
    assert row.split('│')[-2].strip() == '-' and f'{table.ratio.mean():.3f}' in row


def test_runs_of_a_label_with_other_blocks_are_refused_before_work_begins(trained, tool, tmp_path, monkeypatch):
    run, short = trained(), f'{tmp_path}/short.py,{tmp_path}/short.pth'
    cfg = Config.fromfile(tmp_path / 'run.py')
    cfg.model.backbone.language.blocks = '0:2'
    cfg.dump(tmp_path / 'short.py')
    state = torch.load(tmp_path / 'run.pth')['state_dict']
    torch.save(dict(state_dict={name: tensor for name, tensor in state.items() if not name.startswith(
        ('backbone.blocks.2.', 'backbone.blocks.3.'))}), tmp_path / 'short.pth')
    monkeypatch.setattr(activation_ratios, '_blocks', lambda *args: pytest.fail('work began'))
    refused(tool(f'one={run}', f'one={short}', '--at', 'end'),
            f'one ({tmp_path}/short.pth): has 2 blocks, backbone.blocks.0 to backbone.blocks.1, and one '
            f'({tmp_path}/run.pth) has 4 blocks, backbone.blocks.0 to backbone.blocks.3; expected the same in all runs of a')


def refused(result, *texts):
    status, output, table = result
    assert status == 2 and table is None and len(output.strip().splitlines()) == 1, output
    assert all(text in output for text in texts), output


def test_a_pattern_that_no_block_has(trained, tool):
    refused(tool(trained(), '--module', 'neck.*', '--at', 'end'),
            'has backbone.blocks.0 to backbone.blocks.3; expected blocks that are called neck.*. Give another pattern')


def test_blocks_none_of_which_runs(trained, tool):
    refused(tool(trained(out_indices=1), '--module', '*.3', '--at', 'end'), 'none of its blocks *.3 ran')


def test_a_start_that_is_not_known(trained, tool):
    run = trained(seed=None)
    refused(tool(run), 'no randomness.seed')
    assert tool(run, '--at', 'end')[0] == 0
    refused(tool(run, '--module', 'neck.*', out='other'), 'expected blocks that are called neck.*')


def test_a_run_that_is_named_twice(trained, tool):
    run = trained()
    refused(tool(f'one={run}', f'two={run}'), 'this run is named twice. Name each run once')


def test_a_split_that_the_run_does_not_have(trained, tool):
    refused(tool(trained(), '--split', 'val', '--at', 'end'), 'has no val_dataloader. Give another split')


def test_a_file_that_is_not_there(trained, tool, tmp_path):
    refused(tool(trained(), tmp_path / 'none.py,none.pth'), 'none.py')


def test_padding_of_a_detector_s_batch_does_not_count(tmp_path, tool, folders):
    data = tiny_detection.write_dataset(tmp_path / 'data', num_val=4, sizes=[(64, 32), (32, 64)])
    language = dict(checkpoint=str(folders['gpt2']), config=None)
    cfg = tiny_detection.run_config(data, language=language, randomness=dict(seed=0))
    cfg.dump(tmp_path / 'detr.py')
    torch.save(dict(state_dict=tiny_detection.MODELS.build(cfg.model).state_dict()), tmp_path / 'detr.pth')
    run = f'{tmp_path}/detr.py,{tmp_path}/detr.pth'
    status, output, table = tool(run, '--at', 'end', '--control', 'none')
    assert status == 0, output
    assert table.block.tolist() == [f'{part}.layers.{number}' for part in ('encoder', 'decoder') for number in (0, 1)]

    opened, hidden, masks = OpenedRun(read_trained(run)), [], []
    model = opened.at_end()
    model.encoder.layers[1].mlp.fc2.register_forward_pre_hook(lambda module, args: hidden.append(args[0]))
    model.encoder.register_forward_pre_hook(lambda module, args, kwargs: masks.append([*args, *kwargs.values()][-1]),
                                            with_kwargs=True)
    with torch.no_grad():
        for images, samples in opened.images('test', 4, 4):
            model(**preprocess(model, images, samples), mode='tensor')
    real = masks[0][:, 0, 0]
    assert (~real).any(dim=1).all(), 'each image is padded'
    expected = torch.stack([units[tokens].mean(dim=0) > 0 for units, tokens in zip(hidden[0], real)]).double().mean()
    assert table.ratio[1] == pytest.approx(expected.item())
    assert expected != (hidden[0].mean(dim=1) > 0).double().mean(), 'with padding it would be another'


def test_of_a_rectified_model_it_is_the_vit_s_blocks_and_said(tmp_path, tool, folders):
    for seed, split in enumerate(('train', 'test')):
        write_image_folder(tmp_path / 'data' / split, dict(a=2, b=2, c=2), size=16, seed=seed)
    cfg = tiny_rectified.run_config(tmp_path / 'data', folders['gpt2'])
    cfg.dump(tmp_path / 'rectified.py')
    torch.save(dict(state_dict=tiny_rectified.build(folders['gpt2']).state_dict()), tmp_path / 'rectified.pth')
    run = f'{tmp_path}/rectified.py,{tmp_path}/rectified.pth'
    status, output, table = tool(f'aux={run}', '--at', 'end', '--control', 'none')
    assert status == 0, output
    assert "aux: measured are the blocks of its backbone. For the rectifier's own: --module 'rectifier.*'." in output

    opened, expected = OpenedRun(read_trained(run)), []
    model = opened.at_end()
    for layer in model.backbone.layers:
        layer.ffn.layers[1].register_forward_pre_hook(
            lambda module, args: expected.append((args[0].mean(dim=1) > 0).double().mean().item()))
    with torch.no_grad():
        for images, samples in opened.images('test', 6, 6):
            model(**preprocess(model, images, samples), mode='tensor')
    assert table.ratio.tolist() == pytest.approx(expected) and len(expected) == 3
    refused(tool(run, '--at', 'end', '--module', 'rectifier.*', out='other'), 'none of its blocks rectifier.* ran')


def test_the_command(trained, tmp_path):
    status, output = run_tool('analysis/activation.py', f'one={trained()}', '--at', 'end', '--out', tmp_path / 'out')
    assert status == 0 and 'Activation ratio (paper)' in output and (tmp_path / 'out' / 'activation.png').exists(), output
