"""Whether a model computes with a checkpoint's weights what it did in training; names and shapes of tensors do not tell."""
import inspect
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any, Dict, Iterator, Mapping, Optional, Sequence, Tuple

from mmengine.config import Config
from mmengine.registry import MODELS
from torch import nn

from lbbt_mm.config_keys import Change, differing, get_key, language_keys
from lbbt_mm.language.backbone_identity import FUNCTION, differing_facts, read_identity
from lbbt_mm.language.families import read_spec
from lbbt_mm.language.options import LanguageOptions, disagreements
from lbbt_mm.language.spec import plain
from lbbt_mm.registry import parameters_of, type_name
from .checkpoint_files import CONFIG_TEXT_KEY
from .checkpoint_fit import is_below
from .config_text import read_config_text
from .feature_index import other_features

#: Last names of keys that do not change what any trained model computes: how it starts and trains, how it is run, scored.
#: Those of one model are its ``settings_without_effect``, by dotted name.
_WITHOUT_EFFECT = (
    'init_cfg', 'pretrained', '*_init', 'init_std', 'train_cfg', 'test_cfg', 'loss*', '*drop*', '*frozen*', 'norm_eval',
    'requires_grad', 'momentum', 'sampler', 'assigner', 'dn_cfg', 'auxiliary_head', 'batch_augments',
    'with_cp', 'use_checkpoint', 'aux_weight', 'saves_blocks', 'trains', 'attention_kernel', 'topk', 'cal_acc',
    'ignore_index')
#: Those that the tensors' shapes tell, or that loading makes up for; the language blocks are compared as they are built.
_TOLD_OTHERWISE = ('num_classes', '*channels', 'num_layers', 'num_queries', 'embed_dims', 'ffn_dims', '*img_size',
                   'language', 'data_preprocessor')
#: What of a frozen model's features counts; the precision that it computes in is how it is run.
_OF_FEATURES = ('model', 'revision', 'layer', 'pooling')
_IMAGES = ('mean', 'std', 'to_rgb', 'bgr_to_rgb', 'rgb_to_bgr')


def changed_function(checkpoint: Mapping[str, Any], cfg: Mapping[str, Any], model: nn.Module,
                     leave_out: Sequence[str] = ()) -> Dict[str, str]:
    """Compare what a checkpoint says of its model with the one that is to take its weights.

    Args:
        checkpoint: The checkpoint; what it does not say is not compared.
        cfg: The run's config.
        model: The model that is built from it, without wrappers.
        leave_out: Parts, by dotted name, that are not taken from the checkpoint; of a head, nothing is compared then.

    Returns:
        dict[str, str]: Key -> what differs, as a phrase.
    """
    meta = checkpoint.get('meta')
    meta = meta if isinstance(meta, Mapping) else {}
    # mmengine's own alone: earlier configs name other parts for the same model
    recorded = read_config_text(meta.get(CONFIG_TEXT_KEY, meta.get('cfg'))) if 'mmengine_version' in meta else None
    recorded = recorded if recorded and isinstance(recorded.get('model'), dict) else {}
    found = {**_changed_language(checkpoint, recorded, model), **_changed_features(meta.get('dataset_meta'), model)}
    if recorded and isinstance(cfg.get('model'), dict):
        parts = {name: cfg.get(name) for name in ('model', 'data_preprocessor')}
        changes = _changed_config(recorded, read_config_text(Config(parts).pretty_text), model, cfg.get('default_scope'))
        found.update((change.key, str(change)) for change in changes)
    heads = [name.split('.')[0] for name in leave_out if name.split('.')[0].endswith('head')]
    left = [f'model.{name}' for name in (*leave_out, *heads)]
    return {key: phrase for key, phrase in found.items() if not is_below(key, left)}


def _changed_config(recorded: dict, asked: dict, model: nn.Module, scope: Optional[str]) -> Iterator[Change]:
    there, here = recorded['model'], asked['model']
    while isinstance(here.get('module'), dict):  # a wrapper for test-time augmentation
        here = here['module']
    images = [config.get('data_preprocessor') or main.get('data_preprocessor') or {}
              for config, main in ((there, recorded), (here, asked))]
    if type_name(there) != type_name(here):  # one model around parts of another: these alone
        common = [name for name in there if isinstance(there[name], dict) and isinstance(here.get(name), dict)]
        there, here = ({name: one[name] for name in common} for one in (there, here))
    changes = [*differing(there, here, 'model', lambda key, *pair: _seen_as(_alike(key, pair, model), scope))]
    if all(isinstance(part, dict) for part in images):
        images = [{name: part[name] for name in _IMAGES if name in part} for part in images]
        one, other = _with_defaults(images, type(getattr(model, 'data_preprocessor', None)))
        changes += [(f'data_preprocessor.{name}', one[name], other[name]) for name in one if one[name] != other[name]]
    return (Change(*change) for change in changes)


