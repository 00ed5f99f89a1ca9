"""What LLMBackbone refuses, and what it accepts in another form."""
from typing import Any, Optional, Sequence, Tuple, Union

from mmengine.utils import to_2tuple

from lbbt_mm.argument_checks import check_choice, is_whole
from lbbt_mm.language.families import FAMILIES
from lbbt_mm.language.options import LanguageOptions

_CHOICES = dict(
    attention=('bidirectional', 'causal'),
    position=('learned', 'language', 'rotary'),
    final_norm=('new', 'language', None),
    out_type=('avg_featmap', 'cls_token', 'last_token', 'featmap', 'raw'))


def check_choices(with_cls_token: bool, **choices: Optional[str]) -> None:
    """Refuse an unknown value, and a class token that is missing or sees nothing.

    Args:
        with_cls_token: Whether there is a class token.
        **choices: ``attention``, ``position``, ``final_norm`` and ``out_type``.
    """
    for name, known in _CHOICES.items():
        check_choice(f'LLMBackbone: {name}', choices[name], known)
    if choices['out_type'] == 'cls_token' and not with_cls_token:
        raise ValueError("LLMBackbone: out_type='cls_token' needs a class token, but with_cls_token=False. Set it to True, "
                         "or choose out_type='avg_featmap'.")
    if with_cls_token and choices['attention'] == 'causal':
        raise ValueError('LLMBackbone: a class token in front sees no patch under causal attention. Use '
                         "out_type='last_token' or 'avg_featmap' without a class token, or attention='bidirectional'.")


def check_sizes(img_size: Any, patch_size: Any) -> None:
    """Refuse sizes that are no whole numbers of pixels.

    Args:
        img_size: Of the images, one number or height and width.
        patch_size: Of a patch, likewise.
    """
    for name, size in (('img_size', img_size), ('patch_size', patch_size)):
        if not all(is_whole(side, 1) for side in to_2tuple(size)):
            raise ValueError(f'LLMBackbone: {name}={size!r}; expected a positive whole number of pixels, or a pair of them.')


def check_table(options: LanguageOptions, num_tokens: int) -> None:
    """Refuse ``position='language'`` where the language model has no table, or one that is too short."""
    model_type, available = options.spec.model_type, options.spec.num_positions
    if FAMILIES[model_type].position_table is None:
        known, others = (' (their positions are rotary)', "'rotary' or ") if options.spec.block.rotary else ('', '')
        raise ValueError(f"LLMBackbone: position='language', but {model_type} models have no position table{known}. Use "
                         f"position={others}'learned'.")
    if num_tokens > available:
        raise ValueError(f"LLMBackbone: position='language' with {num_tokens} tokens, but the language model's table has "
                         f'{available} positions. Use larger patches or smaller images, or position=\'learned\'.')


def check_image(size: Sequence[int], patch_size: Sequence[int]) -> None:
    """Refuse an image, in pixels, that does not divide into patches."""
    if size[0] % patch_size[0] or size[1] % patch_size[1]:
        raise ValueError(f'LLMBackbone: an image of {size[0]}x{size[1]} pixels does not divide into patches of '
                         f'{patch_size[0]}x{patch_size[1]}. Resize the images to a multiple of the patch '
                         'size, or have them padded: data_preprocessor.pad_size_divisor, or in mmsegmentation '
                         'data_preprocessor.size for training and test_cfg=dict(size_divisor=...) for testing.')


def block_numbers(out_indices: Union[int, Sequence[int]], frozen_stages: int, num_layers: int) -> Tuple[int, ...]:
    """Blocks that are asked for, counted from the front; refuses what is beyond the last, in ``frozen_stages`` too."""
    if not -1 <= frozen_stages <= num_layers:
        raise ValueError(f'LLMBackbone: frozen_stages={frozen_stages}; expected -1 (nothing) to {num_layers} (everything).')
    indices = [out_indices] if isinstance(out_indices, int) else list(out_indices)
    if not indices:
        raise ValueError('LLMBackbone: out_indices is empty; expected at least one block, for example -1, the last.')
    for index in indices:
        if not -num_layers <= index < num_layers:
            raise ValueError(f'LLMBackbone: out_indices={out_indices!r}, but there are {num_layers} blocks (0 to '
                             f'{num_layers - 1}, or -{num_layers} to -1).')
    return tuple(index % num_layers for index in indices)
