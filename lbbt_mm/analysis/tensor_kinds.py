"""Which layer of a model a tensor belongs to and what it does there, by its name, for the names of many libraries.

Known are those of Hugging Face's language and vision models, llama.cpp, OpenMMLab, timm, torchvision, and of this package.
"""
import re
from typing import Dict, Iterable, NamedTuple, Sequence

#: What a tensor is, and how its name tells, the first that fits; of a tensor in a layer the name behind the layer's number.
KINDS = (
    ('norm', r'norm|(^|\.)(ln|bn|gn)\w*(\.|$)|downsample\.1\.|layer_?scale|(^|\.)(ls\d?\.)?(gamma|lambda)'),
    ('patch embedding', r'patch_?embed|patch_?embd|conv_proj\.|visual\.conv1\.'),
    ('embedding', r'embed|embd|(^|\.)w[tp]e\.|_tokens?$|^shared\.|relative_\w+_bias'),
    ('bias', r'bias(es)?$'),
    ('attention qkv', r'qkv|c_attn|query|in_proj|(^|\.)(key|value)|(^|[._])([qkv]|qk|kv)(_proj|_lin|_bias)?\.'
                      r'|(^|\.)w[qkv]\.|to_[qkv]\.'),
    ('attention out', r'att\w*\.(\w+\.)*(c_proj|proj|dense)\.|attn_out|(^|\.)(o|out|output)_(proj|lin)\.|att\w*\.wo\.'
                      r'|to_out|attention\.o\.'),
    ('MLP in', r'fc1|c_fc|gate_(up_)?proj|ffn_gate(?!_inp)|up_proj|ffn_up|intermediate|h_to_4h|lin(ear)?1'
               r'|(^|\.)w(1|3|12|i|i_\d)\.|ffn\.layers\.0\.|mlp\.0\.|fc_in'),
    ('MLP out', r'fc2|mlp\.c_proj|down_proj|ffn_down|(^|\.)output\.dense|4h_to_h|lin(ear)?2|(^|\.)w(2|3|o)\.'
                r'|ffn\.layers\.1\.|mlp\.[1-4]\.|fc_out'),
    ('head', r'(?<!conv_)head|classifier|(^|\.)fc\.|^output\.|score\.|logits|(cls|reg)_branch'),
    ('convolution', r'conv|downsample|stem'),
)
OTHER = 'other'
#: Floating-point tensors of a state dict that nothing trains: statistics, masks, rotary frequencies, how images are scaled.
_BUFFERS = re.compile(r'running_(mean|var)$|inv_freq$|masked_bias$|data_preprocessor\.|^rope_f|freqs_cis$|attn_mask$'
                      r'|relative_coords_table$|pixel_(mean|std)$')
#: How containers of layers are called; stages have a second number within.
_LAYER = re.compile(r'(?P<stack>(?:.*?\.)??_?(?:layers|layer|blocks|block|h|blk|resblocks|stages|stage|features'
                    r'|encoder_layer))[._]?(?P<first>\d+)\.(?:(?:blocks\.|layers\.)?(?P<second>\d+)\.)?(?P<rest>.+)')


class Place(NamedTuple):
    """Where a tensor is in a model.

    Attributes:
        kind: One of the names in :data:`KINDS`, or ``other``.
        layer: Number of its layer, from 0; -1 outside the layers.
        module: Name of its layer, empty outside; what precedes the number is its stack.
        stack: See there.
    """
    kind: str
    layer: int
    module: str
    stack: str


def is_buffer(name: str, shape: Sequence[int]) -> bool:
    """Whether a floating-point tensor is no weight: a statistic, a causal mask (``attn.bias``), a table that is computed.

    Args:
        name: Its name.
        shape: Its shape.
    """
    return bool(_BUFFERS.search(name)) or name.endswith('attn.bias') and len(shape) == 4


def find_places(names: Iterable[str]) -> Dict[str, Place]:
    """Find layers and kinds of a model's tensors.

    Args:
        names: Names of all its tensors.

    Returns:
        dict[str, Place]: By name. Layers are numbered in the order of their own numbers, stack by stack as these come; what
        stands between the layers of a network in stages, such as a downsampling, is outside of them.
    """
    found = {name: _LAYER.fullmatch(name) for name in names}
    in_stages = {match['stack'] for match in found.values() if match and match['second']}
    found = {name: match if match and (match['second'] or match['stack'] not in in_stages) else None
             for name, match in found.items()}
    keys = {name: (match['stack'], int(match['first']), int(match['second'] or 0)) for name, match in found.items() if match}
    stacks = list(dict.fromkeys(stack for stack, _, _ in keys.values()))
    order = sorted(set(keys.values()), key=lambda key: (stacks.index(key[0]), *key[1:]))
    numbers = {key: number for number, key in enumerate(order)}
    return {name: Place(_kind(match['rest']), numbers[keys[name]], name[:match.start('rest') - 1], match['stack'])
            if match else Place(_kind(name), -1, '', '') for name, match in found.items()}


def _kind(name: str) -> str:
    plain = re.sub(r'(^|\.)_+', r'\1', name.lower())  # some libraries write `_bn1`
    return next((kind for kind, pattern in KINDS if re.search(pattern, plain)), OTHER)


def unmatched(models: Dict[str, Iterable[Place]]) -> str:
    """Why the layers of several models cannot be set side by side.

    Args:
        models: Label -> places of its tensors.

    Returns:
        str: The reason, as a sentence without its end; empty where they can: each has one stack of layers, or all have the
        same ones.
    """
    stacks = {label: list(dict.fromkeys(place.stack for place in places if place.stack)) for label, places in models.items()}
    without = next((label for label, found in stacks.items() if not found), None)
    several = next((label for label, found in stacks.items() if len(found) > 1), None)
    if len(stacks) > 1 and without:
        return f'{without} has no numbered layers'
    if several and any(found != stacks[several] for found in stacks.values()):
        other = next(label for label in stacks if stacks[label] != stacks[several])
        theirs, others = (', '.join(stacks[label])[:200] for label in (several, other))
        return f'{several} has {len(stacks[several])} stacks of layers ({theirs}), and {other} has {others}'
    return ''
