"""Runs the command-line tools, each in a process of its own.

``run_tool`` and ``run_ranks`` fork from a server that has imported torch and mmdet already, which saves the many seconds
that each import takes. The tests' own process is not forked: it has computed, and a fork of it waits for ever for the
threads of its OpenMP. ``start`` starts a program from nothing, for the tests where that is the point.
"""
import multiprocessing
import os
import re
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
from functools import lru_cache
from multiprocessing import forkserver
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple
from unittest import mock

from tests.quick_mmengine import quick_mmengine

REPO = Path(__file__).resolve().parent.parent
# Longer than any run here takes, on a machine that does other things too
TIMEOUT = 300
# What a run inherits from the user's shell: which kernels torch takes, for a run of all tests as on another processor, is
# one of these. What else steers torch, mm or the hub is left out.
_INHERITED = ('PATH', 'HOME', 'TMPDIR', 'LANG', 'LC_ALL', 'LD_LIBRARY_PATH', 'ATEN_CPU_CAPABILITY')
_PRELOAD = [
    'mmcv.ops', 'mmdet.datasets', 'mmdet.engine', 'mmdet.evaluation', 'mmdet.models', 'mmdet.visualization',
    'lbbt_mm.models', 'lbbt_mm.engine.hooks', 'lbbt_mm.launch.processes', 'lbbt_mm.launch.checkpoints',
    'lbbt_mm.engine.optim_wrappers', 'lbbt_mm.files.safe_checkpoints', 'lbbt_mm.launch.testing', 'lbbt_mm.checks',
    'mmpretrain.engine', 'mmpretrain.evaluation', 'mmpretrain.visualization', 'tests.quick_mmengine', 'yapf.yapflib.yapf_api'
]


class Finished(NamedTuple):
    """A process that has ended: exit status, and standard output and error together."""
    returncode: int
    output: str


def environment(**extra: Any) -> Dict[str, str]:
    """The environment of a run: CPU only, as many threads as the tests, no network, nothing else from the shell."""
    kept = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    kept.update(CUDA_VISIBLE_DEVICES='', OMP_NUM_THREADS=os.environ.get('OMP_NUM_THREADS', '1'), HF_HUB_OFFLINE='1',
                MPLBACKEND='Agg', PYTHON=sys.executable)
    return {**kept, **{name: str(value) for name, value in extra.items()}}


def run_tool(tool: str, *arguments: Any, cwd: Any = '/', **env: Any) -> Finished:
    """Run a tool to its end.

    Args:
        tool: File name below ``tools/``, or a folder there, for ``python -m tools.FOLDER``.
        *arguments: Command line.
        cwd: Working directory; by default one that is not the checkout.
        **env: Environment variables beside :func:`environment`.
    """
    return Finished(*_run([(tool, arguments, cwd, environment(**env))])[:2])


def run_tool_apart(tool: str, *arguments: Any, cwd: Any = '/') -> Tuple[int, str, str]:
    """As :func:`run_tool`: exit status, and what it wrote to standard output and to standard error."""
    return _run([(tool, arguments, cwd, environment())], apart=True)


def run_ranks(tool: str, world_size: int, *arguments: Any, cwd: Any = '/') -> Finished:
    """Run a tool as ``world_size`` gloo ranks, as torchrun would start them; the output is that of all."""
    port = free_port()
    runs = [(tool, (*arguments, '--launcher', 'pytorch'), cwd,
             environment(RANK=rank, LOCAL_RANK=rank, WORLD_SIZE=world_size, MASTER_ADDR='127.0.0.1', MASTER_PORT=port))
            for rank in range(world_size)]
    return Finished(*_run(runs)[:2])


def start(*command: Any, cwd: Any = '/', **env: Any) -> subprocess.Popen:
    """Start a program from nothing, in a process group of its own; its output, errors included, is its ``stdout``."""
    command = [sys.executable if part == 'python' else str(part) for part in command]
    return subprocess.Popen(command, cwd=cwd, env=environment(**env), text=True, start_new_session=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def finish(process: subprocess.Popen) -> Finished:
    """Wait for a program that :func:`start` started."""
    try:
        output, _ = process.communicate(timeout=TIMEOUT)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    return Finished(process.returncode, output)


def metric(output: str, name: str = 'bbox_mAP_50') -> float:
    """The last value of a COCO metric in what a run printed."""
    return float(re.findall(rf'coco/{name}: ([0-9.]+)', output)[-1])


def free_port() -> int:
    """A TCP port that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        return listener.getsockname()[1]


def _run(runs: Sequence[tuple], apart: bool = False) -> Tuple[int, str, str]:
    with tempfile.TemporaryDirectory() as folder:
        log, errors = Path(folder) / 'log', Path(folder) / 'errors'
        log.touch()
        errors.touch()
        streams = (log, errors if apart else log)
        processes: List[Any] = [_server().Process(target=_main, args=(*run, streams)) for run in runs]
        for process in processes:
            process.start()
        for process in processes:
            process.join(TIMEOUT)
        stuck = [process for process in processes if process.is_alive()]
        for process in stuck:
            process.kill()
            process.join()
        output = log.read_text()
        assert not stuck, f'no end within {TIMEOUT} seconds:\n{output}'
        return max(abs(process.exitcode) for process in processes), output, errors.read_text()


@lru_cache(maxsize=None)
def _server():
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(_PRELOAD)
    with mock.patch.dict(os.environ, environment(), clear=True):  # OpenMP reads its settings when torch is imported
        forkserver.ensure_running()
    return context


def _main(tool: str, arguments: Sequence[Any], cwd: Any, env: Dict[str, str], streams: Sequence[Path]) -> None:
    """What ``python tools/TOOL ARGUMENTS`` does, in this process."""
    quick_mmengine()
    for stream, path in enumerate(streams, 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_APPEND), stream)
    # what the server printed while it imported may wait in its streams still
    sys.stdout, sys.stderr = (open(stream, 'w', closefd=False) for stream in (1, 2))
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    script = REPO / 'tools' / tool
    sys.argv = [str(script), *map(str, arguments)]
    if script.is_dir():  # python -m tools.NAME
        runpy.run_module(f'tools.{tool}', run_name='__main__')
    else:
        sys.path.insert(0, str(script.parent))  # as Python does
        runpy.run_path(str(script), run_name='__main__')
