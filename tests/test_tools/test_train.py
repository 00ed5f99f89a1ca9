"""tools/train.py: what a run leaves behind, that it can be stopped and resumed, its flags, and what it refuses."""
import json
import os
import re
import shutil
import signal
import time
from pathlib import Path
from typing import Dict

import pytest
import torch
from mmengine.config import Config
from torch import Tensor

from lbbt_mm.files.safe_checkpoints import load_checkpoint_safely
from tests.tiny_checkpoints import CONFIGS
from tests.tiny_detection import CLASSES, REPO, run_config, write_dataset
from tests.tool_processes import finish, run_tool, start


def load(path: Path) -> dict:
    return load_checkpoint_safely(path)


def weights(path: Path) -> Dict[str, Tensor]:
    return load(path)['state_dict']


def assert_same_weights(ours: Path, theirs: Path) -> None:
    ours, theirs = weights(ours), weights(theirs)
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


def scalars(work_dir: Path) -> list:
    """What the run logged, step by step."""
    path, = work_dir.glob('*/vis_data/scalars.json')
    return [json.loads(line) for line in path.read_text().splitlines()]


def last_error(output: str) -> str:
    """The error that a run ended with: its last line."""
    return output.strip().splitlines()[-1]


class TestRecords:

    def test_the_language_model_s_resolved_config_is_in_the_work_dir_and_in_every_checkpoint(self, trained):
        assert Config.fromfile(trained.config).model.language.config is None
        written = Config.fromfile(trained.dumped).model.language
        assert written.checkpoint == str(trained.language)
        meta = Config.fromstring(load(trained.checkpoint(1))['meta']['lbbt_mm_config_text'], '.py').model.language
        for language in (written, meta):
            assert language.config.model_type == 'llama'
            for key in ('hidden_size', 'num_attention_heads', 'num_key_value_heads', 'num_hidden_layers'):
                assert language.config[key] == CONFIGS['llama'][key]

    def test_the_load_report_is_in_the_log(self, trained):
        log, = trained.work_dir.glob('*/*.log')
        report = log.read_text()
        assert 'LanguageInit: arm language, seed 0' in report
        for row in ('encoder.layers.0', 'encoder.layers.1', 'decoder.layers.0', 'decoder.layers.1', 'model.safetensors'):
            assert row in report

    def test_training_went_on_from_the_copied_weights(self, trained, folders):
        """Six epochs at this rate move a weight by hundredths; a fresh init would be nowhere near."""
        from safetensors.torch import load_file
        source = load_file(folders['llama'] / 'model.safetensors')['model.layers.0.mlp.down_proj.weight']
        ours = weights(trained.checkpoint(1))['encoder.layers.0.mlp.fc2.weight']
        assert not torch.equal(ours, source)
        torch.testing.assert_close(ours, source, atol=0.02, rtol=0)


