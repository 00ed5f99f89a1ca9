"""The tools, given files that would leave a trace if they ran: none does, and one line says why."""
import os
import pickle
import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from tests.hostile_files import Call, config_that_runs, write_checkpoint, yaml_that_runs
from tests.tiny_detection import REPO, run_config
from tests.tool_processes import run_tool


@pytest.fixture
def trace(tmp_path) -> Path:
    return tmp_path / 'trace'


@pytest.fixture
def config(data, tmp_path):
    """Writes a config that trains without language weights."""

    def write(**overrides) -> Path:
        run_config(data, language=dict(arm='host'), **overrides).dump(tmp_path / 'run.py')
        return tmp_path / 'run.py'

    return write


def refuse(trace: Path, expected: str, tool: str, *arguments, **env) -> None:
    """Run a tool that has to end with an error, and to leave no trace."""
    folder = trace.parent
    place = '--out' if tool == 'compare_arms.py' else '--work-dir'
    returncode, output = run_tool(tool, *arguments, place, folder / 'work', **{**dict(HOME=folder), **env})
    assert returncode != 0 and re.search(expected, output), output
    assert not trace.exists()


# found by mmengine's loader alone; with names that its list of allowed ones has
EVIL = '~/evil.pth'
HOSTILE = r'~/evil\.pth: holds more than tensors and mmengine.s own records \(Unsupported GLOBAL getattr'


@pytest.fixture
def evil(tmp_path, trace) -> Path:
    return Path(write_checkpoint(tmp_path / 'evil.pth', trace, 'getattr'))


class TestCheckpoints:

    def test_load_from(self, evil, config, trace):
        refuse(trace, HOSTILE, 'train.py', config(load_from=EVIL))

    def test_resume(self, evil, config, trace):
        refuse(trace, HOSTILE, 'train.py', config(), '--resume', EVIL)

    @pytest.mark.parametrize('settings', [
        dict(model__backbone__init_cfg=dict(type='Pretrained', checkpoint=EVIL)),
        dict(model__backbone__init_cfg=[dict(type='mmengine.model.PretrainedInit', checkpoint=EVIL)]),
        dict(model__backbone__pretrained=EVIL, model__backbone__init_cfg=None)
    ])
    def test_an_initialisation_step(self, settings, evil, config, trace):
        refuse(trace, HOSTILE, 'train.py', config(**settings))

    def test_test(self, evil, config, trace):
        refuse(trace, 'evil.pth', 'test.py', config(), EVIL)
        refuse(trace, r'/evil\.pth: holds more than tensors', 'test.py', config(), evil)

    def test_lbbt(self, evil, config, trace):
        refuse(trace, HOSTILE, 'lbbt.py', config(), '--cfg-options', f'load_from={EVIL}')

    @pytest.mark.slow  # it starts the process that test_lbbt does
    def test_compare_arms(self, evil, config, trace):
        refuse(trace, HOSTILE, 'compare_arms.py', config(), '--arms', 'host', 'random', '--seeds', '0',
               '--cfg-options', f'load_from={EVIL}')

    def test_the_user_may_vouch_for_it(self, evil, config, trace):
        returncode, output = run_tool('train.py', config(load_from=EVIL), '--work-dir', trace.parent / 'work',
                                      '--trust-checkpoint', HOME=trace.parent)
        assert trace.is_dir(), output

    def test_a_config_in_a_checkpoint_that_is_resumed(self, trained, trace, tmp_path):
        """The weights are as they were; ten strings more would run when mmengine resumes."""
        checkpoint = torch.load(trained.checkpoint(5), weights_only=False)
        checkpoint['meta']['config'] = config_that_runs(trace)
        torch.save(checkpoint, tmp_path / 'epoch_5.pth')
        returncode, output = run_tool('train.py', trained.dumped, '--work-dir', tmp_path / 'work', '--resume',
                                      tmp_path / 'epoch_5.pth')
        assert returncode == 0 and (tmp_path / 'work' / 'epoch_6.pth').is_file(), output
        assert not trace.exists()


class TestConfigs:

    @pytest.mark.parametrize('tool, arguments', [
        ('train.py', ()), ('test.py', ('epoch_1.pth', )), ('lbbt.py', ()), ('compare_arms.py', ()),
        ('lbbt.py', ('--probe', 'evil.yaml'))
    ])
    def test_tags_in_yaml(self, tool, arguments, config, trace, tmp_path):
        (tmp_path / 'evil.yaml').write_text(yaml_that_runs(trace))
        arguments = [tmp_path / argument if argument.endswith('yaml') else argument for argument in arguments]
        refuse(trace, r'evil\.yaml: not plain YAML \(the tag !!python/object/apply:os\.mkdir in line 1', tool,
               config() if '--probe' in arguments else tmp_path / 'evil.yaml', *arguments)

    @pytest.mark.parametrize('suffix', ['yaml', 'json'])
    def test_functions_in_data(self, suffix, config, trace, tmp_path):
        cfg = Config.fromfile(config())
        cfg.custom_hooks = [dict(type='os.mkdir', path=str(trace))]
        cfg.dump(tmp_path / f'run.{suffix}')
        refuse(trace, r"type='os\.mkdir' would be imported, which runs it", 'train.py', tmp_path / f'run.{suffix}')

    def test_a_whole_run_from_yaml(self, config, tmp_path):
        Config.fromfile(config(train_cfg__max_epochs=1)).dump(tmp_path / 'plain.yaml')
        returncode, output = run_tool('train.py', tmp_path / 'plain.yaml', '--work-dir', tmp_path / 'work')
        assert returncode == 0 and (tmp_path / 'work' / 'epoch_1.pth').is_file(), output

    def test_values_of_environment_variables(self, trace):
        refuse(trace, r'annotations/instances_train2017\.json does not exist', 'train.py',
               REPO / 'configs' / 'small' / 'detr_gpt2_coco.py',
               LBBT_DATA_ROOT=f"x' + str(__import__('os').mkdir({str(trace)!r})) + '")
        refuse(trace, 'the value of an environment variable, .* would be read as code', 'train.py',
               REPO / 'configs' / 'small' / 'segmenter_gpt2_ade20k.py',
               LBBT_NUM_CLASSES=f"__import__('os').mkdir({str(trace)!r})")


class TestData:

    def test_proposals(self, config, trace, tmp_path):
        (tmp_path / 'evil.pkl').write_bytes(pickle.dumps(Call(os.mkdir, str(trace))))
        refuse(trace, r'not a pickle of plain data \(it asks for posix\.mkdir\)', 'train.py',
               config(train_dataloader__dataset__proposal_file=str(tmp_path / 'evil.pkl')))
