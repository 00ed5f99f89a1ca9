# Table 9 of the LBBT paper, the baseline on Pascal Context: the same architecture with Segmenter's own initialisation
_base_ = './segmenter_gpt2_pascal_context.py'
model = dict(decode_head=dict(language=dict(arm='host')))