class TestResuming:

    def test_a_run_that_was_killed_ends_with_the_same_weights_without_its_language_model(
            self, trained, random_config, folders, tmp_path):
        """SIGKILL after epoch 2 and more; then the language model is gone, and the dumped config resumes.

        Dropout, drop path and augmentation draw random numbers throughout; one data worker.
        """
        shutil.copytree(folders['llama'], tmp_path / 'language')
        random_config(tmp_path / 'language').dump(tmp_path / 'run.py')
        work_dir, marker = tmp_path / 'work', tmp_path / 'work' / 'last_checkpoint'
        process = start('python', REPO / 'tools' / 'train.py', tmp_path / 'run.py', '--work-dir', work_dir)
        while process.poll() is None and not (marker.exists() and 'epoch_2' in marker.read_text()):
            time.sleep(0.002)
        os.killpg(process.pid, signal.SIGKILL)
        output = finish(process).output
        assert process.returncode == -signal.SIGKILL, output
        assert not (work_dir / 'epoch_6.pth').exists(), 'it was killed in the middle'
        shutil.rmtree(tmp_path / 'language')

        returncode, output = run_tool('train.py', work_dir / 'run.py', '--work-dir', work_dir, '--resume')
        assert returncode == 0, output
        assert 'Auto resumed from the latest checkpoint' in output and 'LanguageInit: arm' not in output
        assert_same_weights(work_dir / 'epoch_6.pth', trained.checkpoint(6))

    @pytest.mark.parametrize('which', ['dumped', 'config'])
    def test_an_epoch_of_one_s_choice_can_be_resumed(self, which, trained, tmp_path):
        """Though the language model is gone, which the config alone asks; mmengine's own records are in the checkpoint."""
        assert not trained.language.exists()
        assert load(trained.checkpoint(4))['message_hub']['log_scalars']
        returncode, output = run_tool(
            'train.py', getattr(trained, which), '--work-dir', tmp_path / 'work', '--resume', trained.checkpoint(4))
        assert returncode == 0, output
        assert not (tmp_path / 'work' / 'epoch_4.pth').exists()
        assert_same_weights(tmp_path / 'work' / 'epoch_6.pth', trained.checkpoint(6))

    def test_checkpoints_elsewhere_are_those_of_the_run_that_wrote_them_wherever_it_moves(
            self, random_config, folders, tmp_path):
        """mmengine would put those of both runs into store/work."""
        random_config(folders['llama']).dump(tmp_path / 'run.py')
        options = ['--cfg-options', f'default_hooks.checkpoint.out_dir={tmp_path}/store']

        def run(work_dir, *arguments):
            return run_tool('train.py', tmp_path / 'run.py', '--work-dir', work_dir, *arguments)

        returncode, output = run(tmp_path / 'a' / 'work', *options, 'train_cfg.max_epochs=1')
        assert returncode == 0, output
        first = (tmp_path / 'store' / 'work' / 'epoch_1.pth').read_bytes()
        for resume in ([], ['--resume']):
            returncode, output = run(tmp_path / 'b' / 'work', *resume, *options)
            assert returncode == 2 and output.endswith('or a work directory of another name.\n'), output
            assert f"{tmp_path}/store/work: holds epoch_1.pth of the run of {tmp_path}/a/work; expected" in output
        assert not (tmp_path / 'b').exists() and (tmp_path / 'store' / 'work' / 'epoch_1.pth').read_bytes() == first
        (tmp_path / 'a').rename(tmp_path / 'moved')
        returncode, output = run(tmp_path / 'moved' / 'work', '--resume', '--allow-change', 'max_epochs', *options,
                                 'train_cfg.max_epochs=2')
        assert returncode == 0 and 'resumed epoch: 1' in output, output
        assert (tmp_path / 'store' / 'work' / 'epoch_2.pth').exists()

    def test_one_from_elsewhere_is_refused_among_the_checkpoints_of_another_run(self, trained, tmp_path):
        mine = tmp_path / 'work' / 'epoch_5.pth'
        mine.parent.mkdir()
        mine.write_bytes(b'mine')
        source = trained.checkpoint(4)
        returncode, output = run_tool('train.py', trained.dumped, '--work-dir', mine.parent, '--resume', source)
        assert returncode == 2, output
        assert f'\n--resume {source}: {mine.parent} holds checkpoints already' in f'\n{output}', output
        assert list(mine.parent.iterdir()) == [mine] and mine.read_bytes() == b'mine'

    def test_the_number_of_workers_does_not_matter(self, trained, random_config, folders, tmp_path):
        random_config(folders['llama']).dump(tmp_path / 'run.py')
        returncode, output = run_tool('train.py', tmp_path / 'run.py', '--work-dir', tmp_path / 'work', '--cfg-options',
                                      'train_dataloader.num_workers=2')
        assert returncode == 0, output
        assert_same_weights(tmp_path / 'work' / 'epoch_6.pth', trained.checkpoint(6))

    def test_but_the_seed_does(self, trained, random_config, folders, tmp_path):
        random_config(folders['llama']).dump(tmp_path / 'run.py')
        returncode, output = run_tool('train.py', tmp_path / 'run.py', '--work-dir', tmp_path / 'work', '--cfg-options',
                                      'train_cfg.max_epochs=1', 'randomness.seed=1')
        assert returncode == 0, output
        ours, theirs = weights(tmp_path / 'work' / 'epoch_1.pth'), weights(trained.checkpoint(1))
        assert not torch.equal(ours['encoder.layers.0.attn.qkv.weight'], theirs['encoder.layers.0.attn.qkv.weight'])

    def test_a_fresh_run_without_its_language_model_is_one_error_before_training(self, trained, tmp_path):
        returncode, output = run_tool('train.py', trained.dumped, '--work-dir', tmp_path / 'work')
        assert returncode != 0
        assert last_error(output).startswith(f'{trained.language}: no such file')
        assert not list((tmp_path / 'work').glob('*.pth'))


