# The baseline of segmenter_gpt2_pascal_context_59.py: the same architecture with Segmenter's own initialisation
_base_ = './segmenter_gpt2_pascal_context_59.py'
model = dict(decode_head=dict(language=dict(arm='host')))
