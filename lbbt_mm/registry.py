"""Registries of scope ``lbbt_mm``: children of mmengine's, so that any mm config can name our parts.

``locations`` lists the modules to import when a name is first looked up; no ``custom_imports``
is needed in a config.
"""
import inspect
from typing import Any, Dict, Tuple

from mmengine import registry as mm
from mmengine.registry import Registry

MODELS = Registry('model', parent=mm.MODELS, scope='lbbt_mm', locations=['lbbt_mm.models'])
TRANSFORMS = Registry('transform', parent=mm.TRANSFORMS, scope='lbbt_mm', locations=['lbbt_mm.datasets'])
DATASETS = Registry('dataset', parent=mm.DATASETS, scope='lbbt_mm', locations=['lbbt_mm.datasets'])
DATA_SAMPLERS = Registry('data sampler', parent=mm.DATA_SAMPLERS, scope='lbbt_mm', locations=['lbbt_mm.datasets'])
FUNCTIONS = Registry('function', parent=mm.FUNCTIONS, scope='lbbt_mm', locations=['lbbt_mm.datasets'])
METRICS = Registry('metric', parent=mm.METRICS, scope='lbbt_mm', locations=['lbbt_mm.evaluation'])
LOOPS = Registry('loop', parent=mm.LOOPS, scope='lbbt_mm', locations=['lbbt_mm.engine.loops'])
HOOKS = Registry('hook', parent=mm.HOOKS, scope='lbbt_mm', locations=['lbbt_mm.engine.hooks'])
OPTIM_WRAPPERS = Registry(
    'optim_wrapper', parent=mm.OPTIM_WRAPPERS, scope='lbbt_mm', locations=['lbbt_mm.engine.optim_wrappers'])
WEIGHT_INITIALIZERS = Registry(
    'weight initializer', parent=mm.WEIGHT_INITIALIZERS, scope='lbbt_mm',
    locations=['lbbt_mm.language.initializer', 'lbbt_mm.models.initializers.bridge_init'])


#: Initialisation steps that load a checkpoint written by a training run, and so fill the whole module.
LOADING_STEPS = ('Pretrained', 'PretrainedInit', 'BridgeInit')


def type_name(config: Any) -> str:
    """The name of the component that a config names, without its scope; mm configs may hold a string or the class itself.

    Args:
        config: A config dict, or the value of its ``type``.

    Returns:
        str: For example ``RandomLabel``; empty if the config names none.
    """
    kind = config.get('type') if isinstance(config, dict) else config
    if isinstance(kind, str):
        return kind.rsplit('.', 1)[-1]
    return getattr(kind, '__name__', '')


def parameters_of(kind: type) -> Tuple[Dict[str, inspect.Parameter], bool]:
    """What a class can be built with, also that which its ``**kwargs`` hand to its bases.

    Args:
        kind: The class.

    Returns:
        tuple: Parameters by name, and whether these are all.
    """
    found: Dict[str, inspect.Parameter] = {}
    for base in kind.__mro__[:-1]:
        if '__init__' in vars(base):
            own = inspect.signature(base.__init__).parameters
            found = {**own, **found}
            if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in own.values()):
                return found, True
    return found, False
