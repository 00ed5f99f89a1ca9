"""tools/compare_arms.py: its own options. What it does is tested with the module that does it.

``tests/fake_training.py`` stands in for the trainings; test_lbbt.py has a comparison of real ones.
"""
import pandas as pd
import pytest

from tests.experiment_folder import request, results, summary
from tests.fake_training import behave, starts
from tests.tool_processes import run_tool


def test_the_baseline_arm_must_be_among_the_arms(compare, capfd):
    with pytest.raises(SystemExit):
        compare(arms='language host')
    assert '--baseline-arm random is not among --arms language host' in capfd.readouterr().err
    assert compare('--baseline-arm', 'host', arms='language host', seeds='0')[0] == 0


def test_one_arm_alone_is_its_own_baseline(compare):
    assert compare(arms='language', seeds='0')[0] == 0


def test_help():
    status, output = run_tool('compare_arms.py', '--help')
    assert status == 0
    for word in ('--arms', '--lr-rule', 'random labels included', 'section 6', '--shard', '--report-only'):
        assert word in output


class TestSources:

    @pytest.fixture
    def sources(self, folders) -> list:
        """Two language models, one a table."""
        return ['--sources', f'a={folders["gpt2"]}', f'b={folders["llama"]}']

    def test_arms_of_several_language_models_in_one_table(self, compare, folder, folders, sources):
        status, output = compare(*sources, '--probe', folder / 'probe.py', seeds='0 1')
        assert status == 0 and len(starts(folder)) == 2 * 2 * 2 * 2
        for source, family in (('a', 'gpt2'), ('b', 'llama')):
            for place in ('', '/probes/probe'):
                language = request(folder, f'{source}-random-seed1-lr0.01{place}')['model']['backbone']['language']
                assert language == dict(checkpoint=str(folders[family]), config=None, arm='random', seed=1)
        table = results(folder)
        assert list(table.columns[:4]) == ['source', 'arm', 'seed', 'lr'] and table['source'].tolist() == list('aabb' * 2)
        assert summary(folder).index.tolist() == ['a-language', 'a-random', 'b-language', 'b-random']
        assert set(pd.read_csv(folder / 'out' / 'curves.csv')['arm']) == set(summary(folder).index)
        assert '| b-language | 0.01 | 2 | 57.5 |' in (folder / 'out' / 'summary.md').read_text()
        for source in 'ab':
            assert f'accuracy/top1: {source}-language - {source}-random: +16.5 [' in output, 'each with its own baseline'

    def test_each_chooses_its_own_learning_rate(self, compare, folder, sources):
        behave(folder, **{'b-random-seed0-lr0.01': 'nan'})
        assert compare(*sources, '--lrs', 0.01, 0.1, seeds='0')[0] == 0
        assert summary(folder)['lr'].to_dict() == {'a-language': 0.01, 'a-random': 0.01, 'b-language': 0.1, 'b-random': 0.1}

    def test_two_of_one_name_are_refused(self, compare, folder, capfd):
        with pytest.raises(SystemExit) as caught:
            compare('--sources', 'a=b', 'a=c')
        assert caught.value.code == 2 and 'each language model needs a name of its own' in capfd.readouterr().err
        assert not starts(folder)

    def test_one_that_is_not_there_stops_before_the_first_run(self, compare, folder, sources):
        status, output = compare(*sources, 'c=/nowhere', seeds='0')
        assert status == 2 and '/nowhere does not exist' in output and not starts(folder)
