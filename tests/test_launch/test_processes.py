"""The processes of a run."""
import pytest
import torch.distributed as dist
from mmengine.config import Config

from lbbt_mm.launch import processes
from tests.tool_processes import free_port


class TestProcesses:

    def test_ranks_without_an_accelerator_join_a_gloo_group(self, monkeypatch):
        """mmengine would select a CUDA device for each rank and wrap the model for it."""
        for name, value in dict(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(free_port()), RANK='0', WORLD_SIZE='1').items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(processes, 'get_device', lambda: 'cpu')
        cfg = Config(dict(launcher='pytorch', model_wrapper_cfg=dict(find_unused_parameters=True)))
        try:
            processes.start_processes(cfg)
            assert dist.get_backend() == 'gloo'
        finally:
            processes.stop_processes()
        assert not dist.is_initialized()
        assert cfg.model_wrapper_cfg == dict(
            type='MMDistributedDataParallel', device_ids=None, broadcast_buffers=False, find_unused_parameters=True)

    @pytest.mark.parametrize('device, launcher', [('cpu', 'none'), ('cuda', 'pytorch')])
    def test_everywhere_else_it_is_mmengine_s_business(self, device, launcher, monkeypatch):
        monkeypatch.setattr(processes, 'get_device', lambda: device)
        cfg = Config(dict(launcher=launcher))
        processes.start_processes(cfg)
        assert not dist.is_initialized() and 'model_wrapper_cfg' not in cfg

    def test_other_launchers_on_cpus_are_an_error(self, monkeypatch):
        monkeypatch.setattr(processes, 'get_device', lambda: 'cpu')
        with pytest.raises(ValueError, match='--launcher slurm: .*Use tools/dist_train.sh'):
            processes.start_processes(Config(dict(launcher='slurm')))
