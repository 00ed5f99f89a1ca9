"""Cells: which combinations of settings there are, and what each arm is trained with in each of them."""
import argparse

import pandas as pd
import pytest

from lbbt_mm.experiments.cells import Cell, combine, read_levels
from lbbt_mm.experiments.plan import Plan
from lbbt_mm.experiments.source import Source
from tests.experiment_folder import request, results
from tests.fake_training import behave, starts

WIDTHS = 'model.backbone.width=8,16'


@pytest.mark.parametrize('text, values', [
    ('a.b=1,2', ['1', '2']), ('b=x,y,z', ['x', 'y', 'z']), ('b=[1,2],[3,4]', ['[1,2]', '[3,4]']),
    ('b=(1,2),3', ['(1,2)', '3']), ('b=[[1,2],[3]],[[4]]', ['[[1,2],[3]]', '[[4]]']),
    ('b="p, q",r', ['"p, q"', 'r']), ('b=a=1,2', ['a=1', '2'])])
def test_values_are_split_at_commas_of_their_own(text, values):
    key = text.split('=')[0]
    assert read_levels(text) == [Cell(f'b={value}', (f'{key}={value}', )) for value in values]


@pytest.mark.parametrize('text', ['b', 'b=', 'b=1', '=1,2', 'b=1,1', 'b=[1,2'])
def test_what_is_no_choice_of_values(text):
    with pytest.raises(argparse.ArgumentTypeError, match='expected KEY=VALUE,VALUE with two values or more'):
        read_levels(text)


def test_every_combination_is_a_cell():
    cells = combine([read_levels('x.a=1,2')], [['ours'], ['theirs', 'x.b=3', 'x.c=4']])
    assert cells == [Cell('ours+a=1', ('x.a=1', )), Cell('ours+a=2', ('x.a=2', )),
                     Cell('theirs+a=1', ('x.b=3', 'x.c=4', 'x.a=1')), Cell('theirs+a=2', ('x.b=3', 'x.c=4', 'x.a=2'))]
    assert combine([], []) == [Cell()]


@pytest.mark.parametrize('levels, named, message', [
    ([], [['ours', 'theirs', 'a=1']], 'found theirs; expected NAME KEY=VALUE'),
    ([], [['ours'], ['ours', 'a=3']], "found the name 'ours'; expected names that differ"),
    (['a=x/1,x/2'], [], "found the name 'a=x/1'; expected names .* part of that of a folder"),
])
def test_what_does_not_fit_together(levels, named, message):
    with pytest.raises(ValueError, match=message):
        combine(list(map(read_levels, levels)), named)


