"""Import the parts of an environment that can break and print what came of it as JSON.

``doctor.py`` runs this in a process of its own: a library that crashes must not take the report with it.
"""
import importlib
import importlib.util
import json
import sys
import warnings


def probe_torch() -> dict:
    """Import torch and ask it for devices and communication backends."""
    try:
        import torch
        import torch.distributed as dist
    except Exception as error:  # a broken installation raises anything from OSError to AttributeError
        return {'torch_error': f'{type(error).__name__}: {error}'}
    backends = []
    if dist.is_available():
        backends = [name for name in ('gloo', 'nccl') if getattr(dist, f'is_{name}_available')()]
    found = {'backends': backends, 'cuda_devices': [], 'threads': torch.get_num_threads()}
    if torch.cuda.is_available():
        found['cuda_devices'] = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return found


def probe_mmcv_ops(path: str) -> dict:
    """Load mmcv's compiled operators without the rest of mmcv; torch has to be imported already."""
    try:
        spec = importlib.util.spec_from_file_location('mmcv._ext', path)
        operators = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(operators)
        return {'ops_cuda': operators.get_compiling_cuda_version()}
    except Exception as error:
        return {'ops_error': f'{type(error).__name__}: {error}'}


def probe_cv2() -> dict:
    """Import cv2, which fails where the libraries of its window code are absent."""
    try:
        import cv2
        return {'cv2': cv2.__version__}
    except Exception as error:
        return {'cv2_error': f'{type(error).__name__}: {error}'}


def probe_codebases(codebases: list) -> dict:
    """Import the models of each installed codebase, which pull in most of what it needs."""
    errors = {}
    for codebase in codebases:
        try:
            importlib.import_module(f'{codebase}.models')
        except Exception as error:
            errors[codebase] = f'{type(error).__name__}: {error}'
    return {'import_errors': errors}


if __name__ == '__main__':
    search_path, mmcv_ops, installed_codebases = json.loads(sys.argv[1])
    sys.path[:] = search_path
    warnings.simplefilter('ignore')
    result = probe_torch()
    result.update(probe_cv2())
    if 'torch_error' not in result:
        if mmcv_ops:
            result.update(probe_mmcv_ops(mmcv_ops))
        result.update(probe_codebases(installed_codebases))
    print('\n' + json.dumps(result))
