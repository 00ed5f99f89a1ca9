"""LanguageBlock and the layers built on it; nothing here needs mmdet, mmseg or mmpretrain."""
from .attention import attend
from .attention_flops import attention_flops, register_attention_flops
from .block_stack import block_stack
from .detr_layers import LanguageDETRDecoder, LanguageDETREncoder
from .language_block import LanguageAttention, LanguageBlock, LanguageMLP, build_norm
from .rotary import RotaryEmbedding, rotate

register_attention_flops()

__all__ = [
    'LanguageAttention', 'LanguageBlock', 'LanguageDETRDecoder', 'LanguageDETREncoder', 'LanguageMLP',
    'RotaryEmbedding', 'attend', 'attention_flops', 'block_stack', 'build_norm', 'rotate'
]