class TestExperiment:

    def test_each_arm_is_trained_in_each_cell_and_compared_within_it(self, compare, folder):
        status, output = compare('--cells', WIDTHS, '--probe', folder / 'probe.py', seeds='0 1')
        assert status == 0 and len(starts(folder)) == 2 * 2 * 2 * 2
        for width in (8, 16):
            for place in ('', '/probes/probe'):
                backbone = request(folder, f'width={width}-random-seed1-lr0.01{place}')['model']['backbone']
                assert (backbone['width'], backbone['language']['arm']) == (width, 'random')
            assert f'accuracy/top1: width={width}-language - width={width}-random: +16.5 [' in output
        assert results(folder)['cell'].tolist() == ['width=8', 'width=8', 'width=16', 'width=16'] * 2

    def test_the_table_has_a_row_an_arm_and_a_column_a_cell(self, compare, folder):
        status, output = compare('--cells', WIDTHS)
        page = (folder / 'out' / 'summary.md').read_text()
        assert '| arm | width=8 | width=16 |\n| --- | --- | --- |\n| language | ' in page
        header = next(line for line in output.splitlines() if 'metric' in line)
        assert header.index('arm') < header.index('width=8') < header.index('width=16')
        table = pd.read_csv(folder / 'out' / 'summary.csv')
        assert table[['cell', 'arm']].values.tolist() == [
            ['width=8', 'width=8-language'], ['width=8', 'width=8-random'], ['width=16', 'width=16-language'],
            ['width=16', 'width=16-random']]
        curves = pd.read_csv(folder / 'out' / 'curves.csv')
        assert set(curves['cell']) == {'width=8', 'width=16'} and set(curves['arm']) == {'language', 'random'}

    def test_each_arm_chooses_its_learning_rate_in_each_cell(self, compare, folder):
        behave(folder, **{'width=16-random-seed0-lr0.01': 'nan'})
        assert compare('--cells', WIDTHS, '--lrs', 0.01, 0.1, seeds='0')[0] == 0
        rates = pd.read_csv(folder / 'out' / 'summary.csv').set_index('arm')['lr']
        assert rates['width=8-random'] == 0.01 and rates['width=16-random'] == rates['width=16-language'] == 0.1

    def test_language_models_and_cells(self, folder):
        plan = Plan(folder / 'bridge.py', folder / 'out', ['random'], [0], [Source('a', 'x'), Source('b', 'y')],
                    combine([read_levels('model.backbone.language.init_std=1,2')], []))
        assert [str(run) for run in plan.all_runs()] == [
            'init_std=1-a-random-seed0-lr0.01', 'init_std=1-b-random-seed0-lr0.01', 'init_std=2-a-random-seed0-lr0.01',
            'init_std=2-b-random-seed0-lr0.01']

    @pytest.mark.parametrize('options, message', [
        (['--cfg-options', 'model.backbone.width=4'], '--cfg-options model.backbone.width=4: this key is what'),
        (['--probe-cfg-options', 'model.backbone.width=4'], '--probe-cfg-options model.backbone.width=4: this key is what'),
        (['--cell', 'ours', '--cell', 'theirs', 'model.backbone.language.arm=host'],
         '--cells model.backbone.language.arm=host: this key is what'),
        (['--lrs', '0.1', '--cells', 'SGD.lr=1,2'], '--cells SGD.lr=1: this key is what the experiment varies'),
        (['--cells', 'randomness.seed=3,4', 'model.backbone.width=9,10'], 'this key is what'),
        (['--cell', 'ours', 'model.backbone.width=3'], 'model.backbone.width is set twice in the cell ours+width=8'),
        (['--cells', 'randomness.seed=1,2'], '--cells randomness.seed=1: this key is what the experiment varies'),
        (['--cells', 'optim_wrapper.optimzer.lr=1,2'],
         "--cells, --cell: cell width=8+lr=1: optim_wrapper.optimzer.lr: optim_wrapper has no 'optimzer'"),
        (['--cells', 'RandomLabel.ratio=0,1'],
         "cell width=8+ratio=0: RandomLabel.ratio: no part of the config that a run reads has type='RandomLabel'"),
        (['--probe-cfg-options', 'optim_wrapper.optimzer.lr=1'], '--probe-cfg-options optim_wrapper.optimzer.lr: optim_'),
    ])
    def test_keys_that_clash_or_that_nothing_reads(self, compare, folder, options, message):
        status, output = compare('--cells', WIDTHS, '--probe', folder / 'probe.py', *options)
        assert status == 2 and not starts(folder)
        assert message in output

    @pytest.mark.parametrize('options, names', [
        ('--cell a model.backbone.width=1 --cell b model.backbone.width=1', 'a and b'),
        ('--cell a --cell b model.backbone.width=8', 'a and b'),
        ('--cells model.backbone.width=1,1.0', 'width=1 and width=1.0'),
        ('--cells model.backbone.language.init_std=0.1,0.3,0.30', 'init_std=0.3 and init_std=0.30'),
        ('--cells data_root=a,"a"', 'data_root=a and data_root="a"'),
        ('--cells find_unused_parameters=False,false model.backbone.width=8,9',
         'find_unused_parameters=False+width=8 and find_unused_parameters=false+width=8'),
    ])
    def test_cells_that_are_one_however_they_are_written(self, compare, folder, options, names):
        status, output = compare(*options.split(), '--probe', folder / 'probe.py')
        assert status == 2 and output.count('\n') == 1 and not starts(folder)
        assert f'--cells, --cell: {names} come to the same config, so the same would be trained twice.' in output

    def test_two_names_of_one_language_model(self, folder):
        plan = Plan(folder / 'bridge.py', folder / 'out', ['language'], [0], [Source('a', 'x'), Source('b', 'x')])
        with pytest.raises(ValueError, match='--sources: a and b come to the same config'):
            plan.refuse_equal()

    @pytest.mark.parametrize('arms', ['random_tuned random', 'random random_tuned'])
    def test_cells_that_are_one_for_some_of_the_arms(self, compare, folder, arms):
        options = ['--stds', 0.01, 0.02, '--cells', 'model.backbone.language.init_std=0.1,0.3']
        status, output = compare(*options, arms=arms, seeds='0')
        assert status == 0, output
        stds = [request(folder, f'init_std={std}-random-seed0-lr0.01')['model']['backbone']['language']['init_std']
                for std in (0.1, 0.3)]
        assert stds == [0.1, 0.3]
        status, output = compare(*options, '--fresh', '--baseline-arm', 'random_tuned', arms='random_tuned', seeds='0')
        assert status == 2 and 'init_std=0.1 and init_std=0.3 come to the same config' in output

    def test_an_experiment_of_before_with_equal_cells_is_reported(self, compare, folder, monkeypatch):
        cells = ['--cells', 'model.backbone.width=8,8.0']
        with monkeypatch.context() as before:
            before.setattr(Plan, 'refuse_equal', lambda plan: None)
            assert compare(*cells, seeds='0')[0] == 0
        (folder / 'out' / 'summary.md').unlink()
        assert compare(*cells, '--report-only', seeds='0')[0] == 0 and (folder / 'out' / 'summary.md').is_file()
        for more in ((), ('--dry-run', )):
            status, output = compare(*cells, *more, seeds='0')
            assert status == 2 and 'come to the same config' in output

    def test_cells_that_differ_in_a_probe_alone(self, folder):
        path = folder / 'probe.py'
        path.write_text(path.read_text().replace('width=8', 'width=9'))
        cells = combine([], [['ours'], ['theirs', 'model.backbone.width=8']])
        plan = Plan(folder / 'bridge.py', folder / 'out', ['language'], [0], cells=cells, probes=[path])
        plan.refuse_equal()
        assert len(plan.all_runs()) == 2

    def test_runs_that_failed_show_what_failed_and_how_many_are_counted(self, compare, folder):
        behave(folder, **{'width=8-language-seed0-lr0.01': 'fail', 'width=8-random-seed0-lr0.01': 'fail'})
        status, output = compare('--cells', WIDTHS, '--keep-going', seeds='0 1')
        assert status == 1 and 'KeyError' not in output
        assert '(1 of 2 finished)' in (folder / 'out' / 'summary.md').read_text()

    def test_an_experiment_without_a_validation_says_what_went_wrong(self, compare, folder):
        behave(folder, **{f'width={width}-{arm}-seed0-lr0.01': 'fail'
                          for width in (8, 16) for arm in ('language', 'random')})
        status, output = compare('--cells', WIDTHS, seeds='0')
        assert status == 1 and 'KeyError' not in output and 'failed' in output
