"""Takes the parts of auxiliary training out of a checkpoint, so that a plain config of the host library loads it."""
from typing import Any, Dict, List, Mapping, NamedTuple, Tuple

from mmengine.config import Config
from torch import Tensor

from lbbt_mm.config_keys import get_key
from lbbt_mm.registry import type_name
from .checkpoint_files import CONFIG_TEXT_KEY
from .checkpoint_fit import CheckpointMisfit, is_below
from .config_text import read_config_text

#: Parts of a rectified classifier that its inference does not use.
AUXILIARY_PARTS = ('rectifier', 'aux_head')
#: In a stripped checkpoint's meta: the parts that were taken out.
STRIPPED_KEY = 'lbbt_mm_stripped'
#: Keys of the model that only a rectified classifier has.
_OWN_KEYS = ('rectifier', 'insert_after', 'path', 'aux_weight')
#: What a model without its rectifier is, in its host library.
_PLAIN = {'RectifiedClassifier': 'ImageClassifier', 'RectifiedRecognizer': 'Recognizer3D'}
#: What of a config a test of the plain model needs.
_OF_TEST = ('default_scope', 'model', 'data_preprocessor', 'test_dataloader', 'test_evaluator', 'test_cfg')


class Stripped(NamedTuple):
    """A checkpoint without the parts of auxiliary training.

    Attributes:
        checkpoint: ``state_dict`` and ``meta``; its config is the plain one.
        config: That config.
        taken_out: Names of the tensors that were taken out.
    """
    checkpoint: Dict[str, Any]
    config: Config
    taken_out: List[str]


def strip(loaded: Mapping[str, Any], where: str) -> Stripped:
    """Take the rectifier, or the auxiliary head, out of a checkpoint.

    Args:
        loaded: What :func:`lbbt_mm.files.checkpoint_files.load_checkpoint_safely` gave.
        where: Its name, for messages.

    Raises:
        CheckpointMisfit: If it has no such part, or its model needs it.
    """
    tensors, meta = loaded.get('state_dict'), loaded.get('meta')
    recorded = read_config_text((meta if isinstance(meta, Mapping) else {}).get(CONFIG_TEXT_KEY)) or {}
    model = recorded.get('model')
    if not isinstance(tensors, Mapping) or not isinstance(model, dict):
        raise CheckpointMisfit(f'{where}: does not hold a state_dict and the config it was trained with; expected a '
                               'checkpoint that tools/train.py wrote. Give such a one.')
    taken_out = [name for name in tensors if is_below(name, AUXILIARY_PARTS)]
    if not taken_out:
        raise CheckpointMisfit(f'{where}: has no {" and no ".join(AUXILIARY_PARTS)}; expected a checkpoint of auxiliary '
                               'training. It is a plain one already.')
    if type_name(model) not in _PLAIN:
        raise CheckpointMisfit(f'{where}: is of a {type_name(model) or "model without a type"}; expected one of '
                               f'{", ".join(_PLAIN)}. Use it with its own config.')
    if model.get('path') == 'inserted':
        raise CheckpointMisfit(f"{where}: was trained with path='inserted', so its inference runs through the rectifier; "
                               "expected path='auxiliary'. Use it with its own config.")
    kept = {name: tensor for name, tensor in tensors.items() if name not in taken_out}
    config = Config(plain_config(recorded, kept))
    noted = {name: meta[name] for name in ('epoch', 'iter', 'seed', 'mmengine_version', 'dataset_meta') if name in meta}
    return Stripped(dict(state_dict=kept, meta={**noted, 'cfg': config.pretty_text, STRIPPED_KEY: list(AUXILIARY_PARTS)}),
                    config, taken_out)


def plain_config(recorded: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Dict[str, Any]:
    """The host library's config of a rectified classifier without its rectifier, as far as a test needs it.

    Args:
        recorded: The config that the classifier was trained with, as values.
        tensors: The plain model's tensors; a width that the config leaves open follows from them.
    """
    plain = {name: recorded[name] for name in _OF_TEST if name in recorded}
    plain['model'] = {name: value for name, value in recorded['model'].items() if name not in _OWN_KEYS}
    plain['model'].update(type=_PLAIN[type_name(recorded['model'])], init_cfg=None)
    for part in ('head', 'cls_head', 'neck'):
        for key in ('in_channels', 'input_features'):
            if get_key(plain, f'model.{part}.{key}', 0) is None:
                plain['model'][part] = {**plain['model'][part], key: _input_width(part, tensors)}
    return plain


def _input_width(part: str, tensors: Mapping[str, Tensor]) -> int:
    shapes: List[Tuple[int, ...]] = [tuple(tensor.shape) for name, tensor in tensors.items() if is_below(name, [part])]
    matrices = [shape for shape in shapes if len(shape) > 1]
    return matrices[0][1] if matrices else shapes[0][0]
