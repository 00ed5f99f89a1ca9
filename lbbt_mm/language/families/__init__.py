"""Language-model families: Hugging Face config -> :class:`BlockSpec`, checkpoint tensors -> LanguageBlock names.

A new family is a file here, an entry in :data:`FAMILIES`, and its test.
"""
from typing import Any, Dict, Optional, Tuple, Union

from transformers import AutoConfig

from ..errors import CheckpointError
from ..rotary import TRANSFORMERS_ERRORS
from ..spec import LanguageModelSpec, plain
from ..spec_checks import check_block_count, check_spec
from .family import Family, TensorRule
from .gpt2 import GPT2
from .llama import LLAMA, MISTRAL, QWEN2, QWEN3
from .opt import OPT

#: By the ``model_type`` of the Hugging Face config.
FAMILIES: Dict[str, Family] = dict(gpt2=GPT2, llama=LLAMA, mistral=MISTRAL, qwen2=QWEN2, qwen3=QWEN3, opt=OPT)

#: Fields that say nothing of a block; transformers makes lists as long as ``num_labels``.
_OF_OTHER_PARTS = ('model_type', 'num_labels', 'id2label', 'label2id', 'task_specific_params', 'pruned_heads')

# Named so that the commonest wrong choice gets the reason, not only the list of what is supported.
_ENCODER_ONLY = ('albert', 'bert', 'camembert', 'deberta', 'deberta-v2', 'distilbert', 'electra', 'modernbert',
                 'mpnet', 'roberta', 'xlm-roberta')


def is_supported(model_type: Any) -> bool:
    """Whether a ``model_type``, of whatever type it is, names a family."""
    return isinstance(model_type, str) and model_type in FAMILIES


def get_family(model_type: Optional[str], where: str) -> Family:
    """Look a family up.

    Args:
        model_type: Hugging Face ``model_type``.
        where: Where it was read, for the message.

    Raises:
        ValueError: If the family is not supported.
    """
    if is_supported(model_type):
        return FAMILIES[model_type]
    supported = ', '.join(FAMILIES)
    if model_type in _ENCODER_ONLY:
        raise CheckpointError(f"{where}: model_type='{model_type}' is an encoder-only language model; expected a "
                         f'decoder-only one ({supported}). Choose a checkpoint of one of those families.')
    raise CheckpointError(f'{where}: model_type={model_type!r:.60} is not supported; expected one of: {supported}. Choose '
                     'another checkpoint, or add the family to lbbt_mm/language/families/.')


def read_spec(config: Dict[str, Any], where: str = 'language.config') -> LanguageModelSpec:
    """Read what the blocks of a language model are from its Hugging Face config fields.

    Args:
        config: Hugging Face config fields; those left out take the family's defaults.
        where: Where the fields come from, for messages.

    Returns:
        LanguageModelSpec: The model's spec.

    Raises:
        ValueError: If the family is not supported or the sizes contradict each other.
    """
    fields = plain({key: value for key, value in config.items() if key not in _OF_OTHER_PARTS})
    family = get_family(config.get('model_type'), where)
    check_block_count(fields, where)
    try:
        hf_config = AutoConfig.for_model(config['model_type'], **fields)
        spec = LanguageModelSpec(
            model_type=config['model_type'],
            block=family.block_spec(hf_config),
            num_blocks=hf_config.num_hidden_layers,
            initializer_range=config.get(family.std),
            num_positions=hf_config.max_position_embeddings,
            config=dict(config),
            windows=family.windows(hf_config),
            has_final_norm=family.has_final_norm(hf_config))
    except CheckpointError:
        raise
    except TRANSFORMERS_ERRORS as error:
        raise CheckpointError(f'{where}: its fields cannot be read ({str(error) or type(error).__name__:.300}). Expected '
                              f'the fields of a {config["model_type"]} model, numbers where a size is meant; found '
                              f'{str(fields):.600}. Correct the field.') from None
    check_spec(spec, family, where)
    return spec


def block_tensors(spec: LanguageModelSpec, part: Union[int, str]) -> Dict[str, Tuple[int, ...]]:
    """Canonical names and shapes of the tensors of a block, or of another part, in a checkpoint of this language model.

    Args:
        spec: The language model.
        part: Index of a block; or ``final_norm`` or ``position_table``, of which rows that are no positions are left out.

    Returns:
        dict[str, tuple]: Name -> shape; empty if the model has no such part.
    """
    family, width = FAMILIES[spec.model_type], spec.block.embed_dims
    if part == 'final_norm':
        return {name: (width, ) for name in family.final_norm} if spec.has_final_norm else {}
    if part == 'position_table':
        return {family.position_table: (spec.num_positions, width)} if family.position_table else {}
    prefix = family.block_prefix.format(i=part)
    return {prefix + name: shape for rule in family.rules(spec.block) for name, shape in rule.sources.items()}


__all__ = ['FAMILIES', 'Family', 'TensorRule', 'block_tensors', 'get_family', 'is_supported', 'read_spec']