def _alike(key: str, pair: Sequence[Any], model: nn.Module) -> Sequence[Any]:
    """A pair of values as it is compared: what has no effect in this model, or is left open on one side, is one value."""
    name = key.partition('.')[2]
    left_open = None in pair and name in getattr(model, 'settings_left_open', ())
    if left_open or name in getattr(model, 'settings_without_effect', ()):
        return pair[1], pair[1]
    return _same_place(pair, model) if key == 'model.insert_after' else pair


def _same_place(pair: Sequence[Any], model: nn.Module) -> Sequence[Any]:
    """Two names of one place in a backbone as one: ``last``, the index of the last block, and -1."""
    try:
        places = {model.place_of(place) for place in pair}
    except (AttributeError, ValueError):  # no rectified model, or no place of its backbone
        return pair
    return pair if len(places) > 1 else (pair[1], pair[1])


def _changed_features(trained: Any, model: nn.Module) -> Dict[str, str]:
    """What differs between frozen models and those whose features a model was trained on."""
    found = {}
    for side, key in (('text', 'text_features'), ('vision', 'image_features')):
        stored = get_key(trained, key)
        asked = model.frozen_identity(side) if isinstance(stored, Mapping) and hasattr(model, 'frozen_identity') else {}
        odd = other_features(stored, asked, _OF_FEATURES) if asked else None
        if odd:
            found[f'model.{side}'] = (f'model.{side}: the {odd} of its features is {stored[odd]!r:.60} there, '
                                      f'{asked[odd]!r:.60} asked')
    return found


def _seen_as(pair: Sequence[Any], scope: Optional[str]) -> Tuple[Any, Any]:
    """What of two values decides: of dicts of one type the keys that have an effect, of those of two types only these."""
    there, asked = (None if value == [] or value == {} else value for value in pair)
    for one, other in ((there, asked), (asked, there)):
        if isinstance(one, list) and not isinstance(other, list) and one == [other] * len(one):
            return other, other
    if not isinstance(there, dict) or not isinstance(asked, dict):
        return there, asked
    kinds = [type_name(part).replace('SyncBN', 'BN') for part in (there, asked)]
    if kinds[0] != kinds[1] and all(kinds):
        return kinds[0], kinds[1]
    kind = None
    if isinstance(asked.get('type'), str):  # never the checkpoint's own, whose lookup may import
        with MODELS.switch_scope_and_registry(scope) as registry:
            kind = registry.get(asked['type'])
    there, asked = ({name: value for name, value in part.items() if name != 'type' and not any(
        fnmatchcase(name, pattern) for pattern in (*_WITHOUT_EFFECT, *_TOLD_OTHERWISE))} for part in (there, asked))
    return _with_defaults((there, asked), kind)


def _with_defaults(pair: Sequence[dict], kind: Any) -> Tuple[dict, dict]:
    """Two configs of one class with the same keys: what one leaves out has the class's default, or is dropped."""
    parameters = parameters_of(kind)[0] if inspect.isclass(kind) else {}
    defaults = {name: plain(one.default) for name, one in parameters.items() if one.default is not one.empty}
    whole = [{**{name: defaults[name] for name in other if name in defaults}, **one}
             for one, other in (pair, pair[::-1])]
    return tuple({name: one[name] for name in one if name in other} for one, other in (whole, whole[::-1]))


def _changed_language(checkpoint: Mapping[str, Any], recorded: dict, model: nn.Module) -> Dict[str, str]:
    """What differs in the parts of language blocks, as they are built; which language model and arm they come from may."""
    found, configs = {}, {key: get_key(recorded, f'{key}.config') for key in language_keys(recorded.get('model'))}
    identity, backbone = read_identity(checkpoint), getattr(model, 'backbone', None)
    if isinstance(identity, Mapping) and isinstance(getattr(backbone, 'language', None), LanguageOptions):
        configs['model.backbone.language'] = identity.get('config')
        facts = differing_facts(backbone, identity, FUNCTION)
        found.update({f'model.backbone.{name}': phrase for name, phrase in facts.items()})
    for key, config in configs.items():
        options = model
        for name in key.split('.')[1:]:
            options = getattr(options, name, None)
        if isinstance(options, LanguageOptions) and isinstance(config, Mapping):
            phrases = disagreements(replace(options.spec, initializer_range=None), read_spec(dict(config), 'the checkpoint'))
            if phrases:
                found[f'{key}.config'] = f'{key}.config: {"; ".join(phrases)}'
    return found
