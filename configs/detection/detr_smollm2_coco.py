# As detr_gpt2_coco.py with SmolLM2-135M: gated MLPs, RMSNorm, grouped-query attention (width 576, 9 heads, FFN 1536)
_base_ = ['../_base_/language_detr_r50_coco.py', '../_base_/language/smollm2_135m.py']
model = dict(language=_base_.language)
