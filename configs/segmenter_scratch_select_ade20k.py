# The baseline of segmenter_gpt2_select_ade20k.py, Segmenter-T-Mask/16 itself (but for GPT-2's tanh formula of GELU)
_base_ = './segmenter_gpt2_select_ade20k.py'
model = dict(decode_head=dict(language=dict(arm='host')))
