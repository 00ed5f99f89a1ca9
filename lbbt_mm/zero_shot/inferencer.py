"""Classifies images as classes that are named in words, with a ShareLock that was trained on stores of features."""
from copy import deepcopy
from pathlib import Path
from typing import Any, Callable, Dict, Mapping, Optional, Sequence

from mmengine.config import Config, ConfigDict
from mmpretrain.apis import ImageClassificationInferencer

from lbbt_mm.config_keys import find_types
from lbbt_mm.figures.trained import open_for_inference, read_trained
from lbbt_mm.files.feature_index import OF_MODEL, other_features, read_index
from lbbt_mm.language.text_encoder import text_identity
from lbbt_mm.registry import type_name
from .image_encoder import image_pipeline, open_model, vision_checksum


class ZeroShotInferencer(ImageClassificationInferencer):
    """mmpretrain's inferencer for any classes, with the vision and the language model that a ShareLock was trained on.

    Called with an image's path, an array, or a list of them; see mmpretrain's ``ImageClassificationInferencer``.

    Args:
        run: Folder of a training of :class:`lbbt_mm.ShareLock`, or ``CONFIG.py,CHECKPOINT.pth``.
        classes: Names of the classes, see :func:`lbbt_mm.datasets.class_names.read_class_names`. Defaults to None: those of
            the config.
        templates: See :func:`lbbt_mm.datasets.prompt_templates.read_templates`. Defaults to None: those of the config.
        vision: The vision model, as ``tools/precompute_features.py images`` takes it. Defaults to None: ``model.vision`` of
            the config.
        text: The language model, as ``tools/precompute_features.py texts`` takes it. Defaults to None: ``model.text``.
        cache: Folder that prototypes are kept in. Defaults to None: that of the config, or none.
        device: Where to compute. Defaults to ``cpu``.
        options: Overrides of the run's config, ``'KEY=VALUE'``.
        track: Shows progress over the language model's batches. Defaults to none.

    Attributes:
        checkpoint: The checkpoint of the projections: of a run's folder the best one where its config keeps it.

    Raises:
        CheckpointMisfit: If a checkpoint is of another model.
        FileNotFoundError: If a file is not there.
        ValueError: If the run is no ShareLock's, a model is not named, or is not the one that the run was trained on, a
            class has no name, or a template no place for one.
    """

    def __init__(self, run: str, classes: Any = None, templates: Any = None, vision: Optional[str] = None,
                 text: Optional[str] = None, cache: Optional[str] = None, device: str = 'cpu', options: Sequence[str] = (),
                 track: Callable[[Any], Any] = lambda batches: batches) -> None:
        opened = open_for_inference(read_trained(run), options)
        self.checkpoint = opened.checkpoint
        cfg, label, stores = opened.cfg, opened.label, _stores(opened.cfg)
        if type_name(cfg.model) != 'ShareLock':
            raise ValueError(f'{label}: its model is a {type_name(cfg.model)}; expected a lbbt_mm.ShareLock. Give another '
                             'run.')
        vision_cfg = _set_vision(cfg, vision, stores.get('image', {}), label)
        _set_text(cfg, text, stores.get('text', {}), device, label)
        given = dict(classes=classes, templates=templates, cache=cache)
        cfg.model.zero_shot = {**(cfg.model.get('zero_shot') or {}),
                               **{key: value for key, value in given.items() if value is not None}}
        model = opened.at_end(device)
        model.zero_shot.classes.track = track
        seen = model.zero_shot.vision.identity
        if vision:  # what is done to images is known too
            seen['revision'] = vision_checksum(model.zero_shot.vision.backbone, vision_cfg, label)
        _check(label, 'vision', stores.get('image', {}), dict(model='', **seen))
        # what mmpretrain's inferencer reads
        model._config = Config(dict(test_dataloader=dict(dataset=dict(pipeline=image_pipeline(vision_cfg, label)))))
        super().__init__(model, device=device, classes=model.zero_shot.classes.names)


def _set_vision(cfg: Config, vision: Optional[str], store: Mapping[str, Any], label: str) -> Config:
    """Put the vision model into a run's config; the config that says what is done to images."""
    if vision is None:
        if not cfg.model.get('vision'):
            raise ValueError(f'{label}: its config names no vision model (model.vision); expected the one whose features '
                             'it was trained on. Give it: --vision CONFIG.py,CHECKPOINT.pth.')
        return cfg
    _, found, checkpoint = open_model(vision, ())
    cfg.model.vision = ConfigDict(backbone=found.model.backbone, checkpoint=checkpoint or None,
                                  pooling=store.get('pooling', 'auto'))
    processor = found.model.get('data_preprocessor') or found.get('data_preprocessor') or {}
    cfg.model.data_preprocessor = ConfigDict(deepcopy(dict(processor)))
    cfg.pop('data_preprocessor', None)
    return found


def _set_text(cfg: Config, text: Optional[str], store: Mapping[str, Any], device: str, label: str) -> None:
    found: Dict[str, Any] = {**(cfg.model.get('text') or {}), **({'location': text} if text else {})}
    if not found.get('location'):
        raise ValueError(f'{label}: its config names no language model (model.text.location); expected the one whose '
                         'features it was trained on. Give it: --text FOLDER, FILE.gguf or a hub id.')
    for key in ('layer', 'pooling', 'dtype'):
        if key in store:
            found.setdefault(key, store[key])
    found.setdefault('device', device)
    _check(label, 'text', store, text_identity(**found))
    cfg.model.text = found


def _stores(cfg: Config) -> Dict[str, Dict[str, Any]]:
    """By ``image`` and ``text``, what a run's features are: as the stores say or, where they are gone, its config."""
    found: Dict[str, Dict[str, Any]] = {}
    for _, dataset in find_types(cfg.get('train_dataloader') or {}, 'FeaturePairs'):
        for kind in ('image', 'text'):
            try:
                index = vars(read_index(Path(dataset[f'{kind}_store']))[0])
            except (OSError, ValueError, TypeError):
                index = dataset.get(f'{kind}_expected') or {}
            found[kind] = {key: index[key] for key in OF_MODEL if key in index}
    return found


def _check(label: str, kind: str, store: Mapping[str, Any], model: Mapping[str, Any]) -> None:
    """Refuse another model than the one that the features are of."""
    odd = other_features(store, model)
    if odd is not None:
        raise ValueError(f'{label}: was trained on features whose {odd} is {store[odd]!r}; that of the {kind} model here is '
                         f'{model[odd]!r}. Give the model that the features were made with.')
