"""The processes of a run, and its runner."""
import torch.distributed as dist
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from lbbt_mm.engine.hooks.named_files_hook import NamedFilesHook
from lbbt_mm.mmengine_internals import format_each_config_once
from .attempt import BegunHook


def start_processes(cfg: Config) -> None:
    """Join the process group where there is no accelerator; elsewhere mmengine does it.

    mmengine selects a CUDA device per rank and wraps the model for it, so ranks on CPUs need a gloo group that exists
    before its runner, and a wrapper without device ids.
    """
    if cfg.launcher == 'none' or get_device() != 'cpu':
        return
    if cfg.launcher != 'pytorch':
        raise ValueError(f"--launcher {cfg.launcher}: ranks without an accelerator are started with torchrun here. Use "
                         'tools/dist_train.sh or --launcher pytorch.')
    if not dist.is_initialized():
        dist.init_process_group('gloo')
    wrapper = dict(type='MMDistributedDataParallel', device_ids=None, broadcast_buffers=False)
    cfg.model_wrapper_cfg = {**wrapper, **(cfg.get('model_wrapper_cfg') or {}), 'device_ids': None}


def build_runner(cfg: Config) -> Runner:
    """Build the runner that the config names; errors while it loads samples name their files."""
    format_each_config_once()
    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
    runner.register_hook(NamedFilesHook())
    runner.register_hook(BegunHook(), 'VERY_HIGH')
    return runner


def stop_processes() -> None:
    """Leave the process group, so that ranks end together."""
    if dist.is_available() and dist.is_initialized():
        dist.barrier()  # gloo's threads end the process where a rank leaves while another still talks to it
        dist.destroy_process_group()