class TestFlags:

    def test_amp_runs_in_bfloat16_on_a_cpu_and_learns(self, learned):
        cfg = Config.fromfile(learned.dumped)
        assert Config.fromfile(learned.config).optim_wrapper.type == 'OptimWrapper'
        assert cfg.optim_wrapper.type == 'lbbt_mm.AutocastOptimWrapper'
        losses = [step['loss'] for step in scalars(learned.work_dir) if 'loss' in step]
        assert losses[-1] < 0.4 * losses[0]
        assert {tensor.dtype for tensor in weights(learned.checkpoint(50)).values()} == {torch.float32}

    def test_what_it_learnt_shows_in_the_map(self, learned):
        evaluation = [step for step in scalars(learned.work_dir) if 'coco/bbox_mAP_50' in step]
        assert evaluation[-1]['coco/bbox_mAP_50'] > 0.4

    def test_auto_scale_lr_follows_the_batch_size(self, learned):
        """Written for a batch of 8, run with 4: half the rate."""
        rates = {step['lr'] for step in scalars(learned.work_dir) if 'lr' in step}
        assert rates == {2e-3}

    def test_cfg_options_change_the_language_model(self, learned):
        assert Config.fromfile(learned.config).model.language.checkpoint == 'nowhere/none'
        language = Config.fromfile(learned.dumped).model.language
        assert language.checkpoint == str(learned.language) and language.config.model_type == 'gpt2'

    def test_help_lists_them(self):
        returncode, output = run_tool('train.py', '--help')
        assert returncode == 0
        for flag in ('--work-dir', '--resume', '--amp', '--auto-scale-lr', '--cfg-options', '--launcher',
                     '--trust-checkpoint'):
            assert flag in output


class TestOtherProjects:

    @pytest.mark.slow  # tests/test_registry.py finds every type so
    def test_a_config_outside_the_checkout_that_only_names_the_type(self, data, folders, tmp_path):
        """On mmdet's base, with paths of its own, from a process that starts in its folder."""
        shutil.copytree(data, tmp_path / 'data')
        shutil.copytree(folders['gpt2'], tmp_path / 'gpt2')
        (tmp_path / 'mine.py').write_text(f'''
_base_ = 'mmdet::detr/detr_r50_8xb2-150e_coco.py'
model = dict(
    type='lbbt_mm.LanguageDETR',
    language=dict(checkpoint='gpt2', encoder_blocks='0:2', decoder_blocks='2:4'),
    num_queries=10,
    backbone=dict(_delete_=True, type='ResNet', depth=18, base_channels=8, stem_channels=8, out_indices=(3, ),
                  norm_cfg=dict(type='GN', num_groups=4), zero_init_residual=False),
    neck=dict(in_channels=[64], out_channels=None),
    encoder=dict(_delete_=True),
    decoder=dict(_delete_=True),
    positional_encoding=dict(num_feats=None),
    bbox_head=dict(num_classes={len(CLASSES)}, embed_dims=None),
    test_cfg=dict(max_per_img=10))
metainfo = dict(classes={CLASSES!r})
pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True), dict(type='PackDetInputs')]
train_dataloader = dict(batch_size=4, num_workers=1, dataset=dict(
    data_root='data/', metainfo=metainfo, filter_cfg=dict(min_size=1), pipeline=pipeline))
val_dataloader = dict(dataset=dict(data_root='data/', metainfo=metainfo))
val_evaluator = dict(ann_file='data/annotations/instances_val2017.json')
train_cfg = dict(max_epochs=1, val_interval=2)
''')
        returncode, output = finish(start('python', REPO / 'tools' / 'train.py', 'mine.py', cwd=tmp_path))
        assert returncode == 0, output
        work_dir = tmp_path / 'work_dirs' / 'mine'
        assert 'LanguageInit: arm language' in output and (work_dir / 'epoch_1.pth').is_file()
        # tools/train.py adds the hook that this config does not name, so it too can go on without the language model
        shutil.rmtree(tmp_path / 'gpt2')
        returncode, output = run_tool('train.py', work_dir / 'mine.py', '--resume', '--cfg-options',
                                      'train_cfg.max_epochs=2', '--allow-change', 'max_epochs', cwd=tmp_path)
        assert returncode == 0, output
        assert (work_dir / 'epoch_2.pth').is_file()

    def test_a_config_with_nothing_of_ours(self, data, tmp_path):
        """mmdet's own DETR."""
        cfg = run_config(data, train_cfg__max_epochs=1, train_cfg__val_interval=1)
        for key in ('language', 'norm', 'attn_drop', 'proj_drop'):
            cfg.model.pop(key)
        attention, ffn = dict(embed_dims=32, num_heads=4, batch_first=True), dict(embed_dims=32, feedforward_channels=64)
        cfg.model.update(
            type='DETR',
            encoder=dict(num_layers=1, layer_cfg=dict(self_attn_cfg=attention, ffn_cfg=ffn)),
            decoder=dict(num_layers=1, return_intermediate=True,
                         layer_cfg=dict(self_attn_cfg=attention, cross_attn_cfg=attention, ffn_cfg=ffn)))
        cfg.model.neck.out_channels = cfg.model.bbox_head.embed_dims = 32
        cfg.model.positional_encoding.num_feats = 16
        cfg.custom_hooks = []
        cfg.dump(tmp_path / 'stock.py')
        returncode, output = run_tool('train.py', 'stock.py', cwd=tmp_path)
        assert returncode == 0, output
        assert 'coco/bbox_mAP' in output and (tmp_path / 'work_dirs' / 'stock' / 'epoch_1.pth').is_file()


