"""What tools/test.py adds to a config: test-time augmentation, pictures, dumped predictions."""
import pytest
import torch
from mmengine.config import Config

from lbbt_mm.launch.test import parse_args
from lbbt_mm.launch.testing import dump_metric, enable_painting, enable_tta, load_test_config
from tests.tiny_detection import run_config, write_dataset


def test_what_a_training_left_out_of_another_checkpoint_is_tested(tmp_path):
    hooks = [dict(type='lbbt_mm.CheckpointFitHook', leave_out=['neck'], allow_change=['a'])]
    cfg = run_config(write_dataset(tmp_path / 'data', num_train=2, num_val=1), leave_out=['bbox_head'], custom_hooks=hooks)
    cfg.dump(tmp_path / 'run.py')
    torch.save(dict(state_dict={}), tmp_path / 'end.pth')
    found = load_test_config(parse_args([str(tmp_path / name) for name in ('run.py', 'end.pth')]))
    hook, = (hook for hook in found.custom_hooks if hook.type.endswith('CheckpointFitHook'))
    assert 'leave_out' not in found and 'leave_out' not in hook and hook.allow_change == ['a']


class TestTTA:

    def test_detection_averages_an_image_with_its_mirror_image(self):
        cfg = run_config()
        model, pipeline = cfg.model, list(cfg.test_dataloader.dataset.pipeline)
        enable_tta(cfg)
        assert cfg.model.type == 'DetTTAModel' and cfg.model.module == model
        changed = cfg.test_dataloader.dataset.pipeline
        assert changed[:-1] == pipeline[:-1], 'sizes are those of the test pipeline'
        flips, (pack, ) = changed[-1].transforms
        assert [flip.prob for flip in flips] == [1., 0.]
        assert {'flip', 'flip_direction'} <= set(pack.meta_keys)

    def test_a_config_s_own_are_used(self):
        own = [dict(type='Mine')]
        cfg = run_config(tta_model=dict(type='MyTTAModel', weight=2), tta_pipeline=own)
        enable_tta(cfg)
        assert cfg.model.type == 'MyTTAModel' and cfg.model.weight == 2
        assert cfg.test_dataloader.dataset.pipeline == own

    def test_the_data_set_inside_a_wrapper_gets_the_pipeline(self):
        cfg = run_config()
        cfg.test_dataloader.dataset = dict(type='RepeatDataset', times=1, dataset=cfg.test_dataloader.dataset)
        enable_tta(cfg)
        assert cfg.test_dataloader.dataset.dataset.pipeline[-1].type == 'TestTimeAug'

    def test_classification_has_a_default_too(self):
        cfg = Config(dict(
            default_scope='mmpretrain', model=dict(type='ImageClassifier'),
            test_dataloader=dict(dataset=dict(pipeline=[dict(type='LoadImageFromFile'), dict(type='PackInputs')]))))
        enable_tta(cfg)
        assert cfg.model.type == 'AverageClsScoreTTA'
        flips, pack = cfg.test_dataloader.dataset.pipeline[-1].transforms
        assert [flip.prob for flip in flips] == [1., 0.] and pack == [dict(type='PackInputs')]

    def test_a_codebase_without_a_default_is_an_error(self):
        with pytest.raises(ValueError, match="--tta: the config has no tta_model.*default_scope='mmseg'"):
            enable_tta(Config(dict(default_scope='mmseg', model=dict())))


class TestPainting:

    def test_detection_paints_below_the_run_s_folder(self):
        cfg = run_config()
        enable_painting(cfg, 'pictures')
        assert cfg.default_hooks.visualization.draw and cfg.default_hooks.visualization.test_out_dir == 'pictures'
        assert cfg.visualizer.save_dir == 'pictures'

    def test_classification_has_its_own_words(self):
        cfg = Config(dict(default_scope='mmpretrain', default_hooks=dict(visualization=dict(type='VisualizationHook'))))
        enable_painting(cfg, 'pictures')
        assert cfg.default_hooks.visualization == dict(type='VisualizationHook', enable=True, out_dir='pictures')

    def test_a_config_without_the_hook_is_an_error(self):
        with pytest.raises(ValueError, match='--show-dir needs default_hooks.visualization in the config; found none'):
            enable_painting(Config(dict(default_hooks=dict())), 'pictures')


class TestDump:

    @pytest.mark.parametrize('scope, kind', [('mmdet', 'mmdet.DumpDetResults'), ('mmseg', 'DumpResults'),
                                             (None, 'DumpResults')])
    def test_the_metric_follows_the_codebase(self, scope, kind):
        assert dump_metric(scope, 'out.pkl') == dict(type=kind, out_file_path='out.pkl')
