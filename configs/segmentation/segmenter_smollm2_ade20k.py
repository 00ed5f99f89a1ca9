# As segmenter_gpt2_ade20k.py with SmolLM2-135M: gated MLPs, RMSNorm, grouped-query attention (width 576, 9 heads, FFN 1536)
_base_ = ['../_base_/segmenter_160k.py', '../_base_/datasets/ade20k.py', '../_base_/language/smollm2_135m.py']
model = dict(decode_head=dict(language=_base_.language))
