# Table 6 of the LBBT paper: DETR-R50 with 12 + 12 layers from GPT-2 small (width 768, 12 heads, FFN 3072)
_base_ = ['_base_/language_detr_r50_coco.py', '_base_/language/gpt2.py']
model = dict(language=_base_.language)
