"""Import the parts of an environment that can break and print what came of it as JSON.

``doctor.py`` runs this in a process of its own: a library that crashes must not take the report with it.
"""
import importlib
import importlib.util
import json
import sys
import warnings


def attempt(function, *arguments):
    """What a function gives, and None or the error: a broken installation raises anything from OSError to AttributeError."""
    try:
        return function(*arguments), None
    except Exception as error:
        return {}, f'{type(error).__name__}: {error}'


def probe_torch() -> dict:
    """Import torch and ask it for devices and communication backends."""
    import torch
    import torch.distributed as dist
    backends = [name for name in ('gloo', 'nccl') if dist.is_available() and getattr(dist, f'is_{name}_available')()]
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    return {'backends': backends, 'cuda_devices': [torch.cuda.get_device_name(index) for index in devices]}


def probe_mmcv_ops(path: str) -> dict:
    """Load mmcv's compiled operators without the rest of mmcv; torch has to be imported already."""
    spec = importlib.util.spec_from_file_location('mmcv._ext', path)
    operators = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(operators)
    return {'ops_cuda': operators.get_compiling_cuda_version()}


def probe(mmcv_ops: str, codebases: list) -> dict:
    """Import all that can break: torch, cv2, mmcv's operators, and each codebase's models, which pull in most it needs."""
    result, torch_error = attempt(probe_torch)
    _, cv2_error = attempt(importlib.import_module, 'cv2')  # fails where the libraries of its window code are absent
    errors = {'torch_error': torch_error, 'cv2_error': cv2_error}
    if not torch_error:
        if mmcv_ops:
            operators, errors['ops_error'] = attempt(probe_mmcv_ops, mmcv_ops)
            result.update(operators)
        failures = {codebase: attempt(importlib.import_module, f'{codebase}.models')[1] for codebase in codebases}
        result['import_errors'] = {codebase: error for codebase, error in failures.items() if error}
    return {**result, **{name: error for name, error in errors.items() if error}}


if __name__ == '__main__':
    search_path, *request = json.loads(sys.argv[1])
    sys.path[:] = search_path
    warnings.simplefilter('ignore')
    print('\n' + json.dumps(probe(*request)))