@pytest.fixture
def refused(tmp_path):

    """Runs what has to be refused before training; returns the error."""

    def run(cfg: Config, *arguments) -> str:
        cfg.dump(tmp_path / 'run.py')
        returncode, output = run_tool('train.py', tmp_path / 'run.py', '--work-dir', tmp_path / 'work', *arguments)
        assert returncode != 0, output
        assert 'Epoch(train)' not in output and not list(tmp_path.glob('work/*.pth'))
        return last_error(output)

    return run


class TestRefusals:
    """Each is one error before training, and leaves no checkpoint."""

    def test_an_annotation_file_that_is_absent(self, refused, tmp_path):
        assert refused(run_config(tmp_path / 'nowhere', language=dict(arm='host'))).startswith(
            f'train_dataloader.dataset.ann_file: {tmp_path}/nowhere/annotations/'
            'instances_train2017.json does not exist. Expected a COCO annotation file. Correct data_root')

    def test_categories_that_do_not_match(self, refused, tmp_path):
        data = write_dataset(tmp_path / 'data', 2, 2)
        path = data / 'annotations' / 'instances_train2017.json'
        path.write_text(path.read_text().replace('"category_id": ', '"category_id": 7'))
        error = refused(run_config(data, language=dict(arm='host')))
        assert error.startswith('train_dataloader.dataset.ann_file') and 'have category_id 7' in error

    def test_a_number_of_classes_that_contradicts(self, refused, data):
        error = refused(run_config(data, language=dict(arm='host'), model__bbox_head__num_classes=80))
        assert error.startswith('model.bbox_head.num_classes=80, but train_dataloader.dataset has 3 classes')

    def test_a_language_model_that_is_nowhere(self, refused, data):
        error = refused(run_config(data, language=dict(checkpoint='no-such-owner/no-such-model')))
        assert 'no-such-owner/no-such-model: neither a local path nor in the cache' in error
        assert 'give language.checkpoint a folder' in error

    def test_a_width_that_contradicts(self, refused, data):
        error = refused(run_config(data, model__neck__out_channels=256))
        assert error.startswith('') and 'neck.out_channels=256 contradicts the language model gpt2' in error

    def test_more_layers_than_blocks(self, refused, data):
        assert 'num_layers=12, but language.encoder_blocks' in refused(run_config(data, model__encoder__num_layers=12))

    def test_a_checkpoint_that_needs_unpickling_unless_it_is_trusted(self, refused, trained, data, tmp_path):
        """The file has everything a checkpoint has, and code that leaves a trace when it runs."""
        trace = tmp_path / 'trace'

        class LeavesATrace:

            def __reduce__(self):
                return os.makedirs, (str(trace), 0o777, True)

        torch.save(dict(load(trained.checkpoint(5)), extra=LeavesATrace()), tmp_path / 'evil.pth')
        cfg = Config.fromfile(trained.dumped)
        error = refused(cfg, '--resume', tmp_path / 'evil.pth')
        assert error.startswith(f'{tmp_path}/evil.pth: holds more than tensors')
        assert 'pass --trust-checkpoint' in error and not trace.exists()

        returncode, output = run_tool('train.py', tmp_path / 'run.py', '--work-dir', tmp_path / 'work', '--resume',
                                      tmp_path / 'evil.pth', '--trust-checkpoint')
        assert returncode == 0, output
        assert trace.is_dir()
        assert_same_weights(tmp_path / 'work' / 'epoch_6.pth', trained.checkpoint(6))

    def test_the_same_in_a_work_directory_that_is_resumed(self, refused, trained, tmp_path):
        (tmp_path / 'work').mkdir()
        latest = tmp_path / 'work' / 'latest'
        latest.write_bytes(b'\x80\x02cos\nmkdir\n(S"' + str(tmp_path / 'trace').encode() + b'"\ntR.')
        (tmp_path / 'work' / 'last_checkpoint').write_text(str(latest))
        error = refused(Config.fromfile(trained.dumped), '--resume')
        assert error.startswith(f'{latest}: holds more than tensors') and not (tmp_path / 'trace').exists()

    def test_a_truncated_checkpoint(self, refused, trained, tmp_path):
        whole = trained.checkpoint(3).read_bytes()
        (tmp_path / 'epoch_3.pth').write_bytes(whole[:len(whole) // 2])
        error = refused(Config.fromfile(trained.dumped), '--resume', tmp_path / 'epoch_3.pth')
        assert error.startswith(f'{tmp_path}/epoch_3.pth: is not a complete PyTorch checkpoint')

    @pytest.mark.parametrize('give', ('--resume', 'load_from', 'init_cfg'))
    def test_a_checkpoint_that_is_absent(self, refused, trained, tmp_path, give):
        cfg, absent = Config.fromfile(trained.dumped), tmp_path / 'epoch_9.pth'
        if give == 'load_from':
            cfg.load_from = str(absent)
        elif give == 'init_cfg':
            cfg.model.backbone.init_cfg = dict(type='Pretrained', checkpoint=str(absent))
        error = refused(cfg, *(['--resume', absent] if give == '--resume' else []))
        assert error.startswith(f'{absent}: no such checkpoint file') and not (tmp_path / 'work').exists()

    def test_a_checkpoint_to_start_from_comes_instead_of_the_language_weights(self, data, folders, trained, tmp_path):
        cfg = run_config(data, 'llama', language=dict(checkpoint=str(folders['llama'])), train_cfg__max_epochs=1,
                         model__init_cfg=dict(type='Pretrained', checkpoint=str(trained.checkpoint(6))))
        cfg.dump(tmp_path / 'run.py')
        returncode, output = run_tool('train.py', tmp_path / 'run.py', '--work-dir', tmp_path / 'work')
        assert returncode == 0, output
        assert f'init_cfg of type Pretrained loads {trained.checkpoint(6)}: the blocks start from it' in output
        assert 'LanguageInit: arm' not in output


class TestCheckpointsThatDoNotFit:
    """Named by tensor and shapes, in the run that would have gone on with half of them or with another experiment."""

    @pytest.fixture
    def resumed(self, refused, trained, tmp_path):
        """Resumes the trained run with another config."""

        def run(*options, allow=()) -> str:
            allowed = ['--allow-change', *allow] if allow else []
            return refused(Config.fromfile(trained.dumped), '--resume', trained.checkpoint(4), *allowed, '--cfg-options',
                           *options)

        return run

    @pytest.mark.parametrize('option, key', [
        ('model.language.arm=host', 'model.language.arm'), ('model.language.arm=shuffled', 'model.language.arm'),
        ('model.num_queries=12', 'model.num_queries'), ('randomness.seed=9', 'randomness.seed')])
    def test_another_experiment(self, resumed, trained, option, key):
        error = resumed(option)
        assert error.startswith(f'{trained.checkpoint(4)}: was trained by another config: {key} is ')
        assert f'or go on all the same with --allow-change {key}.' in error

    def test_another_number_of_queries_even_if_that_may_differ(self, resumed):
        error = resumed('model.num_queries=12', allow=['num_queries'])
        assert re.search(r'.*epoch_4.pth: does not fit this config: query_embedding.weight has shape '
                         r'\(\d+, \d+\) there and \(12, \d+\) in this model. A resumed run has the model of its checkpoint',
                         error)

    def test_optimizer_state_of_other_shapes(self, refused, trained, tmp_path):
        """The model's own tensors fit: torch's fused optimizer would write beyond its memory."""
        checkpoint = load(trained.checkpoint(4))
        state = checkpoint['optimizer']['state']
        index = next(index for index in state if state[index]['exp_avg'].ndim == 2)
        state[index]['exp_avg'] = state[index]['exp_avg'][:1].clone()
        torch.save(checkpoint, tmp_path / 'odd.pth')
        error = refused(Config.fromfile(trained.dumped), '--resume', tmp_path / 'odd.pth')
        assert re.search(r'.*odd.pth: the optimizer state exp_avg of \S+ has shape \(1, \d+\) there',
                         error)

    def test_weights_alone_cannot_be_resumed(self, refused, trained, tmp_path):
        torch.save(dict(state_dict=weights(trained.checkpoint(4))), tmp_path / 'weights.pth')
        error = refused(Config.fromfile(trained.dumped), '--resume', tmp_path / 'weights.pth')
        assert 'holds no epoch and no iter and no optimizer and no message_hub, so no run can be resumed' in error

    def test_load_from_of_another_number_of_classes(self, refused, data, trained):
        cfg = Config.fromfile(trained.dumped)
        cfg.model.num_queries, cfg.model.language.arm = 12, 'host'
        cfg.load_from = str(trained.checkpoint(4))
        assert 'say what is meant to start anew: --leave-out query_embedding.' in refused(cfg)
        error = refused(cfg, '--leave-out', 'query_embeding')
        assert 'neither the checkpoint nor the model has a part of that name' in error


class TestCheckpoints:

    def test_load_from_with_a_part_left_out_says_what_came_from_where(self, trained, folders, tmp_path):
        cfg = Config.fromfile(trained.dumped)
        cfg.model.num_queries, cfg.model.language.arm = 12, 'host'
        cfg.load_from, cfg.leave_out, cfg.train_cfg.max_epochs = str(trained.checkpoint(4)), ['query_embedding'], 1
        cfg.dump(tmp_path / 'run.py')
        returncode, output = run_tool('train.py', tmp_path / 'run.py', '--work-dir', tmp_path / 'work')
        assert returncode == 0, output
        assert re.search(r'\| query_embedding +\| +0 \| +1 \| +1 \|', output)
        assert re.search(r'\| encoder.layers +\| +\d+ \| +0 \| +0 \|', output)
        assert len(weights(tmp_path / 'work' / 'epoch_1.pth')['query_embedding.weight']) == 12

    def test_a_change_without_effect_is_named_and_the_dumped_config_tells_the_truth(self, trained, tmp_path):
        returncode, output = run_tool(
            'train.py', trained.dumped, '--work-dir', tmp_path / 'work', '--resume', trained.checkpoint(5), '--cfg-options',
            'optim_wrapper.optimizer.lr=0.5', 'train_dataloader.num_workers=0', 'train_dataloader.persistent_workers=False')
        assert returncode == 0, output
        lr = Config.fromfile(trained.dumped).optim_wrapper.optimizer.lr
        assert f'optim_wrapper.optimizer.lr is {lr} there, 0.5 asked: without effect, since a resumed run takes it' in output
        assert Config.fromfile(tmp_path / 'work' / trained.dumped.name).optim_wrapper.optimizer.lr == lr
        assert_same_weights(tmp_path / 'work' / 'epoch_6.pth', trained.checkpoint(6))

    def test_a_seed_that_was_drawn_is_kept(self, trained, random_config, folders, tmp_path):
        """A resumed run whose config has no seed draws no other one: its images come in the order of the first run."""
        cfg = random_config(folders['llama'])
        cfg.randomness, cfg.train_cfg.max_epochs = dict(seed=None), 3
        cfg.dump(tmp_path / 'run.py')
        returncode, output = run_tool('train.py', tmp_path / 'run.py', '--work-dir', tmp_path / 'whole')
        assert returncode == 0, output
        returncode, output = run_tool('train.py', tmp_path / 'run.py', '--work-dir', tmp_path / 'resumed', '--resume',
                                      tmp_path / 'whole' / 'epoch_1.pth')
        assert returncode == 0, output
        assert_same_weights(tmp_path / 'resumed' / 'epoch_3.pth', tmp_path / 'whole' / 'epoch_3.pth')
