# The baseline of segmenter_s_gpt2_ade20k.py: the same architecture with Segmenter's own initialisation
_base_ = './segmenter_s_gpt2_ade20k.py'
model = dict(decode_head=dict(language=dict(arm='host')))
