"""``config.json`` of a checkpoint, and what beside it says that the weights are not plain ones of a language model."""
from typing import Any, Callable, Dict, List

from .errors import CheckpointError, UnreachableError
from .families import FAMILIES, is_supported
from .strict_json import LARGEST_CONFIG, read_object
from .tensor_names import UNQUANTISED

def read_config(location: str, fetch: Callable[[str], Any], files: Callable[[], List[str]]) -> Dict[str, Any]:
    """Read the config fields of a language model.

    Args:
        location: What the user wrote.
        fetch: Gives the local path of a file; raises FileNotFoundError where the checkpoint has none of that name.
        files: Lists the checkpoint's files.

    Returns:
        dict: Hugging Face config fields; of a vision-language model, those of the language model in it.

    Raises:
        CheckpointError: If there is no such config, or the weights beside it are no plain ones.
    """
    try:
        path = fetch('config.json')
    except FileNotFoundError:
        path = None
    _refuse_adapter(location, fetch)
    if path is None:
        raise CheckpointError(f'{location}: has no config.json; expected a checkpoint in Hugging Face format. Add the '
                              "model's config.json, or point language.checkpoint at the folder that holds it"
                              f'{or_gguf(location, files())}.')
    try:
        config = read_object(path, LARGEST_CONFIG)
    except (ValueError, OSError) as error:
        raise CheckpointError(f'{location}: config.json is not a JSON object ({error}). Fetch it again.') from None
    _refuse_quantised(location, config)
    inner = config.get('text_config')
    if not is_supported(config.get('model_type')) and isinstance(inner, dict):
        # a vision-language model; its config leaves out of the inner one what is the default
        _refuse_quantised(location, inner)
        if not is_supported(inner.get('model_type')):
            raise CheckpointError(f'{location}: is a {config.get("model_type")!r:.60} model around a language model of '
                                  f'model_type={inner.get("model_type")!r:.60}; expected one of: {", ".join(FAMILIES)}. '
                                  'Choose another checkpoint.')
        return inner
    return config


def _refuse_quantised(location: str, config: Dict[str, Any]) -> None:
    """``quantization`` is the key of MLX."""
    key = next((key for key in ('quantization_config', 'compression_config', 'quantization') if config.get(key)), None)
    if key:
        method = config[key].get('quant_method') if isinstance(config[key], dict) else None
        raise CheckpointError(f'{location}: its weights are quantised ({method or key!s:.40} in config.json); expected '
                              f'plain floating-point ones. {UNQUANTISED}')


def _refuse_adapter(location: str, fetch: Callable[[str], Any]) -> None:
    try:
        path = fetch('adapter_config.json')
    except (FileNotFoundError, UnreachableError):
        return
    try:
        base = read_object(path).get('base_model_name_or_path')
    except (ValueError, OSError):
        base = None
    raise CheckpointError(f'{location}: holds a PEFT adapter (adapter_config.json) of {base!r:.80}, which transformers '
                          'would put on top of the weights; expected plain weights. Merge it (merge_and_unload, then '
                          'save_pretrained), or point language.checkpoint at the base model.')


def or_gguf(location: str, files: List[str]) -> str:
    """What else might have been meant by a checkpoint that lacks something."""
    ggufs = sorted(file for file in files if file.lower().endswith('.gguf'))
    shown = ', '.join(ggufs[:4]) + (', ...' if len(ggufs) > 4 else '')
    return (f", or name a GGUF file of those there ({shown}): language.checkpoint='{location.rstrip('/')}/{ggufs[0]}'"
            if ggufs else '')
