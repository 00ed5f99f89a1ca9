# Table 9 of the LBBT paper, the baseline: the same architecture with Segmenter's own initialisation
_base_ = './segmenter_gpt2_ade20k.py'
model = dict(decode_head=dict(language=dict(arm='host')))
