"""Which checkpoint a run takes, and how it saves its own."""
from argparse import Namespace
from pathlib import Path
from unittest.mock import MagicMock

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import CheckpointHook

from lbbt_mm.launch import checkpoints


def write_checkpoint(path: Path) -> Path:
    torch.save(dict(state_dict={}), path)
    return path


@pytest.mark.parametrize('resumed, parts', [(None, ['neck', 'head']), ('epoch_1.pth', ['head'])])
def test_a_resumed_run_does_not_read_what_its_config_leaves_parts_out_of(resumed, parts, monkeypatch):
    monkeypatch.setattr(checkpoints, 'set_checkpoint', lambda runner, path: None)
    runner, cfg = MagicMock(), Config(dict(load_from='start.pth', leave_out='neck'))
    checkpoints.check_fit(runner, cfg, Namespace(leave_out=['head']), resumed=resumed)
    hook, = runner.register_hook.call_args.args
    assert hook.leave_out == parts


class TestResuming:

    @pytest.fixture
    def cfg(self, tmp_path):
        return Config(dict(work_dir=str(tmp_path), load_from='start.pth', resume=False))

    def resumed(self, cfg, checkpoint):
        return checkpoints.find_resumed_checkpoint(cfg, checkpoint)

    def test_it_starts_as_without_the_flag_while_there_is_nothing_to_resume(self, cfg, monkeypatch):
        said = []
        monkeypatch.setattr(checkpoints, 'print_log', lambda text, **options: said.append(text))
        assert self.resumed(cfg, 'auto') == (None, [])
        assert said == [f'{cfg.work_dir} holds no complete checkpoint to resume, so the training starts at its beginning.']
        assert (cfg.resume, cfg.load_from) == (False, 'start.pth') and 'custom_hooks' not in cfg

    @pytest.mark.parametrize('marker', ['', 'epoch_3.pth'])
    def test_nor_is_there_anything_where_the_marker_names_nothing(self, cfg, tmp_path, marker):
        (tmp_path / 'last_checkpoint').write_text(marker)
        assert self.resumed(cfg, 'auto') == (None, [])
        cfg.resume, cfg.load_from = True, None  # as a config may say
        assert checkpoints.find_resumed_checkpoint(cfg) == (None, []) and cfg.resume is False

    def test_it_takes_the_latest_checkpoint_of_the_work_dir(self, cfg, tmp_path):
        path = write_checkpoint(tmp_path / 'epoch_1.pth')
        (tmp_path / 'last_checkpoint').write_text(str(path))
        assert self.resumed(cfg, 'auto') == (str(path), [f'Auto resumed from the latest checkpoint {path}.'])
        assert (cfg.resume, cfg.load_from) == (True, None)
        assert cfg.custom_hooks == [dict(type='lbbt_mm.PendingValidationHook')]

    def test_it_says_so_where_that_is_not_the_one_that_was_written_last(self, cfg, tmp_path):
        write_checkpoint(tmp_path / 'epoch_1.pth')
        (tmp_path / 'last_checkpoint').write_text('epoch_2.pth')
        note = self.resumed(cfg, 'auto')[1][0]
        assert 'names epoch_2.pth, which is absent or incomplete: going on from epoch_1.pth' in note

    def test_a_checkpoint_that_is_named_wins(self, cfg):
        assert self.resumed(cfg, 'mine.pth') == ('mine.pth', [])
        assert (cfg.resume, cfg.load_from) == (True, 'mine.pth')

    @pytest.mark.parametrize('name', ['epoch_3.pth', 'best_accuracy_top1_epoch_1.pth', 'epoch_3-0a1b2c3d.pth'])
    def test_one_from_elsewhere_is_refused_among_others(self, cfg, tmp_path, name):
        """What it says of files beside it would be done to those of the other run."""
        source = tmp_path / 'other' / 'epoch_2.pth'
        (tmp_path / name).touch()
        with pytest.raises(ValueError) as refused:
            self.resumed(cfg, str(source))
        assert str(refused.value) == (
            f'--resume {source}: {tmp_path} holds checkpoints already ({name}), which this run would overwrite or remove; '
            'expected none beside a checkpoint from elsewhere. Choose another --work-dir, or give --resume without a file '
            'to go on with those.')
        cfg.resume, cfg.load_from = True, str(source)  # as a config may say
        with pytest.raises(ValueError, match='expected none beside'):
            checkpoints.find_resumed_checkpoint(cfg)
        (tmp_path / name).rename(tmp_path / 'mine.pth')
        assert self.resumed(cfg, str(source))[0] == str(source)

    def test_nor_among_those_in_a_folder_of_their_own(self, cfg, tmp_path):
        cfg.default_hooks = dict(checkpoint=dict(out_dir=str(tmp_path / 'store'), filename_tmpl='m_{}.pth'))
        own = tmp_path / 'store' / tmp_path.name
        (own / 'm_3.pth').mkdir(parents=True)  # as DeepSpeed writes them
        assert self.resumed(cfg, f'{own}/m_3.pth/')[0] == f'{own}/m_3.pth/'
        with pytest.raises(ValueError, match=r'holds checkpoints already \(m_3.pth\)'):
            self.resumed(cfg, str(tmp_path / 'm_3.pth'))


class TestWholeCheckpoints:

    @pytest.fixture(autouse=True)
    def files_as_they_are(self, monkeypatch):
        monkeypatch.setattr(checkpoints, 'write_files_whole', lambda: None)

    @pytest.mark.parametrize('hooks', [
        None, dict(logger=dict(type='LoggerHook')), dict(checkpoint=dict(type='CheckpointHook', interval=2)),
        dict(checkpoint=dict(type='mmengine.CheckpointHook', interval=2)),
        dict(checkpoint=dict(type=CheckpointHook, interval=2))])
    def test_mmengine_s_hook_is_replaced_with_its_settings(self, hooks):
        cfg = Config(dict(default_hooks=hooks) if hooks else {})
        checkpoints.save_whole_checkpoints(cfg)
        found = cfg.default_hooks.checkpoint
        assert found.type == 'lbbt_mm.WholeCheckpointHook'
        assert found.interval == (2 if 'checkpoint' in (hooks or {}) else 1), 'the runner saves each epoch by itself'
        assert ('logger' in cfg.default_hooks) == ('logger' in (hooks or {}))

    @pytest.mark.parametrize('hook', [dict(type='mine.CheckpointHook'), dict(type='OtherHook'), None])
    def test_one_of_the_user_s_own_is_not(self, hook):
        cfg = Config(dict(default_hooks=dict(checkpoint=hook)))
        checkpoints.save_whole_checkpoints(cfg)
        assert cfg.default_hooks.checkpoint == hook
